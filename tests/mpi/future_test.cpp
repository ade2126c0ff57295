// Future: outcomes, time limits, callbacks, then.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
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
using support::long_enough;
using support::Reports;
using support::square;
using support::Texts;

namespace {

class FutureTest : public testing::Test {
 protected:
  /// A task that no worker has begun: every worker waits at the gate.
  rp::Future<long> waiting_task() {
    while (blocked_ < executor_.max_workers()) gate_.submit(executor_, blocked_++);
    EXPECT_TRUE(gate_.wait_for_begun(static_cast<std::size_t>(blocked_)));
    return executor_.submit(square, 3L);
  }

  support::Gate gate_;
  rp::ProcessPoolExecutor executor_{2};
  int blocked_ = 0;

  void TearDown() override { gate_.open(); }
};

long refuse(long) { throw std::invalid_argument("refused"); }
/// Only movable, and so are its results.
std::unique_ptr<int> boxed(long x) { return std::make_unique<int>(static_cast<int>(x)); }

struct Box {
  Box() = default;
  explicit Box(int x) : number(x) {}
  Box(Box&&) = default;
  Box& operator=(Box&&) = default;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number;
  }
  int number = 0;
};

}  // namespace

// ---- outcomes

TEST_F(FutureTest, timeouts_pass_and_result_can_be_repeated) {
  const rp::Future<long> future = gate_.submit(executor_, 7);
  EXPECT_THROW(future.result(0s), rp::TimeoutError);
  EXPECT_THROW(future.result(-5s), rp::TimeoutError);
  EXPECT_THROW(future.exception(0s), rp::TimeoutError);
  const auto waited = support::time_of([&] { EXPECT_THROW(future.result(50ms), rp::TimeoutError); });
  EXPECT_GE(waited, 50ms);
  EXPECT_LT(waited, long_enough);
  EXPECT_THROW(future.exception(0.5ms), rp::TimeoutError);
  EXPECT_FALSE(future.done());
  gate_.open();
  EXPECT_EQ(future.result(long_enough), 7);
  EXPECT_EQ(future.result(), 7);
  EXPECT_EQ(future.result(-1s), 7);
  EXPECT_EQ(future.exception(), nullptr);
  EXPECT_TRUE(future.done());
  EXPECT_FALSE(future.running());
  EXPECT_FALSE(future.cancelled());
  EXPECT_FALSE(future.cancel()) << "it has ended";
  EXPECT_EQ(future.result(), 7);
}

TEST_F(FutureTest, an_error_is_thrown_or_returned) {
  const rp::Future<long> future = executor_.submit(refuse, 1L);
  EXPECT_THROW(future.result(), std::invalid_argument);
  EXPECT_THROW(future.result(0s), std::invalid_argument) << "each time";
  const std::exception_ptr error = future.exception();
  ASSERT_NE(error, nullptr);
  const Failure failure([&] { std::rethrow_exception(error); });
  ASSERT_TRUE(failure.is<rp::RemoteInfo>()) << failure;
  EXPECT_EQ(failure.as<rp::RemoteInfo>()->task_index(), 0u);
  EXPECT_FALSE(future.cancelled());
  const Failure second([&] { executor_.submit(refuse, 1L).result(); });
  EXPECT_EQ(second.as<rp::RemoteInfo>()->task_index(), 1u) << "the number of the call";
}

TEST_F(FutureTest, a_cancelled_error_that_a_task_throws_is_an_error) {
  const auto future = executor_.submit([]() -> int { throw rp::CancelledError("mine"); });
  EXPECT_THROW(future.result(), rp::CancelledError);
  EXPECT_FALSE(future.cancelled());
  EXPECT_NE(future.exception(), nullptr);
}

TEST_F(FutureTest, void_and_only_movable_results) {
  const rp::Future<void> nothing = executor_.submit([] {});
  nothing.result();
  nothing.result(0s);
  EXPECT_EQ(nothing.exception(), nullptr);
  const rp::Future<Box> box = executor_.submit([](int x) { return Box(x); }, 5);
  EXPECT_EQ(box.result().number, 5);
}

TEST_F(FutureTest, copies_are_one_future) {
  const rp::Future<long> first = executor_.submit(square, 4L);
  rp::Future<long> second = executor_.submit(square, 5L);
  EXPECT_NE(first, second);
  second = first;
  EXPECT_EQ(first, second);
  EXPECT_EQ(second.result(), 16);
}

