// ProcessPoolExecutor: submitting, options, the forms of its end.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
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
using support::square;

namespace {

struct Unwritable {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw std::runtime_error("cannot be written");
  }
  std::string text = "not raw";
};

int take(const Unwritable&) { return 1; }

}  // namespace

// ---- submit

TEST(Executor, takes_every_slot_or_a_number) {
  rp::ProcessPoolExecutor all;
  EXPECT_EQ(all.max_workers(), rp::slot_count());
  EXPECT_EQ(rp::ProcessPoolExecutor(0).max_workers(), rp::slot_count());
  EXPECT_EQ(rp::ProcessPoolExecutor(3).max_workers(), 3);
  EXPECT_EQ(rp::ProcessPoolExecutor(rp::ExecutorOptions{}).max_workers(), rp::slot_count());
  EXPECT_THROW(rp::ProcessPoolExecutor(-1), std::invalid_argument);
  const Failure failure([] { rp::ProcessPoolExecutor(1, {.max_tasks_per_child = 0}); });
  ASSERT_TRUE(failure.is<std::invalid_argument>()) << failure;
  EXPECT_NE(failure.what().find("ProcessPoolExecutor: max_tasks_per_child"), std::string::npos) << failure;
}

TEST(Executor, submits_with_options) {
  rp::ProcessPoolExecutor executor(2);
  EXPECT_EQ(executor.submit({.priority = 3}, square, 3L).result(), 9);
  const rp::TaskOptions options{.priority = -1, .timeout = 1h, .retries = 2};
  EXPECT_EQ(executor.submit(options, square, 4L).result(), 16);
  EXPECT_EQ(executor
                .submit(
                    options, [](const std::string& text) { return text + "!"; }, "text")
                .result(),
            "text!");
  EXPECT_THROW(executor.submit({.retries = -1}, square, 1L), std::invalid_argument);
  EXPECT_THROW(executor.submit({.timeout = -1ns}, square, 1L), std::invalid_argument);
}

TEST(Executor, a_task_that_is_late_is_stopped) {
  rp::ProcessPoolExecutor executor(1);
  const auto late = executor.submit({.timeout = 100ms}, support::sleep_for_ever, 1);
  const auto next = executor.submit(square, 3L);
  const Failure failure([&] { late.result(long_enough); });
  EXPECT_TRUE(failure.is<rp::TaskTimeout>()) << failure;
  EXPECT_EQ(next.result(long_enough), 9) << "the worker was replaced";
}

TEST(Executor, higher_priorities_go_first) {
  Gate gate;
  rp::ProcessPoolExecutor executor(1);
  const support::Scratch scratch;
  const std::string file = scratch.file("order");
  const auto note = [](const std::string& to, int number) { support::add_line(to, std::to_string(number)); };
  gate.submit(executor, 0);
  ASSERT_TRUE(gate.wait_for_begun(1));
  for (const int priority : {0, 5, -5, 5, 0}) executor.submit({.priority = priority}, note, file, priority);
  gate.open();
  executor.shutdown();
  EXPECT_EQ(support::numbers_of(file), (std::vector<long>{5, 5, 0, 0, -5}));
}

TEST(Executor, a_lost_task_is_retried) {
  rp::ProcessPoolExecutor executor(1);
  const support::Scratch scratch;
  const std::string file = scratch.file("attempts");
  const auto die_twice = [](const std::string& log) {
    support::add_line(log, "attempt");
    if (support::lines_of(log).size() < 3) support::die_by(SIGKILL);
    return 7;
  };
  EXPECT_EQ(executor.submit({.retries = 2}, die_twice, file).result(long_enough), 7);
  const Failure failure([&] { executor.submit([] { support::die_by(SIGKILL); }).result(long_enough); });
  ASSERT_TRUE(failure.is<rp::WorkerLost>()) << failure;
  EXPECT_EQ(failure.as<rp::WorkerLost>()->task_index(), 1u);
}

TEST(Executor, what_cannot_be_encoded_is_the_error_of_its_future) {
  rp::ProcessPoolExecutor executor(1);
  const auto argument = executor.submit(take, Unwritable());
  const auto callable = executor.submit(rp::partial(take, Unwritable()));
  EXPECT_TRUE(argument.done());
  const Failure failure([&] { argument.result(); });
  ASSERT_TRUE(failure.is<rp::SerializationError>()) << failure;
  EXPECT_NE(failure.what().find("cannot be written"), std::string::npos) << failure;
  EXPECT_FALSE(failure.is<rp::RemoteInfo>()) << "it happened here";
  EXPECT_THROW(callable.result(), rp::SerializationError);
  EXPECT_FALSE(argument.cancelled());
  EXPECT_FALSE(argument.cancel());
  EXPECT_EQ(executor.submit(square, 3L).result(), 9) << "the executor goes on";
}

TEST(Executor, works_in_tasks_and_callbacks) {
  rp::ProcessPoolExecutor executor(2);
  const auto nested = executor.submit(
      [](long x) {
        rp::ProcessPoolExecutor inner(1);
        const auto half = inner.submit(square, x).then([](long value) { return value + 1; });
        return rp::wait(std::vector{half}).done.front().result();
      },
      3L);
  EXPECT_EQ(nested.result(long_enough), 10);
}

TEST(Executor, a_failed_initializer_fails_everything) {
  rp::ProcessPoolExecutor executor(2, {.initializer = [] { throw std::domain_error("no start"); }});
  std::vector<rp::Future<long>> futures;
  try {
    for (int i = 0; i < 10; ++i) futures.push_back(executor.submit(square, 3L));
  } catch (const std::domain_error&) {
    // it has failed already
  }
  for (const auto& future : futures) {
    EXPECT_THROW(future.result(long_enough), std::domain_error);
    EXPECT_FALSE(future.cancelled());
  }
  EXPECT_TRUE(
      support::eventually([&] { return Failure([&] { executor.submit(square, 1L); }).is<std::domain_error>(); }));
}

