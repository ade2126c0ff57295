// Value: every size, across threads, tasks and ranks.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../support/window_mode.hpp"

namespace rp = rankpool;

namespace {

int times(int direct) { return support::asks_home() ? std::min(direct, 200) : direct; }

enum class Colour : std::uint8_t { red, green };
struct Point {
  std::int16_t x, y;
  friend bool operator==(const Point&, const Point&) = default;
};
struct ThreeBytes {
  std::uint8_t a, b, c;
  friend bool operator==(const ThreeBytes&, const ThreeBytes&) = default;
};
/// All parts the same, or somebody saw half a write.
struct Large {
  std::array<long, 37> parts;
  static Large of(long n) {
    Large all;
    all.parts.fill(n);
    return all;
  }
  bool whole() const {
    for (const long part : parts)
      if (part != parts.front()) return false;
    return true;
  }
  friend bool operator==(const Large&, const Large&) = default;
};
struct NoDefault {
  explicit NoDefault(int n) : number(n) {}
  int number;
};

template <class T>
void check_exchanges(T a, T b, T c) {
  rp::Value<T> value(a);
  EXPECT_TRUE(value.load() == a);
  value.store(b);
  EXPECT_TRUE(value.load() == b);
  EXPECT_TRUE(value.exchange(c) == b);
  EXPECT_TRUE(value.load() == c);
  T expected = b;
  EXPECT_FALSE(value.compare_exchange(expected, a));
  EXPECT_TRUE(expected == c);
  EXPECT_TRUE(value.load() == c);
  EXPECT_TRUE(value.compare_exchange(expected, a));
  EXPECT_TRUE(expected == c);
  EXPECT_TRUE(value.load() == a);
}

TEST(Value, holds_types_of_every_size) {
  check_exchanges<bool>(false, true, false);
  check_exchanges<char>('a', 'b', 'c');
  check_exchanges<std::int8_t>(1, -2, 3);
  check_exchanges<std::uint16_t>(1, 0xffff, 3);
  check_exchanges<int>(1, -2, 3);
  check_exchanges<long>(1, std::numeric_limits<long>::min(), 3);
  check_exchanges<float>(1.5f, -2.5f, 3.5f);
  check_exchanges<double>(1.5, -2.5, 1e300);
  check_exchanges(Colour::red, Colour::green, Colour::red);
  check_exchanges(Point{1, 2}, Point{-3, 4}, Point{5, 6});
  check_exchanges(ThreeBytes{1, 2, 3}, ThreeBytes{4, 5, 6}, ThreeBytes{7, 8, 9});
  check_exchanges(Large::of(1), Large::of(2), Large::of(3));
  check_exchanges(std::array<char, 100'000>{1}, std::array<char, 100'000>{2}, std::array<char, 100'000>{3});
}

TEST(Value, begins_as_it_is_told) {
  EXPECT_EQ(rp::Value<long>().load(), 0);
  EXPECT_EQ(rp::Value(7).load(), 7);
  EXPECT_EQ(rp::Value<NoDefault>(NoDefault(8)).load().number, 8);
}

template <class T>
void check_sums(T a, T b) {
  rp::Value<T> value(a);
  EXPECT_EQ(value.fetch_add(b), a);
  EXPECT_EQ(value.load(), static_cast<T>(a + b));
}

TEST(Value, adds_numbers_of_every_type) {
  check_sums<char>('a', 1);
  check_sums<std::int8_t>(-5, 3);
  check_sums<std::uint8_t>(250, 10);
  check_sums<std::int16_t>(-300, 500);
  check_sums<std::uint32_t>(0xffff'ffff, 2);
  check_sums<long>(1L << 40, -1);
  check_sums<float>(0.5f, 0.25f);
  check_sums<double>(0.5, -0.125);
  check_sums<long double>(0.5L, 0.25L);
  rp::Value<int> wraps(std::numeric_limits<int>::max());
  EXPECT_EQ(wraps.fetch_add(1), std::numeric_limits<int>::max());
  EXPECT_EQ(wraps.load(), std::numeric_limits<int>::min());
}

void add(const rp::Value<long>& value, int n) {
  for (int i = 0; i < n; ++i) value.fetch_add(1);
}
void add_halves(const rp::Value<double>& value, int n) {
  for (int i = 0; i < n; ++i) value.fetch_add(0.5);
}
void add_by_comparing(const rp::Value<Large>& value, int n) {
  for (int i = 0; i < n; ++i)
    for (Large now = value.load(); !value.compare_exchange(now, Large::of(now.parts[0] + 1));) {
    }
}
/// Torn reads.
long store_and_look(const rp::Value<Large>& value, int n) {
  long torn = 0;
  for (int i = 0; i < n; ++i) {
    value.store(Large::of(i));
    torn += value.load().whole() ? 0 : 1;
    torn += value.exchange(Large::of(-i)).whole() ? 0 : 1;
  }
  return torn;
}
rp::Value<std::array<long, 3>> make_one(long n) { return rp::Value<std::array<long, 3>>({n, n + 1, n + 2}); }
void count_under_lock(const rp::Value<int>& value, int n) {
  rp::RLock lock = value.get_lock();
  for (int i = 0; i < n; ++i) {
    const std::scoped_lock guard(lock);
    value.store(value.load() + 1);
  }
}
bool try_lock(const rp::RLock& lock) { return lock.try_lock(); }

constexpr int tasks = 8;

TEST(Value, loses_no_step_of_any_process) {
  rp::Pool pool(4);
  rp::Value<long> whole(0);
  rp::Value<double> halves(0);
  rp::Value<Large> large(Large::of(0));
  const int n = times(20'000);
  const int few = times(2'000) / 2;
  pool.map(rp::partial(add, whole), std::vector<int>(tasks, n), {.chunksize = 1});
  pool.map(rp::partial(add_halves, halves), std::vector<int>(tasks, n), {.chunksize = 1});
  pool.map(rp::partial(add_by_comparing, large), std::vector<int>(tasks, few), {.chunksize = 1});
  EXPECT_EQ(whole.load(), long{tasks} * n);
  EXPECT_EQ(halves.load(), 0.5 * tasks * n);
  EXPECT_EQ(large.load(), Large::of(long{tasks} * few));
}

TEST(Value, is_never_seen_half_written) {
  rp::Pool pool(4);
  rp::Value<Large> large(Large::of(0));
  const auto torn =
      pool.map(rp::partial(store_and_look, large), std::vector<int>(tasks, times(3'000)), {.chunksize = 1});
  EXPECT_EQ(torn, std::vector<long>(tasks, 0));
}

TEST(Value, made_by_tasks_lives_on_in_their_results) {
  rp::Pool pool(3);
  const auto values = pool.map(make_one, std::vector<long>{10, 20, 30, 40, 50, 60}, {.chunksize = 1});
  pool.close();
  pool.join();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const long n = 10 * static_cast<long>(i + 1);
    EXPECT_EQ(values[i].load(), (std::array<long, 3>{n, n + 1, n + 2}));
  }
}

TEST(Value, has_one_lock_for_all_processes) {
  rp::Pool pool(4);
  rp::Value<int> value(0);
  const int n = times(2'000) / 2;
  pool.map(rp::partial(count_under_lock, value), std::vector<int>(tasks, n), {.chunksize = 1});
  EXPECT_EQ(value.load(), tasks * n);

  rp::RLock lock = value.get_lock();
  rp::RLock same = value.get_lock();
  const std::scoped_lock twice(lock, same);
  EXPECT_TRUE(value.get_lock().locked());
  EXPECT_FALSE(pool.apply(try_lock, lock));  // sent by itself, it still names the same one
  EXPECT_FALSE(rp::Value<int>(0).get_lock().locked());
}

TEST(Value, lives_as_long_as_its_lock) {
  rp::RLock lock = rp::Value<int>(1).get_lock();
  rp::Value<int> other(2);  // would take its place
  const std::scoped_lock guard(lock);
  EXPECT_TRUE(lock.locked());
  EXPECT_FALSE(other.get_lock().locked());
}

TEST(Value, can_be_made_by_the_thousand) {
  for (int round = 0; round < 3; ++round) {
    std::vector<rp::Value<long>> values;
    for (long i = 0; i < 1000; ++i) values.emplace_back(i);
    for (long i = 0; i < 1000; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)].load(), i);
  }
}

}  // namespace
