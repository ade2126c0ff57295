// What CPython and mpi4py.futures test of Executor.map, under their names; the cases themselves are in
// support/executor_map_cases.hpp, since Pool::imap must pass them too.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/executor_map_cases.hpp"
#include "../support/scratch.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::long_enough;
using support::sqr;

namespace {

class ExecutorMapTest : public ::testing::Test {
 protected:
  auto map() {
    return [this](auto&& f, auto&& items, const rp::MapOptions& options) {
      return executor.map(f, std::forward<decltype(items)>(items), options);
    };
  }
  rp::ProcessPoolExecutor executor{2};
};

#define RANKPOOL_CASE(name) \
  TEST_F(ExecutorMapTest, name) { support::executor_map::name(map()); }

RANKPOOL_CASE(test_map)
RANKPOOL_CASE(test_map_chunksize)
RANKPOOL_CASE(test_map_exception)
RANKPOOL_CASE(test_map_timeout)
RANKPOOL_CASE(test_map_timeout_from_callable)
RANKPOOL_CASE(test_map_close)
RANKPOOL_CASE(test_map_buffersize)
RANKPOOL_CASE(test_map_buffersize_value_validation)
RANKPOOL_CASE(test_map_buffersize_on_multiple_iterables)
RANKPOOL_CASE(test_map_buffersize_on_infinite_iterable)
RANKPOOL_CASE(test_map_buffersize_on_empty_iterable)
RANKPOOL_CASE(test_map_buffersize_when_buffer_is_full)
RANKPOOL_CASE(test_starmap_iter)
RANKPOOL_CASE(test_map_timeout_one)
RANKPOOL_CASE(test_map_buffersize_chunksize)

#undef RANKPOOL_CASE

std::vector<long> numbers(long count) {
  std::vector<long> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

long add(long a, long b) { return a + b; }

// mpi4py's starmap: tuples are unpacked if the function does not take them whole.
TEST_F(ExecutorMapTest, test_starmap) {
  const std::vector<std::tuple<long, long>> pairs{{1, 2}, {3, 4}, {5, 6}};
  EXPECT_EQ(executor.map(add, pairs).to_vector(), (std::vector<long>{3, 7, 11}));
}

// A map whose results nobody has asked for, and then the end.
TEST_F(ExecutorMapTest, test_shutdown_race_issue12456) {
  const auto data = numbers(2);
  auto results = executor.map(sqr, data);
  EXPECT_TRUE(executor.shutdown_for(long_enough));
  EXPECT_EQ(results.to_vector(), (std::vector<long>{0, 1}));
}

// What has a known size is drawn when the executor is shut down, though nobody iterates.
TEST_F(ExecutorMapTest, test_map_submits_without_iteration) {
  rp::Value<long> finished(0);
  const auto data = numbers(50);
  auto results = executor.map(rp::partial([](rp::Value<long> count, long) { count.fetch_add(1); }, finished), data);
  EXPECT_TRUE(executor.shutdown_for(long_enough));
  EXPECT_EQ(finished.load(), 50);
}

// A time limit that passes costs nothing: there it cancels the task under way and the rest.
TEST_F(ExecutorMapTest, test_executor_map_current_future_cancel) {
  rp::Event gate;
  const auto data = numbers(4);
  auto results = executor.map(rp::partial(
                                  [](rp::Event open, long x) {
                                    open.wait();
                                    return x;
                                  },
                                  gate),
                              data);
  EXPECT_THROW(results.next(10ms), rp::TimeoutError);
  gate.set();
  EXPECT_EQ(results.to_vector(), data);
}

TEST_F(ExecutorMapTest, shutdown_with_cancel_futures_ends_a_map) {
  rp::Event gate;
  auto results = executor.map(rp::partial(
                                  [](rp::Event open, long x) {
                                    open.wait();
                                    return x;
                                  },
                                  gate),
                              std::views::iota(0L));
  executor.shutdown(false, true);
  EXPECT_THROW(results.next(long_enough), rp::CancelledError);
  EXPECT_EQ(results.next(long_enough), std::nullopt);
  gate.set();
  EXPECT_TRUE(executor.shutdown_for(long_enough));
}

// Nothing of a map is kept once its iterator has gone.
TEST_F(ExecutorMapTest, test_free_reference) {
  auto kept = std::make_shared<std::vector<long>>(numbers(4));
  {
    auto results = executor.map(sqr, *kept | std::views::filter([kept](long) { return true; }));
    EXPECT_EQ(results.next(long_enough), 0);
    EXPECT_GT(kept.use_count(), 1);
  }
  EXPECT_EQ(kept.use_count(), 1);
}

}  // namespace
