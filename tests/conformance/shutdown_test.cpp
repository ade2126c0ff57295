// The cases of CPython 3.13 (Lib/test/test_concurrent_futures/test_shutdown.py) and of mpi4py
// (demo/futures/test_futures.py) about the end of an executor, under their names, without those about `map`.
//
// On purpose other than there: the end of a scope kills the workers if an exception unwinds it.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/gate.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::Gate;
using support::long_enough;
using support::sqr;
using support::sqr_after;

namespace {

using Futures = std::vector<rp::Future<long>>;

void sleep_and_print(std::chrono::milliseconds nap, const std::string& text) {
  std::this_thread::sleep_for(nap);
  std::printf("%s\n", text.c_str());
}

const support::SmallProgram exits("exits", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::ProcessPoolExecutor executor(2);
    executor.submit(sleep_and_print, 200ms, "apple");
  });
});

std::unique_ptr<rp::ProcessPoolExecutor> leaked;
const support::SmallProgram submits_late("submits_late", [](int argc, char** argv) {
  rp::run(argc, argv, [] {
    leaked = std::make_unique<rp::ProcessPoolExecutor>(1);
    leaked->submit(sqr, 3L).result();
  });
  try {
    leaked->submit(sqr, 3L);
  } catch (const rp::NotRunning&) {
    std::printf("NotRunning\n");
  }
  leaked.reset();
  return 0;
});

struct ErrorAtPickle {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw std::runtime_error("error in pickle");
  }
  std::string text;
};
const support::SmallProgram cannot_send("cannot_send", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::ProcessPoolExecutor executor(1);
    const auto future = executor.submit([](const ErrorAtPickle& object) { return object.text; }, ErrorAtPickle());
    executor.shutdown(false);
    return future.exception() ? 0 : 3;
  });
});

}  // namespace

// ---- ExecutorShutdownTest

TEST(ExecutorShutdownTest, test_run_after_shutdown) {
  rp::ProcessPoolExecutor executor(5);
  executor.shutdown();
  EXPECT_THROW(executor.submit(sqr, 2L), rp::PoolClosed);
}

TEST(ExecutorShutdownTest, test_interpreter_shutdown) {
  const auto ended = support::start("exits");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_EQ(ended.out, "apple\n") << ended;
}

TEST(ExecutorShutdownTest, test_submit_after_interpreter_shutdown) {
  const auto ended = support::start("submits_late");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_EQ(ended.out, "NotRunning\n") << ended;
}

TEST(ExecutorShutdownTest, test_hang_issue12364) {
  rp::ProcessPoolExecutor executor(5);
  Futures futures;
  for (long i = 0; i < 50; ++i) futures.push_back(executor.submit(sqr_after, i, 2ms));
  executor.shutdown();
  for (const auto& future : futures) EXPECT_GE(future.result(0s), 0);
}

TEST(ExecutorShutdownTest, test_cancel_futures) {
  rp::ProcessPoolExecutor executor(5);
  Futures futures;
  for (long i = 0; i < 50; ++i) futures.push_back(executor.submit(sqr_after, i, 20ms));
  executor.shutdown(true, true);
  int cancelled = 0;
  int others = 0;
  for (const auto& future : futures) {
    EXPECT_TRUE(future.done());
    if (future.cancelled()) {
      ++cancelled;
    } else {
      EXPECT_EQ(future.exception(), nullptr);
      ++others;
    }
  }
  EXPECT_GT(cancelled, 20);
  EXPECT_EQ(cancelled + others, 50);
}

TEST(ExecutorShutdownTest, test_hang_gh83386) {
  const auto ended = support::start("cannot_send");
  EXPECT_EQ(ended.status, 0) << ended;
}

TEST(ExecutorShutdownTest, test_hang_gh94440) {
  rp::ProcessPoolExecutor executor(1);
  executor.submit(sqr, 1L).result();
  const auto fut = executor.submit(sqr_after, 1L, 50ms);
  const auto pending = executor.submit(sqr, 2L);
  pending.cancel();
  EXPECT_TRUE(executor.shutdown_for(long_enough)) << "a future that was just cancelled must not keep it";
  EXPECT_EQ(fut.result(0s), 1);
}

// ---- ProcessPoolShutdownTest