TEST_F(FutureTest, works_with_wait_ready) {
  const rp::Future<long> held = gate_.submit(executor_, 1);
  const rp::Future<long> quick = executor_.submit(square, 2L);
  const rp::Future<long> next = held.then([](long x) { return x; });
  EXPECT_EQ(rp::wait_ready({&held, &quick, &next}, long_enough), std::vector<std::size_t>{1});
  gate_.open();
  held.result();
  EXPECT_EQ(rp::wait_ready({&next}, long_enough), std::vector<std::size_t>{0}) << "though no frame comes for it";
}

// ---- running and cancel

TEST_F(FutureTest, running_asks_who_knows) {
  const rp::Future<long> waiting = waiting_task();
  EXPECT_FALSE(waiting.running());
  EXPECT_FALSE(waiting.done());
  support::Gate gate;
  rp::ProcessPoolExecutor other(1);
  const rp::Future<long> begun = gate.submit(other, 1);
  ASSERT_TRUE(gate.wait_for_begun(1));
  EXPECT_TRUE(begun.running());
  EXPECT_TRUE(begun.running());
  EXPECT_FALSE(begun.cancel());
  EXPECT_FALSE(begun.cancelled());
  gate.open();
  EXPECT_EQ(begun.result(), 1) << "it was not cancelled";
  EXPECT_FALSE(begun.running());
  gate_.open();
  EXPECT_EQ(waiting.result(), 9);
}

TEST_F(FutureTest, a_waiting_task_can_be_cancelled) {
  Reports reports;
  const rp::Future<long> waiting = waiting_task();
  const rp::Future<long> behind = executor_.submit(square, 5L);
  waiting.add_done_callback([&](rp::Future<long> done) { reports.add(done.cancelled() ? "cancelled" : "?"); });
  EXPECT_TRUE(waiting.cancel());
  EXPECT_TRUE(waiting.cancel()) << "again";
  EXPECT_TRUE(waiting.cancelled());
  EXPECT_TRUE(waiting.done());
  EXPECT_FALSE(waiting.running());
  EXPECT_THROW(waiting.result(), rp::CancelledError);
  EXPECT_THROW(waiting.exception(), rp::CancelledError);
  EXPECT_EQ(reports.wait_for(1), Texts{"cancelled"});
  gate_.open();
  EXPECT_EQ(behind.result(), 25) << "the others still run";
}

TEST_F(FutureTest, every_task_is_either_cancelled_or_run) {
  const support::Scratch scratch;
  const std::string file = scratch.file("ran");
  std::vector<rp::Future<void>> futures;
  for (int i = 0; i < 200; ++i)
    futures.push_back(executor_.submit(
        [](const std::string& to, int number) { support::add_line(to, std::to_string(number)); }, file, i));
  std::vector<bool> cancelled;
  for (auto future = futures.rbegin(); future != futures.rend(); ++future) cancelled.push_back(future->cancel());
  long run = 0;
  for (std::size_t i = 0; i < futures.size(); ++i) {
    const bool was = cancelled[futures.size() - 1 - i];
    EXPECT_EQ(was, Failure([&] { futures[i].result(); }).is<rp::CancelledError>()) << i;
    EXPECT_EQ(was, futures[i].cancelled()) << i;
    run += was ? 0 : 1;
  }
  EXPECT_EQ(static_cast<long>(support::lines_of(file).size()), run) << "no cancelled task has run";
}

TEST_F(FutureTest, many_threads_ask_about_one_task) {
  const rp::Future<long> waiting = waiting_task();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i)
        if (waiting.running()) ++wrong;
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  std::atomic<int> cancelled{0};
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { cancelled += waiting.cancel() ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(cancelled, 4);
}

// ---- callbacks

TEST_F(FutureTest, callbacks_keep_their_order_and_may_throw) {
  Reports reports;
  const auto here = std::this_thread::get_id();
  const rp::Future<long> future = gate_.submit(executor_, 3);
  Texts expected;
  for (int i = 0; i < 20; ++i) {
    future.add_done_callback([&reports, i, here](rp::Future<long> done) {
      reports.add(std::to_string(i) + (std::this_thread::get_id() == here ? " here" : ""));
      if (i % 3 == 0) throw std::runtime_error("from a callback, on purpose: " + std::to_string(done.result()));
    });
    expected.push_back(std::to_string(i));
  }
  EXPECT_TRUE(reports.all().empty());
  gate_.open();
  future.result();
  future.add_done_callback([&](const rp::Future<long>&) { reports.add("late"); });
  expected.push_back("late");
  EXPECT_EQ(reports.wait_for(expected.size()), expected);
}

// ---- then

