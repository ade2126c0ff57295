// The cases of CPython 3.13 and main (Lib/test/test_concurrent_futures: executor.py, test_process_pool.py,
// test_deadlock.py, test_init.py) under their names, and those of mpi4py (demo/futures/test_futures.py) about the life
// of an executor, without those about `map`.
//
// On purpose other than there: 0 workers are all slots, a crash costs the task that crashed and no other, a worker that
// cannot be replaced fails the executor with the error of its initializer, and workers are started at once.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/gate.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::Gate;
using support::long_enough;
using support::own_pid;

namespace {

long mul(long x, long y) { return x * y; }
long power(long base, long exponent) {
  long value = 1;
  for (; exponent > 0; --exponent) value *= base;
  return value;
}
using Futures = std::vector<rp::Future<long>>;

}  // namespace

// ---- ExecutorTest

TEST(ExecutorTest, test_submit) {
  rp::ProcessPoolExecutor executor(5);
  EXPECT_EQ(executor.submit(power, 2L, 8L).result(), 256);
}

TEST(ExecutorTest, test_submit_keyword) {
  rp::ProcessPoolExecutor executor(5);
  const auto named = rp::partial(mul, 2L);
  EXPECT_EQ(executor.submit(named, 8L).result(), 16);
  EXPECT_EQ(
      executor.submit([](const std::string& self, const std::string& fn) { return self + fn; }, "1", "2").result(),
      "12");
}

TEST(ExecutorTest, test_max_workers_negative) {
  for (const int number : {-1, -2}) {
    const Failure failure([&] { rp::ProcessPoolExecutor executor(number); });
    ASSERT_TRUE(failure.is<std::invalid_argument>()) << failure;
    EXPECT_NE(failure.what().find("max_workers"), std::string::npos) << failure;
  }
}

TEST(ExecutorTest, test_no_stale_references) {
  rp::ProcessPoolExecutor executor(5);
  auto object = std::make_shared<int>(1);
  const std::weak_ptr<int> collected = object;
  executor.submit([] {}).add_done_callback([object](const rp::Future<void>&) {});
  object.reset();
  EXPECT_TRUE(support::eventually([&] { return collected.expired(); })) << "stale reference not collected";
}

TEST(ExecutorTest, test_swallows_falsey_exceptions) {
  rp::ProcessPoolExecutor executor(5);
  const auto falsey = executor.submit([]() -> int { throw 0; });
  EXPECT_NE(falsey.exception(), nullptr);
  EXPECT_THROW(falsey.result(), rp::RemoteError);
  EXPECT_THROW(executor.submit([]() -> int { throw std::domain_error(""); }).result(), std::domain_error);
}

// ---- ProcessPoolExecutorTest

TEST(ProcessPoolExecutorTest, test_killed_child) {
  rp::ProcessPoolExecutor executor(1);
  const auto lost = executor.submit([] { support::die_by(SIGKILL); });
  const Failure failure([&] { lost.result(long_enough); });
  ASSERT_TRUE(failure.is<rp::WorkerLost>()) << failure;
  EXPECT_EQ(failure.as<rp::WorkerLost>()->signal(), SIGKILL);
  EXPECT_EQ(executor.submit(power, 2L, 8L).result(), 256) << "the executor is not broken";
}

TEST(ProcessPoolExecutorTest, test_saturation) {
  constexpr int workers = 3;
  rp::ProcessPoolExecutor executor(workers);
  rp::Semaphore semaphore(0);
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  for (int i = 0; i < 15 * workers; ++i) {
    executor.submit(
        [](const std::string& file, rp::Semaphore gate) {
          support::add_line(file, std::to_string(::getpid()));
          gate.acquire();
        },
        log, semaphore);
  }
  EXPECT_TRUE(support::eventually([&] { return support::lines_of(log).size() >= workers; }));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(support::lines_of(log).size(), static_cast<std::size_t>(workers)) << "each worker is in one task";
  for (int i = 0; i < 15 * workers; ++i) semaphore.release();
  executor.shutdown();
  const std::vector<long> pids = support::numbers_of(log);
  EXPECT_EQ(pids.size(), 15u * workers);
  EXPECT_EQ(std::set<long>(pids.begin(), pids.end()).size(), static_cast<std::size_t>(workers));
}

