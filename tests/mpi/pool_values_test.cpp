// What a pool can map over, and what travels there and back.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cctype>
#include <chrono>
#include <complex>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <ranges>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Failure;
using support::square;

namespace {

constexpr std::size_t mebi = 1024 * 1024;

std::vector<long> one_to(long n) {
  std::vector<long> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}
std::vector<long> squares_to(long n) {
  std::vector<long> numbers = one_to(n);
  for (long& number : numbers) number *= number;
  return numbers;
}

class PoolMap : public testing::Test {
 protected:
  rp::Pool pool;
};

}  // namespace

// ---- ranges

TEST_F(PoolMap, vector) {
  EXPECT_EQ(pool.map(square, one_to(1000)), squares_to(1000));
  const std::vector<long> fixed = one_to(10);
  EXPECT_EQ(pool.map(square, fixed), squares_to(10));
}

TEST_F(PoolMap, empty) {
  EXPECT_EQ(pool.map(square, std::vector<long>()), std::vector<long>());
  EXPECT_EQ(pool.map(square, std::list<long>(), {.chunksize = 7}), std::vector<long>());
  EXPECT_EQ(pool.map(square, std::views::empty<long>), std::vector<long>());
  pool.map([](int) {}, std::vector<int>());
  EXPECT_TRUE(pool.map_async(square, std::vector<long>()).get().empty());
}

TEST_F(PoolMap, other_containers) {
  const std::vector<long> expected{1, 4, 9};
  EXPECT_EQ(pool.map(square, std::list<long>{1, 2, 3}), expected);
  EXPECT_EQ(pool.map(square, std::deque<long>{1, 2, 3}), expected);
  EXPECT_EQ(pool.map(square, std::forward_list<long>{1, 2, 3}), expected);
  EXPECT_EQ(pool.map(square, std::set<long>{3, 1, 2}), expected);
  EXPECT_EQ(pool.map(square, std::array<long, 3>{1, 2, 3}), expected);
  long plain[] = {1, 2, 3};
  EXPECT_EQ(pool.map(square, plain), expected);
  EXPECT_EQ(pool.map(square, std::span<const long>(plain)), expected);
}

TEST_F(PoolMap, views) {
  EXPECT_EQ(pool.map(square, std::views::iota(1L, 101L)), squares_to(100));
  long offset = 1;  // runs here, so it may refer to here
  const auto shifted = std::views::iota(0L, 50L) | std::views::transform([&offset](long i) { return i + offset; });
  EXPECT_EQ(pool.map(square, shifted), squares_to(50));
  std::vector<long> numbers = one_to(9);
  auto odd = numbers | std::views::filter([](long i) { return i % 2 == 1; });
  EXPECT_EQ(pool.map(square, odd), (std::vector<long>{1, 9, 25, 49, 81}));
  EXPECT_EQ(pool.map(square, numbers | std::views::reverse | std::views::take(2)), (std::vector<long>{81, 64}));
}

TEST_F(PoolMap, a_range_that_can_be_read_once) {
  std::istringstream text("1 2 3 4 5 6 7 8 9 10");
  EXPECT_EQ(pool.map(square, std::views::istream<long>(text), {.chunksize = 3}), squares_to(10));
}

TEST_F(PoolMap, entries_of_a_map) {
  const std::map<std::string, int> ages{{"Ada", 36}, {"Alan", 41}, {"Grace", 85}};
  const auto describe = [](const std::pair<std::string, int>& entry) {
    return entry.first + " " + std::to_string(entry.second);
  };
  const std::vector<std::string> expected{"Ada 36", "Alan 41", "Grace 85"};
  EXPECT_EQ(pool.map(describe, ages), expected);
  const auto join = [](const std::string& name, int age) { return name + " " + std::to_string(age); };
  EXPECT_EQ(pool.starmap(join, ages), expected);
}

namespace {

/// Counts up and throws when it comes to `when`.
class ThrowingRange {
 public:
  explicit ThrowingRange(long when) : when_(when) {}

  struct Iterator {
    using value_type = long;
    using difference_type = std::ptrdiff_t;
    long operator*() const { return at; }
    Iterator& operator++() {
      if (++at == when) throw std::underflow_error("the source has dried up");
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return false; }
    long at = 0;
    long when = 0;
  };
  Iterator begin() const { return {0, when_}; }
  std::default_sentinel_t end() const { return {}; }

 private:
  long when_;
};
static_assert(std::ranges::input_range<ThrowingRange>);

}  // namespace