TEST_F(FutureTest, then_is_given_the_value) {
  const rp::Future<std::string> text =
      executor_.submit(square, 6L).then([](long x) { return x + 1; }).then([](long x) { return std::to_string(x); });
  EXPECT_EQ(text.result(), "37");
  EXPECT_FALSE(text.cancel()) << "it has ended";
  const rp::Future<int> after_nothing = executor_.submit([] {}).then([] { return 5; });
  EXPECT_EQ(after_nothing.result(), 5);
  const rp::Future<void> nothing = executor_.submit(square, 6L).then([](long) {});
  nothing.result(long_enough);
  EXPECT_EQ(nothing.exception(), nullptr);
}

TEST_F(FutureTest, then_need_not_be_sendable) {
  const auto local = std::make_unique<int>(5);
  const rp::Future<std::unique_ptr<int>> box =
      executor_.submit(square, 6L).then([&local](long x) { return boxed(x + *local); });
  EXPECT_EQ(*box.result(), 41);
  const rp::Future<int> opened = executor_.submit([](int x) { return Box(x); }, 5).then([](Box b) { return b.number; });
  EXPECT_EQ(opened.result(), 5) << "the value is moved to it";
}

TEST_F(FutureTest, an_error_passes_by_then) {
  std::atomic<int> called{0};
  const rp::Future<long> next = executor_.submit(refuse, 1L)
                                    .then([&](long x) {
                                      ++called;
                                      return x;
                                    })
                                    .then([&](long x) {
                                      ++called;
                                      return x;
                                    });
  EXPECT_THROW(next.result(), std::invalid_argument);
  EXPECT_FALSE(next.cancelled());
  EXPECT_EQ(called, 0);
  const rp::Future<long> thrown =
      executor_.submit(square, 1L).then([](long) -> long { throw std::out_of_range("here"); });
  EXPECT_THROW(thrown.result(), std::out_of_range) << "an error of the function is the error of its future";
}

TEST_F(FutureTest, then_follows_a_future) {
  const rp::Future<long> chained =
      executor_.submit(square, 3L).then([&](long x) { return executor_.submit(square, x); });
  EXPECT_EQ(chained.result(), 81);
  const rp::Future<long> failed =
      executor_.submit(square, 3L).then([&](long x) { return executor_.submit(refuse, x); });
  EXPECT_THROW(failed.result(), std::invalid_argument);
  const rp::Future<void> nothing = executor_.submit(square, 3L).then([&](long) { return executor_.submit([] {}); });
  nothing.result();
}

TEST_F(FutureTest, a_circle_of_futures_is_an_error) {
  std::optional<rp::Future<long>> itself;
  const rp::Future<long> source = gate_.submit(executor_, 1);
  itself = source.then([&](long) { return *itself; });
  std::optional<rp::Future<long>> last;
  const rp::Future<long> first = source.then([&](long) { return *last; });
  last = first.then([](long x) { return x; });
  gate_.open();
  EXPECT_THROW(itself->result(long_enough), std::logic_error);
  EXPECT_THROW(first.result(long_enough), std::logic_error);
  EXPECT_THROW(last->result(long_enough), std::logic_error);
}

TEST_F(FutureTest, then_is_cancelled_before_its_function_is_called) {
  std::atomic<int> called{0};
  const auto count = [&](long x) {
    ++called;
    return x;
  };
  const rp::Future<long> source = gate_.submit(executor_, 1);
  ASSERT_TRUE(gate_.wait_for_begun(1));
  const rp::Future<long> next = source.then(count);
  const rp::Future<long> last = next.then(count);
  EXPECT_FALSE(next.running());
  EXPECT_TRUE(next.cancel());
  EXPECT_TRUE(next.cancelled());
  EXPECT_THROW(next.result(), rp::CancelledError);
  EXPECT_THROW(last.result(long_enough), rp::CancelledError) << "a cancellation passes by";
  EXPECT_TRUE(last.cancelled());
  EXPECT_FALSE(source.cancelled()) << "it runs";
  gate_.open();
  EXPECT_EQ(source.result(), 1);
  EXPECT_EQ(called, 0);
}

TEST_F(FutureTest, to_cancel_then_cancels_its_source) {
  const rp::Future<long> source = waiting_task();
  const rp::Future<long> last = source.then([](long x) { return x; }).then([](long x) { return x; });
  const rp::Future<long> beside = source.then([](long x) { return x; });
  EXPECT_TRUE(last.cancel());
  EXPECT_TRUE(source.cancelled());
  EXPECT_THROW(beside.result(long_enough), rp::CancelledError);
}

TEST_F(FutureTest, a_long_chain) {
  rp::Future<long> last = executor_.submit(square, 1L);
  for (int i = 0; i < 2000; ++i) last = last.then([](long x) { return x + 1; });
  EXPECT_EQ(last.result(long_enough), 2001);
}