// ---- the end

TEST(Executor, shutdown_in_every_mix_and_repeated) {
  for (int mix = 0; mix < 16; ++mix) {
    rp::ProcessPoolExecutor executor(2);
    std::vector<rp::Future<long>> futures;
    for (long i = 0; i < 20; ++i) futures.push_back(executor.submit(support::sqr_after, i, 1ms));
    executor.shutdown((mix & 1) != 0, (mix & 2) != 0);
    executor.shutdown((mix & 4) != 0, (mix & 8) != 0);
    const Failure refused([&] { executor.submit(square, 1L); });
    ASSERT_TRUE(refused.is<rp::PoolClosed>()) << refused;
    EXPECT_NE(refused.what().find("shut down"), std::string::npos) << refused;
    executor.shutdown();
    for (std::size_t i = 0; i < futures.size(); ++i) {
      ASSERT_TRUE(futures[i].done()) << mix;
      if (futures[i].cancelled()) {
        EXPECT_NE(mix & 10, 0) << "nobody has cancelled it";
      } else {
        EXPECT_EQ(futures[i].result(), static_cast<long>(i * i));
      }
    }
  }
}

TEST(Executor, a_later_shutdown_waits) {
  rp::ProcessPoolExecutor executor(1);
  const auto future = executor.submit(support::sqr_after, 3L, 50ms);
  executor.shutdown(false);
  executor.shutdown(false);
  executor.shutdown();
  EXPECT_TRUE(future.done());
  executor.shutdown();
  EXPECT_EQ(future.result(0s), 9);
}

TEST(Executor, a_shutdown_with_a_limit) {
  Gate gate;
  rp::ProcessPoolExecutor executor(1);
  const auto future = gate.submit(executor, 5);
  EXPECT_FALSE(executor.shutdown_for(0s));
  EXPECT_FALSE(executor.shutdown_for(-1s));
  const auto waited = support::time_of([&] { EXPECT_FALSE(executor.shutdown_for(30ms)); });
  EXPECT_GE(waited, 30ms);
  EXPECT_THROW(executor.submit(square, 1L), rp::PoolClosed);
  gate.open();
  EXPECT_TRUE(executor.shutdown_for(long_enough));
  EXPECT_TRUE(executor.shutdown_for(0s));
  EXPECT_EQ(future.result(0s), 5);
}

TEST(Executor, a_shutdown_that_cancels_leaves_what_runs) {
  Gate gate;
  rp::ProcessPoolExecutor executor(2);
  std::vector<rp::Future<long>> running{gate.submit(executor, 0), gate.submit(executor, 1)};
  ASSERT_TRUE(gate.wait_for_begun(2));
  std::vector<rp::Future<long>> waiting;
  for (long i = 0; i < 100; ++i) waiting.push_back(executor.submit(square, i));
  EXPECT_FALSE(executor.shutdown_for(200ms, true));
  for (const auto& future : waiting) EXPECT_TRUE(future.cancelled());
  for (const auto& future : running) EXPECT_FALSE(future.done());
  gate.open();
  executor.shutdown(true, true);
  EXPECT_EQ(running[0].result(0s), 0);
  EXPECT_EQ(running[1].result(0s), 1);
}

TEST(Executor, threads_submit_while_it_is_shut_down) {
  for (int round = 0; round < 20; ++round) {
    rp::ProcessPoolExecutor executor(2);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        std::vector<rp::Future<long>> futures;
        try {
          for (;;) futures.push_back(executor.submit(square, 3L));
        } catch (const rp::PoolClosed&) {
        }
        for (const auto& future : futures)  // each has an end
          if (!future.exception(long_enough) && future.result() != 9) ++wrong;
      });
    }
    std::this_thread::sleep_for(1ms);
    executor.shutdown(round % 2 == 0);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(Executor, workers_are_ended_by_force) {
  for (const bool kill : {false, true}) {
    Gate gate;
    rp::ProcessPoolExecutor executor(2);
    const auto pid = executor.submit(support::own_pid);
    std::vector<rp::Future<long>> futures{gate.submit(executor, 0), gate.submit(executor, 1), gate.submit(executor, 2)};
    const int worker = pid.result();
    ASSERT_TRUE(gate.wait_for_begun(2));
    const auto end = [&] { kill ? executor.kill_workers() : executor.terminate_workers(); };
    end();
    for (const auto& future : futures) {
      EXPECT_THROW(future.result(long_enough), rp::CancelledError);
      EXPECT_TRUE(future.cancelled());
    }
    EXPECT_THROW(executor.submit(square, 1L), rp::PoolClosed);
    end();
    executor.kill_workers();
    executor.shutdown();
    end();
    EXPECT_TRUE(support::is_dead(worker));
    EXPECT_EQ(pid.result(), worker) << "what had ended stays";
  }
}

TEST(Executor, unwinding_ends_it_by_force) {
  std::vector<rp::Future<void>> kept;
  EXPECT_THROW(
      {
        rp::ProcessPoolExecutor executor(1);
        kept.push_back(executor.submit(support::sleep_for_ever, 1));
        throw std::runtime_error("unwinds");
      },
      std::runtime_error);
  EXPECT_THROW(kept[0].result(0s), rp::CancelledError);
}

TEST(Executor, calls_of_a_pool_are_numbered_too) {
  rp::Pool pool(1);
  for (std::size_t i = 0; i < 3; ++i) {
    const Failure failure([&] { pool.apply([] { throw std::domain_error("which?"); }); });
    EXPECT_EQ(failure.as<rp::RemoteInfo>()->task_index(), i);
  }
}
