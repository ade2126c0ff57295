// Calls as they travel: a function handle, a callable, arguments.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "../support/shipping_message.hpp"

namespace fuzz {

inline double heavy(double x) { return x + 1; }

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

inline std::vector<rankpool::test::Bytes> calls() {
  const int n = 3;
  const double d = 0.5;
  using Everything =
      std::tuple<std::string, std::vector<std::string>, std::vector<bool>, std::map<int, std::vector<double>>,
                 std::unordered_map<std::string, std::optional<int>>, std::variant<int, std::string>>;
  const Everything everything{"text", {"a", "b"}, {true, false}, {{1, {1, 2}}, {2, {}}}, {{"k", 1}, {"l", {}}}, "v"};
  const auto size_of = [](const Everything& e) { return std::get<0>(e).size() + std::get<1>(e).size(); };
  const Graph graph(new Member, new Member);
  return {
      rankpool::test::make_call(&heavy, 1.0),
      rankpool::test::make_call([n, d](double x) { return n * x + d; }, 1.0),
      rankpool::test::make_call(rankpool::fn<heavy>, 2.0),
      rankpool::test::make_call(&Member::plus, Member{}, 1.0),
      rankpool::test::make_call(&Member::virtual_plus, Member{}, 1.0),
      rankpool::test::make_call(Functor({1, 2, 3}), 1.0),
      rankpool::test::make_call(
          rankpool::partial([](const std::vector<double>& v, double x) { return v.empty() ? x : v[0]; },
                            std::vector<double>{1, 2}),
          1.0),
      rankpool::test::make_call(rankpool::partial([](double (*f)(double), double x) { return f(x); }, &heavy), 1.0),
      rankpool::test::make_call(size_of, everything),
      rankpool::test::make_call([](const Graph& g) { return g.sum(); }, graph),
      rankpool::test::make_call([](int x) -> int { throw std::out_of_range(std::to_string(x)); }, 1),
  };
}

inline void decode_call(std::span<const std::byte> bytes) { static_cast<void>(rankpool::test::answer(bytes)); }

}  // namespace fuzz
