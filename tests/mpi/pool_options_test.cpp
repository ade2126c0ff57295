// PoolOptions: initializer, max_tasks_per_child, retries, memory_limit.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
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
using support::square;

namespace {

int state_of_worker = 0;  // set by initializers

void set_state() { state_of_worker = 5; }
void set_state_to(int value, const std::string& text) { state_of_worker = value + static_cast<int>(text.size()); }
void log_pid(const std::string& log) { support::add_line(log, std::to_string(::getpid())); }
void log_pid_and_throw(const std::string& log) {
  log_pid(log);
  throw std::runtime_error("no licence");
}
void log_pid_and_die(const std::string& log, support::Death how) {
  log_pid(log);
  support::die(how);
}
int state(int) { return state_of_worker; }

int nap_and_tell_pid(int) {
  std::this_thread::sleep_for(1ms);
  return ::getpid();
}

std::map<int, int> counted(const std::vector<int>& values) {
  std::map<int, int> counts;
  for (const int value : values) ++counts[value];
  return counts;
}

}  // namespace

// ---- initializer

TEST(Initializer, runs_before_the_first_task) {
  rp::Pool plain(rp::PoolOptions{.processes = 2, .initializer = set_state});
  EXPECT_EQ(plain.map(state, std::vector<int>(50), {.chunksize = 1}), std::vector<int>(50, 5));
  rp::Pool bound(rp::PoolOptions{.processes = 2, .initializer = rp::partial(set_state_to, 10, "abc")});
  EXPECT_EQ(bound.map(state, std::vector<int>(50), {.chunksize = 1}), std::vector<int>(50, 13));
  const int captured = 77;
  rp::Pool lambda(rp::PoolOptions{.processes = 1, .initializer = [captured] { state_of_worker = captured; }});
  EXPECT_EQ(lambda.apply(state, 0), 77);
  EXPECT_EQ(state_of_worker, 0) << "never here";
}

TEST(Initializer, runs_once_in_each_worker) {
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  {
    rp::Pool pool(rp::PoolOptions{.processes = 3, .initializer = rp::partial(log_pid, log)});
    const std::set<int> pids = support::worker_pids(pool);
    pool.map(nap_and_tell_pid, std::vector<int>(100));
    const std::vector<long> logged = support::numbers_of(log);
    EXPECT_EQ(std::set<int>(logged.begin(), logged.end()), pids);
  }
  EXPECT_EQ(support::numbers_of(log).size(), 3u);
}

TEST(Initializer, runs_in_every_worker_of_an_unused_pool) {
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  { rp::Pool pool(rp::PoolOptions{.processes = 4, .initializer = rp::partial(log_pid, log)}); }
  EXPECT_EQ(support::numbers_of(log).size(), 4u);
}

TEST(Initializer, runs_in_replacements) {
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  rp::Pool pool(rp::PoolOptions{.processes = 2, .initializer = rp::partial(log_pid, log)});
  for (int i = 0; i < 5; ++i) EXPECT_THROW(pool.apply([] { ::_exit(1); }), rp::WorkerLost);
  const int pid = pool.apply(support::own_pid);
  const std::vector<long> logged = support::numbers_of(log);
  EXPECT_EQ(std::count(logged.begin(), logged.end(), pid), 1) << "the worker of the last task was initialized, once";
}

TEST(Initializer, one_that_throws_fails_the_pool_with_its_error) {
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  rp::Pool pool(rp::PoolOptions{.processes = 3, .initializer = rp::partial(log_pid_and_throw, log)});
  for (int use = 0; use < 3; ++use) {
    const Failure failure([&] { pool.map(square, std::vector<long>{1, 2, 3}); });
    const auto* const error = failure.as<rp::RemoteError>();
    ASSERT_NE(error, nullptr) << "use " << use << ": " << failure;
    EXPECT_STREQ(error->what(), "no licence");
    EXPECT_EQ(error->type_name(), "std::runtime_error");
    EXPECT_FALSE(error->task_index().has_value()) << "it is no task";
    EXPECT_TRUE(std::ranges::count(support::numbers_of(log), error->pid()) == 1) << error->pid();
  }
  EXPECT_THROW(pool.apply(square, 1L), rp::RemoteError);
  std::this_thread::sleep_for(100ms);
  EXPECT_LE(support::numbers_of(log).size(), 3u) << "its workers are not started again and again";
  pool.close();
  pool.join();
}

TEST(Initializer, one_that_throws_reaches_results_that_wait) {
  rp::Pool pool(rp::PoolOptions{.processes = 1, .initializer = [] {
                                  std::this_thread::sleep_for(50ms);
                                  throw std::length_error("too late");
                                }});
  const rp::AsyncResult<long> one = pool.apply_async(square, 3L);
  const rp::AsyncResult<std::vector<long>> many = pool.map_async(square, std::vector<long>(1000));
  EXPECT_THROW(one.get(), std::length_error);
  EXPECT_THROW(many.get(), std::length_error);
  rp::Pool other(1);
  EXPECT_EQ(other.apply(square, 3L), 9) << "another pool is not affected";
}

TEST(Initializer, a_pool_that_failed_can_be_left_in_any_way) {
  const auto refuse = [] { throw std::domain_error("refused"); };
  { rp::Pool unused(rp::PoolOptions{.processes = 2, .initializer = refuse}); }
  rp::Pool terminated(rp::PoolOptions{.processes = 2, .initializer = refuse});
  EXPECT_THROW(terminated.apply(square, 1L), std::domain_error);
  terminated.terminate();
  EXPECT_TRUE(terminated.join_for(support::long_enough));
  const Failure unwinding([&] {
    rp::Pool pool(rp::PoolOptions{.processes = 2, .initializer = refuse});
    pool.apply(square, 1L);
  });
  EXPECT_TRUE(unwinding.is<std::domain_error>()) << unwinding;
}

