// The cases of CPython 3.13 (Lib/test/test_concurrent_futures/test_future.py) under their names, and those of mpi4py
// (demo/futures/test_futures.py) about `then`.
//
// On purpose other than there: nobody but a worker can set a result, so a future cannot be set twice
// (test_multiple_set_*); every state is reached by a real task.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/gate.hpp"
#include "../support/reports.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::Gate;
using support::long_enough;
using support::Reports;
using support::Texts;

namespace {

long raise_os_error() { throw std::system_error(5, std::generic_category(), "os error"); }

/// A future in every state.
class FutureTests : public testing::Test {
 protected:
  FutureTests() {
    EXPECT_NE(failed.exception(), nullptr);
    EXPECT_EQ(successful.result(), 42);
    running.emplace(gate.submit(executor, 1));
    EXPECT_TRUE(gate.wait_for_begun(1));
    pending.emplace(gate.submit(executor, 2));
    cancelled.emplace(gate.submit(executor, 3));
  }
  void cancel_one() { ASSERT_TRUE(cancelled->cancel()); }
  void TearDown() override { gate.open(); }

  Gate gate;
  rp::ProcessPoolExecutor executor{1};
  rp::Future<long> failed = executor.submit(raise_os_error);
  rp::Future<long> successful = executor.submit([]() -> long { return 42; });
  std::optional<rp::Future<long>> running;
  std::optional<rp::Future<long>> pending;
  std::optional<rp::Future<long>> cancelled;
  Reports reports;
};

std::string outcome(const rp::Future<long>& future) {
  if (future.cancelled()) return "cancelled";
  if (future.exception()) return "error";
  return std::to_string(future.result());
}

}  // namespace

TEST_F(FutureTests, test_done_callback_with_result) {
  running->add_done_callback([&](const rp::Future<long>& done) { reports.add(outcome(done)); });
  EXPECT_TRUE(reports.all().empty());
  gate.open();
  EXPECT_EQ(reports.wait_for(1), Texts{"1"});
}

TEST_F(FutureTests, test_done_callback_with_exception) {
  executor.submit(raise_os_error).add_done_callback([&](const rp::Future<long>& done) { reports.add(outcome(done)); });
  gate.open();
  EXPECT_EQ(reports.wait_for(1), Texts{"error"});
}

TEST_F(FutureTests, test_done_callback_with_cancel) {
  pending->add_done_callback([&](const rp::Future<long>& done) { reports.add(outcome(done)); });
  EXPECT_TRUE(pending->cancel());
  EXPECT_EQ(reports.wait_for(1), Texts{"cancelled"});
}

TEST_F(FutureTests, test_done_callback_raises) {
  running->add_done_callback([&](const rp::Future<long>&) {
    reports.add("raising");
    throw std::runtime_error("doh! (on purpose)");
  });
  running->add_done_callback([&](const rp::Future<long>&) { reports.add("other"); });
  gate.open();
  EXPECT_EQ(reports.wait_for(2), (Texts{"raising", "other"}));
  EXPECT_EQ(running->result(), 1);
}

TEST_F(FutureTests, test_done_callback_already_successful) {
  successful.add_done_callback([&](const rp::Future<long>& done) { reports.add(outcome(done)); });
  EXPECT_EQ(reports.wait_for(1), Texts{"42"});
}

TEST_F(FutureTests, test_done_callback_already_failed) {
  failed.add_done_callback([&](const rp::Future<long>& done) { reports.add(outcome(done)); });
  EXPECT_EQ(reports.wait_for(1), Texts{"error"});
}

TEST_F(FutureTests, test_done_callback_already_cancelled) {
  cancel_one();
  cancelled->add_done_callback([&](const rp::Future<long>& done) { reports.add(outcome(done)); });
  EXPECT_EQ(reports.wait_for(1), Texts{"cancelled"});
}

TEST_F(FutureTests, test_done_callback_raises_already_succeeded) {
  successful.add_done_callback([](const rp::Future<long>&) { throw std::runtime_error("doh! (on purpose)"); });
  successful.add_done_callback([&](const rp::Future<long>&) { reports.add("other"); });
  EXPECT_EQ(reports.wait_for(1), Texts{"other"});
  EXPECT_EQ(successful.result(), 42);
}