TEST_F(PoolMap, a_range_that_throws) {
  for (const long when : {1L, 100L, 100000L}) {  // before anything was sent, and after much was
    for (const std::size_t chunksize : {0u, 1u, 64u}) {
      const Failure failure([&] { pool.map(square, ThrowingRange(when), {.chunksize = chunksize}); });
      ASSERT_TRUE(failure.is<std::underflow_error>()) << failure;
      EXPECT_FALSE(failure.is<rp::RemoteInfo>()) << "it was thrown here, not in a worker";
    }
    EXPECT_EQ(pool.map(square, one_to(20)), squares_to(20)) << "the pool goes on";
  }
}

// ---- chunks

TEST_F(PoolMap, every_chunksize_gives_the_same) {
  const std::vector<long> input = one_to(100000);
  const std::vector<long> expected = squares_to(100000);
  for (const std::size_t chunksize : {std::size_t{0}, std::size_t{7}, std::size_t{1000}, input.size() + 1})
    EXPECT_EQ(pool.map(square, input, {.chunksize = chunksize}), expected) << "chunksize " << chunksize;
}

TEST_F(PoolMap, chunks_of_one) { EXPECT_EQ(pool.map(square, one_to(100000), {.chunksize = 1}), squares_to(100000)); }

TEST_F(PoolMap, few_items_in_many_chunksizes) {
  for (long n = 0; n < 12; ++n) {
    for (std::size_t chunksize = 0; chunksize < 14; ++chunksize) {
      ASSERT_EQ(pool.map(square, one_to(n), {.chunksize = chunksize}), squares_to(n))
          << n << " items, chunksize " << chunksize;
      ASSERT_EQ(pool.map([](const std::string& text) { return text + "!"; },
                         std::vector<std::string>(static_cast<std::size_t>(n), "a"), {.chunksize = chunksize}),
                std::vector<std::string>(static_cast<std::size_t>(n), "a!"));
    }
  }
}

TEST_F(PoolMap, refuses_a_negative_chunksize) {
  const auto negative = static_cast<std::size_t>(-1);
  EXPECT_THROW(pool.map(square, one_to(3), {.chunksize = negative}), std::invalid_argument);
  EXPECT_THROW(pool.starmap(std::plus<int>(), std::vector<std::pair<int, int>>{{1, 2}}, {.chunksize = negative}),
               std::invalid_argument);
  EXPECT_THROW(pool.map(square, one_to(3), {.retries = -1}), std::invalid_argument);
  EXPECT_EQ(pool.map(square, one_to(3)), squares_to(3)) << "the pool goes on";
}

TEST_F(PoolMap, results_are_in_order_although_tasks_are_uneven) {
  std::vector<int> naps(60);
  std::mt19937 random(7);
  for (int& nap : naps) nap = static_cast<int>(random() % 4);
  naps.front() = 60;
  const auto sleep = [](int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return milliseconds;
  };
  for (const std::size_t chunksize : {0u, 1u, 4u}) EXPECT_EQ(pool.map(sleep, naps, {.chunksize = chunksize}), naps);
}

// ---- values

namespace {

struct Point {
  double x;
  double y;
  bool operator==(const Point&) const = default;
};
enum class Colour : std::uint8_t { red, green, blue };

struct Person {
  std::string name;
  std::vector<int> scores;
  std::map<std::string, double> marks;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& name& scores& marks;
  }
  bool operator==(const Person&) const = default;
};

/// Can be sent, but not copied.
class Ticket {
 public:
  Ticket() = default;
  explicit Ticket(int number) : number_(number) {}
  Ticket(Ticket&&) = default;
  Ticket& operator=(Ticket&&) = default;
  int number() const { return number_; }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number_;
  }
  int number_ = 0;
};

template <class T>
std::vector<T> there_and_back(rp::Pool& pool, const std::vector<T>& values) {
  return pool.map([](const T& value) { return value; }, values, {.chunksize = 2});
}

}  // namespace

TEST_F(PoolMap, bool_results) {
  const auto is_even = [](int i) { return i % 2 == 0; };
  const std::vector<bool> even = pool.map(is_even, std::views::iota(0, 100));
  ASSERT_EQ(even.size(), 100u);
  for (std::size_t i = 0; i < even.size(); ++i) EXPECT_EQ(even[i], i % 2 == 0) << i;
  const std::vector<bool> odd = pool.map([](bool value) { return !value; }, even);
  for (std::size_t i = 0; i < even.size(); ++i) EXPECT_EQ(odd[i], !even[i]) << i;
}