TEST(Initializer, one_that_crashes_fails_the_pool) {
  using support::Death;
  const support::Scratch scratch;
  const auto lost = [&](const std::string& log, Death how) {
    rp::Pool pool(rp::PoolOptions{.processes = 2, .initializer = rp::partial(log_pid_and_die, log, how)});
    for (int use = 0; use < 2; ++use) {
      const Failure failure([&] { pool.map(square, std::vector<long>{1, 2, 3}); });
      const auto* const error = failure.as<rp::WorkerLost>();
      EXPECT_NE(error, nullptr) << failure;
      if (error == nullptr) continue;
      EXPECT_EQ(error->signal(), how == Death::segmentation_fault ? std::optional<int>(SIGSEGV) : std::nullopt);
      EXPECT_EQ(error->exit_code(), how == Death::exit ? std::optional<int>(6) : std::nullopt);
    }
    std::this_thread::sleep_for(100ms);
    EXPECT_LE(support::numbers_of(log).size(), 2u) << "its workers are not started again and again";
  };
  lost(scratch.file("by signal"), Death::segmentation_fault);
  lost(scratch.file("by exit"), Death::exit);
}

// ---- max_tasks_per_child

TEST(MaxTasksPerChild, one) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .max_tasks_per_child = 1});
  const auto counts = counted(pool.map(support::own_pid_for, std::vector<int>(100), {.chunksize = 1}));
  EXPECT_EQ(counts.size(), 100u);
}

TEST(MaxTasksPerChild, three) {
  rp::Pool pool(rp::PoolOptions{.processes = 3, .max_tasks_per_child = 3});
  const auto counts = counted(pool.map(nap_and_tell_pid, std::vector<int>(100), {.chunksize = 1}));
  EXPECT_GE(counts.size(), 34u);
  for (const auto& [pid, count] : counts) EXPECT_LE(count, 3) << "worker " << pid;
}

TEST(MaxTasksPerChild, in_chunks_and_alone) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .max_tasks_per_child = 5});
  for (const std::size_t chunksize : {0u, 2u, 5u, 7u}) {
    const auto results = pool.map(square, std::views::iota(0L, 60L), {.chunksize = chunksize});
    for (long i = 0; i < 60; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i) << "chunksize " << chunksize;
  }
  for (long i = 0; i < 30; ++i) EXPECT_EQ(pool.apply(square, i), i * i);
}

TEST(MaxTasksPerChild, none_is_never) {
  rp::Pool pool(1);
  EXPECT_EQ(counted(pool.map(support::own_pid_for, std::vector<int>(500), {.chunksize = 1})).size(), 1u);
}

TEST(MaxTasksPerChild, counts_tasks_that_throw) {
  rp::Pool pool(rp::PoolOptions{.processes = 1, .max_tasks_per_child = 2});
  std::map<int, int> counts;
  for (int i = 0; i < 20; ++i) {
    const Failure failure([&] { pool.apply([] { throw std::runtime_error("no"); }); });
    const auto* const error = failure.as<rp::RemoteError>();
    ASSERT_NE(error, nullptr) << failure;
    ++counts[error->pid()];
  }
  EXPECT_GE(counts.size(), 10u);
}

TEST(MaxTasksPerChild, runs_the_initializer_in_each) {
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  {
    rp::Pool pool(rp::PoolOptions{.processes = 2, .initializer = rp::partial(log_pid, log), .max_tasks_per_child = 1});
    const auto counts = counted(pool.map(support::own_pid_for, std::vector<int>(20), {.chunksize = 1}));
    const std::vector<long> logged = support::numbers_of(log);
    const std::set<int> initialized(logged.begin(), logged.end());
    for (const auto& [pid, count] : counts) EXPECT_TRUE(initialized.contains(pid)) << pid;
  }
  const std::vector<long> logged = support::numbers_of(log);
  EXPECT_EQ(std::set<long>(logged.begin(), logged.end()).size(), logged.size()) << "twice in a worker";
}

TEST(MaxTasksPerChild, refuses_numbers_without_sense) {
  EXPECT_THROW(rp::Pool(rp::PoolOptions{.processes = 1, .max_tasks_per_child = 0}), std::invalid_argument);
  EXPECT_THROW(rp::Pool(rp::PoolOptions{.processes = 1, .max_tasks_per_child = -1}), std::invalid_argument);
}

// ---- memory_limit

namespace {

std::size_t allocate(std::size_t mebibytes) {
  const std::vector<char> block(mebibytes * 1024 * 1024, 'x');
  return static_cast<std::size_t>(std::count(block.begin(), block.end(), 'x'));
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need far more memory, and die without it
TEST(MemoryLimit, a_task_that_wants_more_gets_bad_alloc) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .memory_limit = 256u * 1024 * 1024});
  EXPECT_EQ(pool.apply(allocate, 50u), 50u * 1024 * 1024);
  const int pid = pool.apply(support::own_pid);
  for (int i = 0; i < 3; ++i) {
    const Failure failure([&] { pool.apply(allocate, 1000u); });
    EXPECT_TRUE(failure.is<std::bad_alloc>()) << failure;
    EXPECT_TRUE(failure.is<rp::RemoteInfo>()) << failure;
  }
  EXPECT_TRUE(support::worker_pids(pool).contains(pid)) << "the workers survive";
  EXPECT_EQ(pool.apply(allocate, 50u), 50u * 1024 * 1024);
}
#endif

TEST(MemoryLimit, zero_is_none) {
  rp::Pool pool(rp::PoolOptions{.processes = 1, .memory_limit = 0});
  EXPECT_EQ(pool.apply(allocate, 300u), 300u * 1024 * 1024);
}