TEST_F(FutureTests, test_cancel) {
  EXPECT_TRUE(pending->cancel());
  EXPECT_TRUE(pending->cancelled());
  EXPECT_FALSE(running->cancel());
  EXPECT_TRUE(running->running());
  cancel_one();
  EXPECT_TRUE(cancelled->cancel());
  EXPECT_FALSE(failed.cancel());
  EXPECT_FALSE(successful.cancel());
  EXPECT_TRUE(successful.done());
}

TEST_F(FutureTests, test_cancelled) {
  cancel_one();
  EXPECT_FALSE(pending->cancelled());
  EXPECT_FALSE(running->cancelled());
  EXPECT_TRUE(cancelled->cancelled());
  EXPECT_FALSE(failed.cancelled());
  EXPECT_FALSE(successful.cancelled());
}

TEST_F(FutureTests, test_done) {
  cancel_one();
  EXPECT_FALSE(pending->done());
  EXPECT_FALSE(running->done());
  EXPECT_TRUE(cancelled->done());
  EXPECT_TRUE(failed.done());
  EXPECT_TRUE(successful.done());
}

TEST_F(FutureTests, test_running) {
  cancel_one();
  EXPECT_FALSE(pending->running());
  EXPECT_TRUE(running->running());
  EXPECT_FALSE(cancelled->running());
  EXPECT_FALSE(failed.running());
  EXPECT_FALSE(successful.running());
}

TEST_F(FutureTests, test_result_with_timeout) {
  cancel_one();
  EXPECT_THROW(pending->result(0s), rp::TimeoutError);
  EXPECT_THROW(running->result(0s), rp::TimeoutError);
  EXPECT_THROW(cancelled->result(0s), rp::CancelledError);
  EXPECT_THROW(failed.result(0s), std::system_error);
  EXPECT_EQ(successful.result(0s), 42);
}

TEST_F(FutureTests, test_result_with_success) {
  std::thread opener([this] {
    std::this_thread::sleep_for(20ms);
    gate.open();
  });
  EXPECT_EQ(pending->result(long_enough), 2);
  opener.join();
}

TEST_F(FutureTests, test_result_with_cancel) {
  std::thread canceller([this] {
    std::this_thread::sleep_for(20ms);
    EXPECT_TRUE(pending->cancel());
  });
  EXPECT_THROW(pending->result(long_enough), rp::CancelledError);
  canceller.join();
}

TEST_F(FutureTests, test_exception_with_timeout) {
  cancel_one();
  EXPECT_THROW(pending->exception(0s), rp::TimeoutError);
  EXPECT_THROW(running->exception(0s), rp::TimeoutError);
  EXPECT_THROW(cancelled->exception(0s), rp::CancelledError);
  const std::exception_ptr error = failed.exception(0s);
  ASSERT_NE(error, nullptr);
  EXPECT_THROW(std::rethrow_exception(error), std::system_error);
  EXPECT_EQ(successful.exception(0s), nullptr);
}

TEST_F(FutureTests, test_exception_with_success) {
  const auto late = executor.submit(raise_os_error);
  std::thread opener([this] {
    std::this_thread::sleep_for(20ms);
    gate.open();
  });
  const std::exception_ptr error = late.exception(long_enough);
  ASSERT_NE(error, nullptr);
  EXPECT_THROW(std::rethrow_exception(error), std::system_error);
  opener.join();
}

// ---- mpi4py: then

namespace {

class Mpi4pyThen : public testing::Test {
 protected:
  void TearDown() override { gate.open(); }

  Gate gate;
  rp::ProcessPoolExecutor executor{1};
  rp::Future<long> base = gate.submit(executor, 1);
};

}  // namespace

TEST_F(Mpi4pyThen, not_done) {
  const rp::Future<long> next = base.then([](long x) { return x; });
  EXPECT_FALSE(base.done());
  EXPECT_FALSE(next.done());
}

TEST_F(Mpi4pyThen, cancel_derived_cancels_base) {
  ASSERT_TRUE(gate.wait_for_begun(1));
  const rp::Future<long> waiting = gate.submit(executor, 2);
  const rp::Future<long> next = waiting.then([](long x) { return x; });
  EXPECT_TRUE(next.cancel());
  EXPECT_TRUE(next.cancelled());
  EXPECT_TRUE(waiting.cancelled());
}