TEST_F(PoolMap, plain_values) {
  EXPECT_EQ(there_and_back(pool, std::vector<Point>{{1, 2}, {3, 4}, {-0.5, 1e300}}),
            (std::vector<Point>{{1, 2}, {3, 4}, {-0.5, 1e300}}));
  EXPECT_EQ(there_and_back(pool, std::vector<Colour>{Colour::blue, Colour::red}),
            (std::vector<Colour>{Colour::blue, Colour::red}));
  EXPECT_EQ(there_and_back(pool, std::vector<char>{'a', '\0', 'z'}), (std::vector<char>{'a', '\0', 'z'}));
  EXPECT_EQ(there_and_back(pool, std::vector<std::complex<float>>{{1, 2}, {3, 4}}),
            (std::vector<std::complex<float>>{{1, 2}, {3, 4}}));
  EXPECT_EQ(there_and_back(pool, std::vector<std::array<short, 3>>{{1, 2, 3}, {4, 5, 6}}),
            (std::vector<std::array<short, 3>>{{1, 2, 3}, {4, 5, 6}}));
  EXPECT_EQ(there_and_back(pool, std::vector<std::bitset<70>>{5, 6}), (std::vector<std::bitset<70>>{5, 6}));
}

TEST_F(PoolMap, strings) {
  std::vector<std::string> texts{"", "a", std::string("zero\0inside", 11), std::string(100000, 'x'), "grüße"};
  EXPECT_EQ(there_and_back(pool, texts), texts);
  const auto upper = [](std::string text) {
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
  };
  EXPECT_EQ(pool.map(upper, std::vector<std::string>{"one", "two"}), (std::vector<std::string>{"ONE", "TWO"}));
}

TEST_F(PoolMap, nested_values) {
  const std::vector<std::vector<std::vector<int>>> nested{{}, {{}}, {{1, 2}, {3}}, {{}, {4, 5, 6}, {}}};
  EXPECT_EQ(there_and_back(pool, nested), nested);
  const std::vector<std::optional<std::string>> optionals{std::nullopt, "", "text"};
  EXPECT_EQ(there_and_back(pool, optionals), optionals);
  const std::vector<std::variant<int, std::string, std::vector<double>>> variants{1, "two",
                                                                                  std::vector<double>{3, 3.5}};
  EXPECT_EQ(there_and_back(pool, variants), variants);
  const std::vector<std::map<int, std::set<std::string>>> maps{{}, {{1, {"a", "b"}}, {2, {}}}};
  EXPECT_EQ(there_and_back(pool, maps), maps);
  const std::vector<std::unordered_map<std::string, std::list<bool>>> unordered{{{"x", {true, false}}}, {}};
  EXPECT_EQ(there_and_back(pool, unordered), unordered);
  const std::vector<std::tuple<int, std::string, Point>> tuples{{1, "a", {0, 1}}, {2, "b", {2, 3}}};
  EXPECT_EQ(there_and_back(pool, tuples), tuples);
  const std::vector<std::vector<bool>> bits{{}, {true}, std::vector<bool>(77, true)};
  EXPECT_EQ(there_and_back(pool, bits), bits);
}

TEST_F(PoolMap, types_of_the_user) {
  const std::vector<Person> people{
      {"Ada", {1, 2}, {{"maths", 1.0}}}, {"", {}, {}}, {std::string(5000, 'n'), std::vector<int>(999, 4), {}}};
  EXPECT_EQ(there_and_back(pool, people), people);
}

TEST_F(PoolMap, results_that_can_only_be_moved) {
  std::vector<Ticket> tickets =
      pool.map([](int i) { return Ticket(10 * i); }, std::views::iota(0, 20), {.chunksize = 3});
  ASSERT_EQ(tickets.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(tickets[static_cast<std::size_t>(i)].number(), 10 * i);
  const auto number = [](const Ticket& ticket) { return ticket.number(); };
  EXPECT_EQ(pool.map(number, tickets), pool.map([](int i) { return 10 * i; }, std::views::iota(0, 20)));
  EXPECT_EQ(pool.apply([](int i) { return Ticket(i); }, 7).number(), 7);
  EXPECT_EQ(pool.apply(number, Ticket(8)), 8);
}

TEST_F(PoolMap, functions_without_result) {
  const support::Scratch scratch;
  const std::string log = scratch.file("log");
  pool.map(rp::partial([](const std::string& file, int i) { support::add_line(file, std::to_string(i)); }, log),
           std::views::iota(0, 50));
  std::vector<long> seen = support::numbers_of(log);
  std::sort(seen.begin(), seen.end());
  std::vector<long> expected(50);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(seen, expected) << "map returns when all tasks have run, each once";
}

// ---- much

TEST_F(PoolMap, big_items_and_results) {
  std::vector<std::vector<double>> blocks;
  for (int b = 0; b < 3; ++b) {
    blocks.emplace_back(mebi);  // of 8 bytes
    std::iota(blocks.back().begin(), blocks.back().end(), b);
  }
  const auto halve = [](std::vector<double> block) {
    for (double& value : block) value /= 2;
    return block;
  };
  std::vector<std::vector<double>> halves = pool.map(halve, blocks);
  ASSERT_EQ(halves.size(), blocks.size());
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    ASSERT_EQ(halves[b].size(), blocks[b].size());
    EXPECT_TRUE(std::ranges::equal(halves[b], blocks[b], {}, [](double value) { return 2 * value; })) << "block " << b;
  }
}