TEST(ProcessPoolShutdownTest, test_processes_terminate) {
  { rp::ProcessPoolExecutor warm_up(1); }
  const std::set<int> before = support::job_processes();
  rp::ProcessPoolExecutor executor(5);
  Futures futures;
  for (long i = 0; i < 3; ++i) futures.push_back(executor.submit(sqr, i));
  for (const auto& future : futures) future.result();
  // the last ones may still be about to start
  EXPECT_TRUE(support::eventually([&] { return support::job_processes().size() == before.size() + 5; }));
  executor.shutdown();
  EXPECT_TRUE(support::eventually([&] { return support::job_processes() == before; }));
}

TEST(ProcessPoolShutdownTest, test_context_manager_shutdown) {
  Futures futures;
  {
    rp::ProcessPoolExecutor executor(5);
    for (long i = -5; i < 5; ++i) futures.push_back(executor.submit(sqr, i));
  }
  for (long i = -5; i < 5; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i + 5)].result(0s), sqr(i));
}

TEST(ProcessPoolShutdownTest, test_del_shutdown) {
  auto executor = std::make_unique<rp::ProcessPoolExecutor>(5);
  const auto future = executor->submit(sqr_after, 3L, 30ms);
  executor.reset();
  EXPECT_EQ(future.result(0s), 9) << "the executor has waited for it";
}

TEST(ProcessPoolShutdownTest, test_shutdown_no_wait) {
  auto executor = std::make_unique<rp::ProcessPoolExecutor>(5);
  Futures futures;
  for (long i = 0; i < 10; ++i) futures.push_back(executor->submit(sqr_after, i, 10ms));
  executor->shutdown(false);
  for (long i = 0; i < 10; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].result(long_enough), sqr(i));
}

// ---- mpi4py

TEST(Mpi4pyShutdown, shutdown) {
  rp::ProcessPoolExecutor executor(1);
  EXPECT_EQ(executor.submit(sqr, 3L).result(), 9);
  executor.shutdown(false);
  EXPECT_THROW(executor.submit(sqr, 3L), rp::PoolClosed);
  executor.shutdown();
  EXPECT_TRUE(executor.shutdown_for(0s));
  executor.shutdown(false);
  executor.shutdown();
}

TEST(Mpi4pyShutdown, shutdown_cancel) {
  rp::ProcessPoolExecutor executor(1);
  executor.shutdown(false, false);
  executor.shutdown(false, true);
  executor.shutdown(true, false);
  executor.shutdown(true, true);
  executor.shutdown(false, true);
  executor.shutdown(true, true);
  EXPECT_THROW(executor.submit(sqr, 3L), rp::PoolClosed);
}

TEST(Mpi4pyShutdown, submit_shutdown_cancel) {
  Gate gate;
  rp::ProcessPoolExecutor executor(1);
  gate.submit(executor, 0);
  Futures futures;
  for (long i = 0; i < 100; ++i) futures.push_back(executor.submit(sqr, i));
  const rp::Future<long> last = executor.submit(sqr, 0L);
  executor.shutdown(false, false);
  EXPECT_FALSE(last.cancelled());
  executor.shutdown(false, true);
  EXPECT_TRUE(last.cancelled());
  gate.open();
}

TEST(Mpi4pyShutdown, submit_shutdown_cancel_wait) {
  Gate gate;
  rp::ProcessPoolExecutor executor(1);
  Futures all{gate.submit(executor, 5)};
  ASSERT_TRUE(gate.wait_for_begun(1));
  for (long i = 0; i < 50; ++i) all.push_back(executor.submit(sqr, i));
  executor.shutdown(false, true);
  gate.open();
  executor.shutdown(true, true);
  const auto [done, pending] = rp::wait(all);
  EXPECT_TRUE(pending.empty());
  EXPECT_EQ(done.size(), 51u);
  EXPECT_EQ(all[0].result(), 5);
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_TRUE(all[i].cancelled()) << i;
}

TEST(Mpi4pyShutdown, run_after_shutdown) {
  rp::ProcessPoolExecutor executor(1);
  executor.shutdown(false);
  const Failure failure([&] { executor.submit(sqr, 1L); });
  EXPECT_TRUE(failure.is<rp::PoolClosed>()) << failure;
}