TEST(ProcessPoolExecutorTest, test_idle_process_reuse_one) {
  rp::ProcessPoolExecutor executor(1);
  std::set<int> pids;
  for (int i = 0; i < 3; ++i) pids.insert(executor.submit(own_pid).result());
  EXPECT_EQ(pids.size(), 1u);
}

TEST(ProcessPoolExecutorTest, test_idle_process_reuse_multiple) {
  rp::ProcessPoolExecutor executor(4);
  std::set<int> pids;
  for (int i = 0; i < 10; ++i) {
    const auto first = executor.submit(own_pid);
    const auto second = executor.submit(own_pid);
    pids.insert(first.result());
    pids.insert(second.result());
  }
  EXPECT_LE(pids.size(), 4u);
}

TEST(ProcessPoolExecutorTest, test_max_tasks_per_child) {
  rp::ProcessPoolExecutor executor(1, {.max_tasks_per_child = 3});
  const int original = executor.submit(own_pid).result();
  EXPECT_EQ(executor.submit(own_pid).result(), original);
  EXPECT_EQ(executor.submit(own_pid).result(), original);
  const int replacement = executor.submit(own_pid).result();
  EXPECT_NE(replacement, original);
  EXPECT_EQ(executor.submit(own_pid).result(), replacement);
}

TEST(ProcessPoolExecutorTest, test_max_tasks_per_child_defaults_to_never) {
  rp::ProcessPoolExecutor executor(1);
  const int original = executor.submit(own_pid).result();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(executor.submit(own_pid).result(), original);
}

TEST(ProcessPoolExecutorTest, test_max_tasks_early_shutdown) {
  rp::ProcessPoolExecutor executor(3, {.max_tasks_per_child = 1});
  Futures futures;
  for (long i = 0; i < 6; ++i) futures.push_back(executor.submit(mul, i, i));
  executor.shutdown();
  for (long i = 0; i < 6; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].result(0s), mul(i, i));
}

TEST(ProcessPoolExecutorTest, test_max_tasks_per_child_pending_tasks_gh115634) {
  rp::ProcessPoolExecutor executor(2, {.max_tasks_per_child = 2});
  Futures futures;
  for (long i = 0; i < 30; ++i) futures.push_back(executor.submit(mul, i, i));
  for (long i = 0; i < 30; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].result(long_enough), mul(i, i));
}

TEST(ProcessPoolExecutorTest, test_failed_worker_replacement_breaks_pool) {
  const support::Scratch scratch;
  const auto fail_later = [](const std::string& log) {
    support::add_line(log, "start");
    if (support::lines_of(log).size() > 1) throw std::domain_error("no replacement");
  };
  Gate gate;
  rp::ProcessPoolExecutor executor(
      1, {.initializer = rp::partial(fail_later, scratch.file("starts")), .max_tasks_per_child = 1});
  std::vector<rp::Future<void>> futures;
  const rp::Future<long> first = gate.submit(executor, 1);
  for (int i = 0; i < 5; ++i) futures.push_back(executor.submit([] {}));
  gate.open();
  EXPECT_EQ(first.result(long_enough), 1);
  for (const auto& future : futures) EXPECT_THROW(future.result(long_enough), std::domain_error);
  EXPECT_THROW(executor.submit(own_pid), std::domain_error);
}

// ---- TerminateWorkers, KillWorkers

