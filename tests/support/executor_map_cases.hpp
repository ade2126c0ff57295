// The cases of CPython's ExecutorTest about map (Lib/test/test_concurrent_futures/executor.py) and
// ProcessPoolExecutorTest.test_map_chunksize, and those of mpi4py's test_futures.py that these lack, under their names,
// for whatever maps: `map(f, range, options)` returns a ResultIterator.
//
// On purpose other than there: an item's error does not end the iteration (there since 3.15); the time limit is given
// to `next`, not to map; several inputs are one range of pairs; types are checked by the compiler.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "failure.hpp"
#include "inputs.hpp"
#include "scratch.hpp"

namespace support::executor_map {

inline long power(std::pair<long, long> of) {
  long result = 1;
  for (long i = 0; i < of.second; ++i) result *= of.first;
  return result;
}
inline std::pair<long, long> divmod(std::pair<long, long> of) {
  if (of.second == 0) throw std::domain_error("division by zero");
  return {of.first / of.second, of.first % of.second};
}
inline std::string str(long x) { return std::to_string(x); }

inline std::vector<std::pair<long, long>> pairs(long n) {
  std::vector<std::pair<long, long>> all;
  for (long i = 0; i < n; ++i) all.emplace_back(i, i);
  return all;
}
inline std::vector<long> powers(long n) {
  std::vector<long> all;
  for (const auto& pair : pairs(n)) all.push_back(power(pair));
  return all;
}

void test_map(auto map) {
  EXPECT_EQ(map(power, pairs(10), rankpool::MapOptions{}).to_vector(), powers(10));
  EXPECT_EQ(map(power, pairs(10), rankpool::MapOptions{.chunksize = 3}).to_vector(), powers(10));
}

void test_map_chunksize(auto map) {
  EXPECT_THROW(map(power, pairs(10), rankpool::MapOptions{.chunksize = static_cast<std::size_t>(-1)}),
               std::invalid_argument);
  for (const std::size_t chunksize : {6u, 50u, 40u})
    EXPECT_EQ(map(power, pairs(12), rankpool::MapOptions{.chunksize = chunksize}).to_vector(), powers(12));
}

void test_map_exception(auto map) {
  using Pair = std::pair<long, long>;
  const std::vector<Pair> input{{1, 2}, {1, 3}, {1, 0}, {1, 5}};
  for (const std::size_t chunksize : {0u, 1u, 2u, 3u}) {
    auto results = map(divmod, input, rankpool::MapOptions{.chunksize = chunksize});
    EXPECT_EQ(results.next(), Pair(0, 1));
    EXPECT_EQ(results.next(), Pair(0, 1));
    EXPECT_THROW(results.next(), std::domain_error);
    EXPECT_EQ(results.next(), Pair(0, 1)) << "it goes on";
    EXPECT_EQ(results.next(), std::nullopt);
  }
}

void test_map_timeout(auto map) {
  using namespace std::chrono_literals;
  const Scratch scratch;
  const auto last_waits = [](const std::pair<std::string, long>& of) {
    if (of.second == 2 && !eventually([&] { return exists(of.first); })) throw std::runtime_error("was never made");
    return of.second;
  };
  std::vector<std::pair<std::string, long>> input;
  for (const long x : {0, 1, 2}) input.emplace_back(scratch.file("go"), x);
  auto results = map(last_waits, input, rankpool::MapOptions{.chunksize = 1});
  EXPECT_EQ(results.next(long_enough), 0);
  EXPECT_EQ(results.next(long_enough), 1);
  EXPECT_THROW(results.next(100ms), rankpool::TimeoutError);
  add_line(scratch.file("go"), "");
  EXPECT_EQ(results.next(long_enough), 2);
}

void test_map_timeout_from_callable(auto map) {
  using namespace std::chrono_literals;
  const auto throws = [](long x) -> long {
    if (x == 1) throw rankpool::TimeoutError("of the callable");
    return x;
  };
  auto results = map(throws, std::vector<long>{0, 1, 2}, rankpool::MapOptions{});
  EXPECT_EQ(results.next(long_enough), 0);
  const Failure failure([&] { results.next(long_enough); });
  EXPECT_TRUE(failure.is<rankpool::RemoteInfo>()) << failure;
  EXPECT_EQ(failure.what(), "of the callable");
  EXPECT_EQ(results.next(long_enough), 2);
  EXPECT_EQ(results.next(long_enough), std::nullopt);
}

/// Closing a generator is letting the iterator go.
void test_map_close(auto map) {
  const Generator input;
  {
    auto results = map(str, input, rankpool::MapOptions{});
    EXPECT_EQ(results.next(), "0");
  }
  const long drawn = *input.drawn();
  EXPECT_EQ(map(str, std::vector<long>{7}, rankpool::MapOptions{}).to_vector(), std::vector<std::string>{"7"});
  EXPECT_EQ(*input.drawn(), drawn);
}

void test_map_buffersize(auto map) {
  for (const std::size_t buffersize : {1u, 2u, 4u, 8u})
    EXPECT_EQ(map(str, std::views::iota(0L, 4L), rankpool::MapOptions{.buffersize = buffersize}).to_vector(),
              (std::vector<std::string>{"0", "1", "2", "3"}));
}

void test_map_buffersize_value_validation(auto map) {
  EXPECT_THROW(map(str, std::vector<long>{1}, rankpool::MapOptions{.buffersize = static_cast<std::size_t>(-1)}),
               std::invalid_argument);
}

void test_map_buffersize_on_multiple_iterables(auto map) {
  for (const std::size_t buffersize : {1u, 2u, 4u, 8u})
    EXPECT_EQ(map(power, pairs(4), rankpool::MapOptions{.buffersize = buffersize}).to_vector(), powers(4));
}

void test_map_buffersize_on_infinite_iterable(auto map) {
  auto results = map(str, std::views::iota(0L), rankpool::MapOptions{.buffersize = 1});
  for (const char* const expected : {"0", "1", "2"}) EXPECT_EQ(results.next(), expected);
}

void test_map_buffersize_on_empty_iterable(auto map) {
  EXPECT_EQ(map(str, std::vector<long>(), rankpool::MapOptions{.buffersize = 1}).next(), std::nullopt);
}

void test_map_buffersize_when_buffer_is_full(auto map) {
  const Generator input(10);
  const auto results = map(str, input, rankpool::MapOptions{.buffersize = 4});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(*input.drawn(), 4) << "nothing was taken";
}

// ---- of mpi4py

void test_starmap_iter(auto map) {
  const auto pair = [](long x) { return std::pair(x, x); };
  EXPECT_EQ(map(power, Generator(10) | std::views::transform(pair), rankpool::MapOptions{}).to_vector(), powers(10));
}

void test_map_timeout_one(auto map) {
  auto results = map(str, std::vector<long>{0}, rankpool::MapOptions{});
  EXPECT_EQ(results.next(long_enough), "0");
  EXPECT_EQ(results.next(std::chrono::seconds(0)), std::nullopt) << "no false timeout";
}

void test_map_buffersize_chunksize(auto map) {
  for (const std::size_t buffersize : {1u, 2u, 9u, 10u, 11u})
    for (const std::size_t chunksize : {1u, 2u, 9u, 10u, 11u})
      EXPECT_EQ(
          map(power, pairs(10), rankpool::MapOptions{.chunksize = chunksize, .buffersize = buffersize}).to_vector(),
          powers(10));
}

inline void test_all(auto map) {
  test_map(map);
  test_map_chunksize(map);
  test_map_exception(map);
  test_map_timeout(map);
  test_map_timeout_from_callable(map);
  test_map_close(map);
  test_map_buffersize(map);
  test_map_buffersize_value_validation(map);
  test_map_buffersize_on_multiple_iterables(map);
  test_map_buffersize_on_infinite_iterable(map);
  test_map_buffersize_on_empty_iterable(map);
  test_map_buffersize_when_buffer_is_full(map);
  test_starmap_iter(map);
  test_map_timeout_one(map);
  test_map_buffersize_chunksize(map);
}

}  // namespace support::executor_map