TEST_F(PoolMap, a_big_callable) {
  std::vector<double> table(20 * mebi / sizeof(double));
  std::iota(table.begin(), table.end(), 0.0);
  const auto look_up = rp::partial([](const std::vector<double>& in, std::size_t i) { return in[i]; }, table);
  std::vector<std::size_t> places(40);
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i * 60000;
  EXPECT_EQ(pool.map(look_up, places, {.chunksize = 1}), std::vector<double>(places.begin(), places.end()));
}

TEST_F(PoolMap, items_of_very_different_sizes) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 300; ++i)
    texts.emplace_back(i % 50 == 7 ? 700000 : i % 5, static_cast<char>('a' + i % 26));
  for (const std::size_t chunksize : {0u, 1u, 32u}) {
    const auto back = pool.map([](const std::string& text) { return text; }, texts, {.chunksize = chunksize});
    EXPECT_TRUE(back == texts) << "chunksize " << chunksize;  // not EXPECT_EQ: it would print them
  }
}

// ---- starmap

TEST_F(PoolMap, starmap_unpacks) {
  const auto area = [](double width, double height) { return width * height; };
  EXPECT_EQ(pool.starmap(area, std::vector<std::pair<double, double>>{{2, 3}, {4, 5}}), (std::vector<double>{6, 20}));
  EXPECT_EQ(pool.starmap(area, std::vector<std::array<double, 2>>{{2, 3}, {4, 5}}), (std::vector<double>{6, 20}));
  const auto repeat = [](const std::string& text, int times, char end) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all + end;
  };
  const std::vector<std::tuple<std::string, int, char>> words{{"ab", 2, '.'}, {"", 9, '!'}, {"c", 3, '?'}};
  const std::vector<std::string> expected{"abab.", "!", "ccc?"};
  EXPECT_EQ(pool.starmap(repeat, words, {.chunksize = 2}), expected);
  EXPECT_EQ(pool.starmap_async(repeat, words).get(), expected);
  EXPECT_EQ(pool.starmap([](int i) { return i + 1; }, std::vector<std::tuple<int>>{{1}, {2}}),
            (std::vector<int>{2, 3}));
  EXPECT_TRUE(pool.starmap(repeat, std::vector<std::tuple<std::string, int, char>>()).empty());
  pool.starmap([](int, int) {}, std::vector<std::pair<int, int>>{{1, 2}});
}

// ---- apply

TEST_F(PoolMap, apply_with_any_number_of_arguments) {
  EXPECT_EQ(pool.apply([] { return 42; }), 42);
  EXPECT_EQ(pool.apply(square, 7L), 49);
  EXPECT_EQ(pool.apply(square, 7), 49) << "an int is converted there";
  EXPECT_EQ(pool.apply([](int a, double b, char c, const std::string& d,
                          Point e) { return std::to_string(a + b + e.x) + c + d; },
                       1, 2.5, 'x', "yz", Point{4, 5}),
            "7.500000xyz");
  const std::string name = "Ada";
  EXPECT_EQ(
      pool.apply([](std::string greeting, const std::string& who) { return greeting + " " + who; }, "hello", name),
      "hello Ada");
  pool.apply([] {});
  EXPECT_TRUE(pool.apply([](int i) { return i > 2; }, 3));
  EXPECT_EQ(pool.apply([](std::vector<int> numbers) { return numbers; }, std::vector<int>{1, 2, 3}),
            (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(pool.apply([](std::vector<int>&& numbers) { return numbers.size(); }, std::vector<int>{1, 2, 3}), 3u);
  EXPECT_EQ(pool.apply([](std::vector<int>& numbers) { return numbers.size(); }, std::vector<int>{1, 2}), 2u);
}

TEST_F(PoolMap, thousands_of_apply_async) {
  std::vector<rp::AsyncResult<long>> results;
  for (long i = 0; i < 4000; ++i) results.push_back(pool.apply_async(square, i));
  for (long i = 0; i < 4000; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)].get(), i * i);
}