namespace {

class ForceShutdownTest : public testing::TestWithParam<bool> {
 protected:
  static void end(rp::ProcessPoolExecutor& executor) {
    if (GetParam()) {
      executor.kill_workers();
    } else {
      executor.terminate_workers();
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Workers, ForceShutdownTest, testing::Values(false, true), [](const auto& test) {
  return std::string(test.param ? "kill_workers" : "terminate_workers");
});

void put_sleep_put(rp::Queue<std::string> queue) {
  queue.put("started");
  std::this_thread::sleep_for(60s);
  queue.put("finished");
}

}  // namespace

TEST_P(ForceShutdownTest, test_force_shutdown_workers) {
  rp::ProcessPoolExecutor executor(1);
  rp::Queue<std::string> queue;
  const int worker = executor.submit(own_pid).result();
  const auto future = executor.submit(put_sleep_put, queue);
  EXPECT_EQ(queue.get(long_enough), "started");
  end(executor);
  EXPECT_TRUE(executor.shutdown_for(long_enough));
  EXPECT_TRUE(support::is_dead(worker));
  EXPECT_THROW(future.result(0s), rp::CancelledError);
  EXPECT_TRUE(queue.empty()) << "it was stopped before it had finished";
}

TEST_P(ForceShutdownTest, test_force_shutdown_workers_dead_workers) {
  rp::ProcessPoolExecutor executor(1);
  const auto lost = executor.submit([] { support::die_by(SIGKILL); });
  EXPECT_THROW(lost.result(long_enough), rp::WorkerLost);
  end(executor);
  executor.shutdown();
  EXPECT_THROW(lost.result(), rp::WorkerLost) << "what has ended stays";
}

TEST_P(ForceShutdownTest, test_force_shutdown_workers_not_started_yet) {
  rp::ProcessPoolExecutor executor(1);
  end(executor);
  EXPECT_TRUE(executor.shutdown_for(long_enough));
}

TEST_P(ForceShutdownTest, test_force_shutdown_workers_stops_pool) {
  rp::ProcessPoolExecutor executor(1);
  EXPECT_EQ(executor.submit(power, 2L, 3L).result(), 8);
  end(executor);
  EXPECT_THROW(executor.submit(power, 2L, 3L), rp::PoolClosed);
  executor.shutdown();
  end(executor);
  EXPECT_THROW(executor.submit(power, 2L, 3L), rp::PoolClosed);
}

// ---- ExecutorDeadlockTest

TEST(ExecutorDeadlockTest, test_shutdown_deadlock) {
  rp::ProcessPoolExecutor executor(2);
  const auto crash = executor.submit([] { support::die(support::Death::segmentation_fault); });
  executor.shutdown();
  EXPECT_THROW(crash.result(), rp::WorkerLost);
}

namespace {

struct ErrorAtPickle {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw std::runtime_error("error in pickle");
  }
  std::string text;
};

}  // namespace

TEST(ExecutorDeadlockTest, test_shutdown_deadlock_pickle) {
  rp::ProcessPoolExecutor executor(2);
  executor.submit(own_pid).result();
  const auto failing = executor.submit([](const ErrorAtPickle& object) { return object.text; }, ErrorAtPickle());
  executor.shutdown(false);
  EXPECT_THROW(failing.result(), rp::SerializationError);
  EXPECT_TRUE(executor.shutdown_for(long_enough));
}

TEST(ExecutorDeadlockTest, test_crash_big_data) {
  rp::ProcessPoolExecutor executor(1);
  const std::vector<std::byte> data(16 * 1024 * 1024);
  std::vector<rp::Future<std::size_t>> futures;
  for (int i = 0; i < 3; ++i) {
    futures.push_back(executor.submit(
        [](const std::vector<std::byte>& bytes, int number) {
          if (number == 1) support::die(support::Death::segmentation_fault);
          return bytes.size();
        },
        data, i));
  }
  EXPECT_EQ(futures[0].result(long_enough), data.size());
  EXPECT_THROW(futures[1].result(long_enough), rp::WorkerLost);
  EXPECT_EQ(futures[2].result(long_enough), data.size());
}

TEST(ExecutorDeadlockTest, test_gh105829_should_not_deadlock_if_wakeup_pipe_full) {
  rp::ProcessPoolExecutor executor(2);
  std::vector<rp::Future<std::size_t>> futures;
  for (int i = 0; i < 100; ++i)
    futures.push_back(executor.submit([](const std::string& text) { return text.size(); }, std::string(70'000, 'x')));
  std::this_thread::sleep_for(20ms);
  executor.shutdown();
  for (const auto& future : futures) EXPECT_EQ(future.result(0s), 70'000u);
}

// ---- ProcessPoolInitializerTest, FailingInitializer

TEST(InitializerTest, test_initializer) {
  const support::Scratch scratch;
  const std::string log = scratch.file("initialized");
  rp::ProcessPoolExecutor executor(
      2, {.initializer = rp::partial([](const std::string& file) { support::add_line(file, "initialized"); }, log)});
  for (int i = 0; i < 10; ++i) executor.submit(own_pid).result();
  executor.shutdown();
  EXPECT_EQ(support::lines_of(log).size(), 2u);
}

TEST(FailingInitializerTest, test_initializer) {
  rp::ProcessPoolExecutor executor(2, {.initializer = [] { throw std::domain_error("error in initializer"); }});
  std::optional<rp::Future<int>> future;
  const Failure refused([&] { future = executor.submit(own_pid); });  // unless it has failed already
  if (future) {
    EXPECT_THROW(future->result(long_enough), std::domain_error);
  } else {
    EXPECT_TRUE(refused.is<std::domain_error>()) << refused;
  }
  EXPECT_TRUE(support::eventually([&] { return Failure([&] { executor.submit(own_pid); }).is<std::domain_error>(); }));
}

// ---- mpi4py

TEST(Mpi4pyFutures, bootup_shutdown_nowait) {
  auto executor = std::make_unique<rp::ProcessPoolExecutor>();
  executor->shutdown(false);
  executor.reset();
}

TEST(Mpi4pyFutures, construct_without_use) {
  for (int i = 0; i < 5; ++i) rp::ProcessPoolExecutor(2, {.initializer = [] {}, .max_tasks_per_child = 1});
}

TEST(Mpi4pyFutures, initializer_error_del) {
  for (const bool wait : {false, true}) {
    auto executor = std::make_unique<rp::ProcessPoolExecutor>(1, rp::ExecutorOptions{.initializer = [] { throw 1; }});
    std::optional<rp::Future<int>> future;
    const Failure refused([&] { future = executor->submit(own_pid); });
    executor->shutdown(wait);
    executor.reset();
    if (!future) continue;  // it had failed already
    EXPECT_THROW(future->result(long_enough), rp::RemoteError);
  }
}

TEST(Mpi4pyFutures, a_broken_executor_harms_no_other) {
  for (int i = 0; i < 4; ++i) {
    rp::ProcessPoolExecutor broken(1, {.initializer = [] { throw std::domain_error("broken"); }});
    rp::ProcessPoolExecutor sound(1);
    EXPECT_EQ(sound.submit(mul, 6L, 7L).result(), 42);
  }
}

TEST(Mpi4pyFutures, initializer_4) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([] {
      rp::ProcessPoolExecutor executor(1, {.initializer = [] {}});
      EXPECT_EQ(executor.submit(mul, 6L, 7L).result(), 42);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Mpi4pyFutures, submit_cancel) {
  Gate gate;
  rp::ProcessPoolExecutor executor(1);
  gate.submit(executor, 0);
  ASSERT_TRUE(gate.wait_for_begun(1));
  Futures futures;
  for (long i = 0; i < 100; ++i) futures.push_back(executor.submit(mul, i, i));
  EXPECT_TRUE(futures.back().cancel());
  EXPECT_TRUE(futures.back().cancelled());
  gate.open();
  EXPECT_EQ(futures[98].result(long_enough), 98 * 98);
}

TEST(Mpi4pyFutures, multiple_executors) {
  rp::ProcessPoolExecutor executor1(1);
  rp::ProcessPoolExecutor executor2(1);
  rp::ProcessPoolExecutor executor3(1);
  const auto future1 = executor1.submit(mul, 2L, 21L);
  const auto future2 = executor2.submit(mul, 3L, 14L);
  const auto future3 = executor3.submit(mul, 6L, 7L);
  EXPECT_EQ(future3.result(), 42);
  EXPECT_EQ(future2.result(), 42);
  EXPECT_EQ(future1.result(), 42);
}

TEST(Mpi4pyFutures, shared_executors) {
  std::vector<std::unique_ptr<rp::ProcessPoolExecutor>> executors;
  for (int i = 0; i < 16; ++i) executors.push_back(std::make_unique<rp::ProcessPoolExecutor>(1));
  Futures futures;
  for (long i = 0; i < 128; ++i)
    for (const auto& executor : executors) futures.push_back(executor->submit(mul, i, 2L));
  for (std::size_t i = 0; i < futures.size(); ++i)
    ASSERT_EQ(futures[i].result(), static_cast<long>(2 * (i / executors.size())));
}
