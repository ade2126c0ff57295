// The cases of CPython 3.13 (Lib/test/_test_multiprocessing.py) about the life of a pool and its workers, under their
// names: the rest of _TestPool, _TestPoolWorkerLifetime, TestPoolNotLeakOnFailure, and of MiscTestCase and
// TestInitializers what is about pools.
//
// On purpose other than there: the end of a scope drains the pool unless an exception unwinds it, and an initializer
// that cannot be called does not compile.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;
using support::sqr;
using support::sqr_after;

// ---- _TestPool

TEST(TestPool, test_make_pool) {
  EXPECT_THROW(rp::Pool(-1), std::invalid_argument);
  EXPECT_THROW(rp::Pool(0), std::invalid_argument);
  rp::Pool pool(3);
  EXPECT_EQ(pool.processes(), 3);
  EXPECT_EQ(support::worker_pids(pool).size(), 3u);
  pool.close();
  pool.join();
}

TEST(TestPool, test_terminate) {
  rp::Pool pool(3);
  const rp::AsyncResult<void> result =
      pool.map_async(support::sleep_for_ever, std::vector<int>(10000), {.chunksize = 1});
  std::this_thread::sleep_for(200ms);
  const auto time = support::time_of([&] {
    pool.terminate();
    pool.join();
  });
  EXPECT_LT(time, long_enough);
  EXPECT_THROW(result.get(), rp::CancelledError) << "it would wait for ever there";
}

TEST(TestPool, test_context) {
  std::vector<long> expected;
  for (long i = 0; i < 10; ++i) expected.push_back(sqr(i));
  rp::Pool pool(2);
  const Failure failure([&] {
    const rp::AsyncResult<std::vector<long>> result = pool.map_async(sqr, std::views::iota(0L, 10L));
    EXPECT_EQ(result.get(), expected);
  });
  EXPECT_FALSE(failure) << failure;
  pool.terminate();  // what the end of `with` does
  pool.join();
  EXPECT_THROW(pool.map_async(sqr, std::views::iota(0L, 10L)), rp::PoolClosed);
}

TEST(TestPool, test_enter) {
  rp::Pool pool(1);
  pool.close();
  EXPECT_THROW(pool.apply(sqr, 1L), rp::PoolClosed) << "a pool that was left cannot be entered again";
  pool.join();
}

// ---- _TestPoolWorkerLifetime

TEST(TestPoolWorkerLifetime, test_pool_worker_lifetime) {
  rp::Pool pool(rp::PoolOptions{.processes = 3, .max_tasks_per_child = 10});
  EXPECT_EQ(pool.processes(), 3);
  const std::set<int> before = support::worker_pids(pool);
  std::vector<rp::AsyncResult<long>> results;
  for (long i = 0; i < 100; ++i) results.push_back(pool.apply_async(sqr, i));
  for (long i = 0; i < 100; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), sqr(i));
  const std::set<int> after = support::worker_pids(pool);
  EXPECT_GE(after.size(), 3u) << "the pool is full again";
  EXPECT_NE(before, after);
  pool.close();
  pool.join();
}

TEST(TestPoolWorkerLifetime, test_pool_worker_lifetime_early_close) {
  rp::Pool pool(rp::PoolOptions{.processes = 3, .max_tasks_per_child = 1});
  std::vector<rp::AsyncResult<long>> results;
  for (long i = 0; i < 6; ++i) results.push_back(pool.apply_async(sqr_after, i, 50ms));
  pool.close();
  pool.join();
  for (long i = 0; i < 6; ++i) {
    EXPECT_TRUE(results[static_cast<std::size_t>(i)].ready()) << i;
    EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), sqr(i));
  }
}

TEST(TestPoolWorkerLifetime, test_pool_maxtasksperchild_invalid) {
  for (const int value : {0, -1}) {  // the other two values there do not compile
    const Failure failure([&] { rp::Pool(rp::PoolOptions{.processes = 3, .max_tasks_per_child = value}); });
    ASSERT_TRUE(failure.is<std::invalid_argument>()) << failure;
    EXPECT_NE(failure.what().find("max_tasks_per_child"), std::string::npos) << failure;
  }
}

// ---- TestPoolNotLeakOnFailure: no process can be made to fail its start here, so an initializer does

TEST(TestPoolNotLeakOnFailure, test_release_unused_processes) {
  { rp::Pool warm_up(1); }
  const std::set<int> before = support::job_processes();
  {
    rp::Pool pool(rp::PoolOptions{.processes = 6, .initializer = [] { throw std::domain_error("will fail"); }});
    EXPECT_THROW(pool.apply(sqr, 1L), std::domain_error);
  }
  EXPECT_TRUE(support::eventually([&] { return support::job_processes() == before; }))
      << support::job_processes().size() << " processes";
}

// ---- MiscTestCase

TEST(MiscTestCase, test_large_pool) {
  rp::Pool pool(200);
  const std::vector<long> squares = pool.map(sqr, std::views::iota(0L, 1000L));
  EXPECT_EQ(std::accumulate(squares.begin(), squares.end(), 0L), 332833500);
  pool.close();
  pool.join();
}

// ---- TestInitializers

TEST(TestInitializers, test_pool_initializer) {
  const support::Scratch scratch;
  const std::string log = scratch.file("test");
  rp::Pool pool(rp::PoolOptions{
      .processes = 1, .initializer = rp::partial([](const std::string& file) { support::add_line(file, "1"); }, log)});
  pool.close();
  pool.join();
  EXPECT_EQ(support::lines_of(log), std::vector<std::string>{"1"});
}
