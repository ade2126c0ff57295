// Array: across tasks and ranks, from nothing to larger than a frame.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <list>
#include <mutex>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "../support/failure.hpp"

namespace rp = rankpool;
using support::Failure;

namespace {

struct Pair {
  long a, b;
  friend bool operator==(const Pair&, const Pair&) = default;
};

template <class T>
std::vector<T> content(const rp::Array<T>& array) {
  std::vector<T> all(array.size());
  array.read(all);
  return all;
}

TEST(Array, begins_zeroed_or_as_a_range) {
  const rp::Array<int> zeros(10);
  EXPECT_EQ(zeros.size(), 10u);
  EXPECT_EQ(content(zeros), std::vector<int>(10, 0));
  EXPECT_EQ(content(rp::Array<int>(std::vector<int>{1, 2, 3})), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(content(rp::Array<double>(std::list<int>{1, 2, 3})), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(content(rp::Array<long>(std::views::iota(5L, 8L))), (std::vector<long>{5, 6, 7}));
  EXPECT_EQ(content(rp::Array<Pair>(std::array<Pair, 2>{{{1, 2}, {3, 4}}})), (std::vector<Pair>{{1, 2}, {3, 4}}));
  EXPECT_EQ(content(rp::Array<char>(std::string("text"))), (std::vector<char>{'t', 'e', 'x', 't'}));
  const rp::Array<int> nothing(0);
  EXPECT_EQ(nothing.size(), 0u);
  EXPECT_TRUE(content(nothing).empty());
}

TEST(Array, gives_and_takes_elements_and_spans) {
  rp::Array<short> array(5);
  array.set(1, 7);
  array.set(4, -9);
  EXPECT_EQ(array.get(1), 7);
  EXPECT_EQ(array.fetch_add(1, 3), 7);
  array.write(std::vector<short>{1, 2}, 2);
  EXPECT_EQ(content(array), (std::vector<short>{0, 10, 1, 2, -9}));
  std::vector<short> part(2);
  array.read(part, 3);
  EXPECT_EQ(part, (std::vector<short>{2, -9}));
  array.write({}, 5);
  rp::Array<float> floats(2);
  EXPECT_EQ(floats.fetch_add(1, 0.5f), 0);
  EXPECT_EQ(floats.get(1), 0.5f);
  rp::Array<std::uint8_t> bytes(2);
  bytes.set(0, 255);
  bytes.fetch_add(0, 1);
  EXPECT_EQ(content(bytes), (std::vector<std::uint8_t>{0, 0}));
  rp::Array<Pair> pairs(3);
  pairs.set(2, {5, 6});
  EXPECT_EQ(pairs.get(2), (Pair{5, 6}));
  EXPECT_EQ(pairs.get(1), (Pair{0, 0}));
}

TEST(Array, says_which_index_is_out_of_range) {
  rp::Array<int> array(3);
  const Failure failure([&] { array.get(3); });
  EXPECT_TRUE(failure.is<std::out_of_range>()) << failure;
  EXPECT_NE(failure.what().find("index 3"), std::string::npos) << failure;
  EXPECT_NE(failure.what().find("3 elements"), std::string::npos) << failure;
  EXPECT_THROW(array.set(std::numeric_limits<std::size_t>::max(), 0), std::out_of_range);
  EXPECT_THROW(array.fetch_add(3, 1), std::out_of_range);
  EXPECT_THROW(rp::Array<int>(0).get(0), std::out_of_range);
  std::vector<int> two(2);
  EXPECT_THROW(array.read(two, 2), std::out_of_range);
  EXPECT_THROW(array.write(two, 2), std::out_of_range);
  EXPECT_THROW(array.write(two, std::numeric_limits<std::size_t>::max()), std::out_of_range);
  EXPECT_EQ(content(array), std::vector<int>(3, 0));
}

TEST(Array, says_when_there_is_no_room) {
  const Failure impossible([] { rp::Array<int> array(std::numeric_limits<std::size_t>::max()); });
  EXPECT_TRUE(impossible.is<rp::Error>()) << impossible;
  const Failure large([] { rp::Array<char> array(std::size_t{1} << 40); });
  EXPECT_TRUE(large.is<rp::Error>()) << large;
  EXPECT_NE(large.what().find("room"), std::string::npos) << large;
}

void prefix_sums(const rp::Array<long>& array) {
  for (std::size_t i = 1; i < array.size(); ++i) array.fetch_add(i, array.get(i - 1));
}
long sum_of(const rp::Array<long>& array, int) {
  const std::vector<long> all = content(array);
  return std::accumulate(all.begin(), all.end(), 0L);
}
void add_everywhere(const rp::Array<int>& array, int rounds) {
  for (int r = 0; r < rounds; ++r)
    for (std::size_t i = 0; i < array.size(); ++i) array.fetch_add(i, 1);
}
void swap_pairs(const rp::Array<Pair>& array, int rounds) {
  rp::RLock lock = array.get_lock();
  for (int r = 0; r < rounds; ++r) {
    const std::scoped_lock guard(lock);
    const Pair first = array.get(0);
    array.set(0, {first.a + 1, first.b - 1});
  }
}
rp::Array<long> make_squares(long n) {
  std::vector<long> squares;
  for (long i = 0; i < n; ++i) squares.push_back(i * i);
  return rp::Array<long>(squares);
}

TEST(Array, is_one_for_all_processes) {
  rp::Pool pool(4);
  rp::Array<long> array(std::views::iota(0L, 10L));
  pool.apply(prefix_sums, array);
  EXPECT_EQ(content(array), (std::vector<long>{0, 1, 3, 6, 10, 15, 21, 28, 36, 45}));
  EXPECT_EQ(pool.map(rp::partial(sum_of, array), std::vector<int>(8)), std::vector<long>(8, 165));
  rp::Array<int> counts(5);
  pool.map(rp::partial(add_everywhere, counts), std::vector<int>(8, 20), {.chunksize = 1});
  EXPECT_EQ(content(counts), std::vector<int>(5, 160));
  rp::Array<Pair> pairs(1);
  pool.map(rp::partial(swap_pairs, pairs), std::vector<int>(8, 20), {.chunksize = 1});
  EXPECT_EQ(pairs.get(0), (Pair{160, -160}));
}

TEST(Array, larger_than_any_frame) {
  rp::Pool pool(2);
  std::vector<long> numbers(1'500'000);  // more than one piece
  std::iota(numbers.begin(), numbers.end(), 0L);
  const rp::Array<long> array(numbers);
  EXPECT_EQ(content(array), numbers);
  const long sum = std::accumulate(numbers.begin(), numbers.end(), 0L);
  EXPECT_EQ(pool.apply(sum_of, array, 0), sum);
  const rp::Array<long> made = pool.apply(make_squares, 100'000);
  EXPECT_EQ(made.size(), 100'000u);
  EXPECT_EQ(made.get(99'999), 99'999L * 99'999L);
}

TEST(Array, of_memory_that_was_used_before_is_zeroed) {
  for (const std::size_t size : {10u, 1'000u, 100'000u, 1'000'000u}) {
    {
      const rp::Array<int> first(size);
      first.write(std::vector<int>(size, -1));
    }
    const rp::Array<int> second(size);
    const std::vector<int> all = content(second);
    EXPECT_EQ(std::count(all.begin(), all.end(), 0), static_cast<std::ptrdiff_t>(size));
  }
}

}  // namespace
