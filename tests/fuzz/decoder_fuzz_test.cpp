// Damaged messages end in an exception or in a harmless call, never in a crash, a wild jump or endless memory.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "../support/shipping_message.hpp"

namespace rankpool::test {
namespace {

constexpr std::uint64_t seed = 20240229;
constexpr int rounds = 300'000;

double heavy(double x) { return x + 1; }

struct Member {
  // Boost forgets an object that it was reading through a pointer when the bytes end; this remembers it.
  static void* operator new(std::size_t size) {
    static std::vector<std::unique_ptr<std::max_align_t[]>> all;
    all.push_back(std::make_unique<std::max_align_t[]>(size / sizeof(std::max_align_t) + 1));
    return all.back().get();
  }
  static void operator delete(void*) noexcept {}

  double x = 1;
  double plus(double y) const { return x + y; }
  virtual double virtual_plus(double y) const { return x + y; }
  virtual ~Member() = default;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& x;
  }
};
/// Two pointers: what Boost tracks by numbers that may be damaged.
class Graph {
 public:
  Graph() = default;
  Graph(Member* first, Member* second) : first_(first), second_(second) {}
  Graph(Graph&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), second_(std::exchange(other.second_, nullptr)) {}
  Graph(const Graph& other) : first_(copy(other.first_)), second_(copy(other.second_)) {}
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (second_ != first_) delete second_;
    delete first_;
  }
  double sum() const { return (first_ != nullptr ? first_->x : 0) + (second_ != nullptr ? second_->x : 0); }

 private:
  static Member* copy(const Member* member) { return member != nullptr ? new Member(*member) : nullptr; }

  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    try {
      archive& first_& second_;
    } catch (...) {
      if constexpr (Archive::is_loading::value) archive.delete_created_pointers();
      first_ = second_ = nullptr;
      throw;
    }
  }
  Member* first_ = nullptr;
  Member* second_ = nullptr;
};
class Functor {
 public:
  Functor() = default;
  explicit Functor(std::vector<double> data) : data_(std::move(data)) {}
  double operator()(double x) const { return x + static_cast<double>(data_.size()); }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& data_& names_;
  }
  std::vector<double> data_;
  std::map<std::string, std::optional<int>> names_{{"a", 1}, {"b", {}}};
};

std::vector<Bytes> all_messages() {
  const int n = 3;
  const double d = 0.5;
  using Everything =
      std::tuple<std::string, std::vector<std::string>, std::vector<bool>, std::map<int, std::vector<double>>,
                 std::unordered_map<std::string, std::optional<int>>, std::variant<int, std::string>>;
  const Everything everything{"text", {"a", "b"}, {true, false}, {{1, {1, 2}}, {2, {}}}, {{"k", 1}, {"l", {}}}, "v"};
  const auto size_of = [](const Everything& e) { return std::get<0>(e).size() + std::get<1>(e).size(); };
  const Graph graph(new Member, new Member);
  return {
      make_call(&heavy, 1.0),
      make_call([n, d](double x) { return n * x + d; }, 1.0),
      make_call(fn<heavy>, 2.0),
      make_call(&Member::plus, Member{}, 1.0),
      make_call(&Member::virtual_plus, Member{}, 1.0),
      make_call(Functor({1, 2, 3}), 1.0),
      make_call(partial([](const std::vector<double>& v, double x) { return v.empty() ? x : v[0]; },
                        std::vector<double>{1, 2}),
                1.0),
      make_call(partial([](double (*f)(double), double x) { return f(x); }, &heavy), 1.0),
      make_call(size_of, everything),
      make_call([](const Graph& g) { return g.sum(); }, graph),
      make_call([](int x) -> int { throw std::out_of_range(std::to_string(x)); }, 1),
  };
}

/// A few bytes changed, numbers made extreme, the end cut off.
void damage(Bytes& message, std::mt19937_64& random) {
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  for (std::size_t i = 1 + below(4); i > 0; --i) {
    message[below(message.size())] ^= static_cast<std::byte>(1 + below(255));
  }
  if (below(4) == 0 && message.size() >= 8) {
    static constexpr std::uint64_t extreme[] = {
        0, 1, 0xff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
    std::memcpy(&message[below(message.size() - 7)], &extreme[below(std::size(extreme))], 8);
  }
  if (below(8) == 0) message.resize(below(message.size() + 1));
}

TEST(DecoderFuzz, DamagedCalls) {
  std::printf("seed %llu, %d rounds\n", static_cast<unsigned long long>(seed), rounds);
  std::mt19937_64 random(seed);
  const std::vector<Bytes> messages = all_messages();
  for (const Bytes& message : messages) ASSERT_FALSE(answer(message).empty());
  long refused = 0;
  long ran = 0;
  for (int i = 0; i < rounds; ++i) {
    Bytes message = messages[static_cast<std::size_t>(i) % messages.size()];
    damage(message, random);
    const Bytes reply = answer(message);
    (reply.at(0) == std::byte{0} ? ran : refused) += 1;
  }
  std::printf("%ld refused with an exception, %ld ran (only arguments were changed)\n", refused, ran);
  EXPECT_GT(refused, rounds / 4);
  EXPECT_GT(ran, 0);
}

TEST(DecoderFuzz, DamagedErrors) {
  std::mt19937_64 random(seed);
  wire::ErrorRecord record;
  try {
    try {
      throw std::out_of_range("inner");
    } catch (...) {
      std::throw_with_nested(std::system_error(2, std::generic_category(), "outer"));
    }
  } catch (...) {
    record = wire::describe_current_exception();
  }
  record.stage = wire::ErrorRecord::Stage::call;
  detail::Buffer buffer;
  record.encode(buffer);
  const Bytes whole = bytes_of(buffer);
  long refused = 0;
  for (int i = 0; i < rounds / 8; ++i) {
    Bytes message = whole;
    damage(message, random);
    try {
      detail::Reader in(message);
      std::rethrow_exception(wire::to_exception(wire::ErrorRecord::decode(in), {}));
    } catch (const RemoteInfo&) {
    } catch (const SerializationError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace rankpool::test