TEST_F(Mpi4pyThen, cancel_base_cancels_derived) {
  ASSERT_TRUE(gate.wait_for_begun(1));
  const rp::Future<long> waiting = gate.submit(executor, 2);
  const rp::Future<long> next = waiting.then([](long x) { return x; });
  EXPECT_TRUE(waiting.cancel());
  EXPECT_THROW(next.result(long_enough), rp::CancelledError);
  EXPECT_TRUE(next.cancelled());
}

TEST_F(Mpi4pyThen, then_multiple) {
  const rp::Future<long> a = base.then([](long x) { return x + 10; });
  const rp::Future<long> b = base.then([](long x) { return x + 20; });
  const rp::Future<long> c = base.then([](long x) { return x + 30; });
  gate.open();
  EXPECT_EQ(a.result(), 11);
  EXPECT_EQ(b.result(), 21);
  EXPECT_EQ(c.result(), 31);
}

TEST_F(Mpi4pyThen, success_repackages) {
  const rp::Future<std::string> next = base.then([](long x) { return "value " + std::to_string(x); });
  gate.open();
  EXPECT_EQ(next.result(), "value 1");
  EXPECT_EQ(next.exception(), nullptr);
}

TEST_F(Mpi4pyThen, failure_passes_by) {
  std::atomic<bool> called{false};
  const rp::Future<void> next = executor.submit(raise_os_error).then([&](long) { called = true; });
  gate.open();
  EXPECT_THROW(next.result(), std::system_error);
  EXPECT_NE(next.exception(), nullptr);
  EXPECT_FALSE(called);
}

TEST_F(Mpi4pyThen, failure_in_the_function) {
  const rp::Future<long> next = base.then([](long x) -> long { throw std::out_of_range(std::to_string(x)); });
  gate.open();
  const Failure failure([&] { next.result(); });
  EXPECT_TRUE(failure.is<std::out_of_range>()) << failure;
  EXPECT_EQ(failure.what(), "1");
}

TEST_F(Mpi4pyThen, chain_success) {
  const rp::Future<long> next =
      base.then([](long x) { return x + 1; }).then([this](long x) { return executor.submit(support::sqr, x * 10); });
  gate.open();
  EXPECT_EQ(next.result(), 400);
}

TEST_F(Mpi4pyThen, chain_failure) {
  const rp::Future<long> next = base.then([this](long) { return executor.submit(raise_os_error); });
  gate.open();
  EXPECT_THROW(next.result(), std::system_error);
}

TEST_F(Mpi4pyThen, chain_cancel) {
  Gate second;
  rp::ProcessPoolExecutor other(1);
  second.submit(other, 1);
  ASSERT_TRUE(second.wait_for_begun(1));
  const rp::Future<long> inner = second.submit(other, 2);
  std::atomic<bool> returned{false};
  const rp::Future<long> next = base.then([&](long) {
    returned = true;
    return inner;
  });
  gate.open();
  ASSERT_TRUE(support::eventually([&] { return returned.load(); }));
  base.then([](long) {}).result();  // the function before it has returned
  EXPECT_FALSE(next.running());
  EXPECT_TRUE(next.cancel());
  EXPECT_TRUE(inner.cancelled()) << "it waited for that one";
  second.open();
}

TEST_F(Mpi4pyThen, detect_self_chain) {
  std::optional<rp::Future<long>> next;
  next = base.then([&](long) { return *next; });
  gate.open();
  EXPECT_THROW(next->result(long_enough), std::logic_error);
}

TEST_F(Mpi4pyThen, detect_circular_chains) {
  std::vector<rp::Future<long>> chain;
  std::optional<rp::Future<long>> last;
  chain.push_back(base.then([&](long) { return *last; }));
  for (int i = 0; i < 3; ++i) chain.push_back(chain.back().then([](long x) { return x; }));
  last = chain.back();
  gate.open();
  for (const rp::Future<long>& future : chain) EXPECT_THROW(future.result(long_enough), std::logic_error);
}
