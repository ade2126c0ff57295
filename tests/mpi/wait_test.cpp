// wait and as_completed: of many futures, of several executors, in time.
#include <gtest/gtest.h>

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/gate.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using rp::ReturnWhen;
using support::Failure;
using support::Gate;
using support::long_enough;
using support::square;

namespace {

using Futures = std::vector<rp::Future<long>>;

class WaitTest : public testing::Test {
 protected:
  /// One that does not end before `open`.
  rp::Future<long> held(long value = 1) { return gate_.submit(slow_, value); }
  rp::Future<long> ended(long value = 1) {
    const rp::Future<long> future = quick_.submit(square, value);
    future.result();
    return future;
  }
  void TearDown() override { gate_.open(); }

  Gate gate_;
  rp::ProcessPoolExecutor quick_{2};
  rp::ProcessPoolExecutor slow_{4};
};

}  // namespace

TEST_F(WaitTest, nothing_is_done_at_once) {
  const auto [done, not_done] = rp::wait(Futures{});
  EXPECT_TRUE(done.empty());
  EXPECT_TRUE(not_done.empty());
  EXPECT_TRUE(rp::wait(Futures{}, std::nullopt, ReturnWhen::first_completed).done.empty());
  for (const rp::Future<long>& future : rp::as_completed(Futures{})) FAIL() << future.result();
}

TEST_F(WaitTest, takes_every_kind_of_limit_and_range) {
  const rp::Future<long> open = held();
  const rp::Future<long> closed = ended();
  const Futures both{open, closed};
  const auto right = [&](const rp::WaitResult<long>& result) {
    return result.done == Futures{closed} && result.not_done == Futures{open};
  };
  EXPECT_TRUE(right(rp::wait(both, 0s)));
  EXPECT_TRUE(right(rp::wait(both, -1h)));
  EXPECT_TRUE(right(rp::wait(both, 0.5ms)));
  EXPECT_TRUE(right(rp::wait(both, std::optional<std::chrono::nanoseconds>(1ms))));
  EXPECT_TRUE(right(rp::wait(both, std::optional<std::chrono::hours>(), ReturnWhen::first_completed)));
  EXPECT_TRUE(right(rp::wait(both, std::nullopt, ReturnWhen::first_completed)));
  EXPECT_TRUE(right(rp::wait(both, {}, ReturnWhen::first_completed)));
  EXPECT_TRUE(right(rp::wait(both, std::chrono::hours::max(), ReturnWhen::first_completed)));
  EXPECT_TRUE(right(rp::wait(std::list<rp::Future<long>>(both.begin(), both.end()), 0s)));
  EXPECT_TRUE(right(rp::wait(both | std::views::filter([](const auto&) { return true; }), 0s)));
  EXPECT_TRUE(right(rp::wait({open, closed}, 0s)));
  const auto waited = support::time_of([&] { rp::wait(both, 40ms); });
  EXPECT_GE(waited, 40ms);
  EXPECT_LT(waited, long_enough);
}

TEST_F(WaitTest, keeps_the_order_and_counts_once) {
  const rp::Future<long> a = ended();
  const rp::Future<long> b = held();
  const rp::Future<long> c = ended();
  const rp::Future<long> d = held();
  const auto [done, not_done] = rp::wait({d, c, b, c, a, d, a}, 1ms);
  EXPECT_EQ(done, (Futures{c, a}));
  EXPECT_EQ(not_done, (Futures{d, b}));
}

TEST_F(WaitTest, a_cancelled_future_is_done_but_no_exception) {
  const rp::Future<long> source = held();
  const rp::Future<long> cancelled = source.then([](long x) { return x; });
  ASSERT_TRUE(gate_.wait_for_begun(1));
  ASSERT_TRUE(cancelled.cancel());
  EXPECT_EQ(rp::wait({source, cancelled}, std::nullopt, ReturnWhen::first_completed).done, Futures{cancelled});
  EXPECT_EQ(rp::wait({source, cancelled}, 20ms, ReturnWhen::first_exception).not_done, Futures{source});
  const rp::Future<long> failed = quick_.submit([](long) -> long { throw std::domain_error("failed"); }, 1L);
  EXPECT_EQ(rp::wait({source, cancelled, failed}, std::nullopt, ReturnWhen::first_exception).not_done, Futures{source});
}

TEST_F(WaitTest, mixes_executors_and_then) {
  rp::ProcessPoolExecutor third(1);
  Futures futures;
  for (long i = 0; i < 30; ++i) {
    futures.push_back(quick_.submit(square, i));
    futures.push_back(third.submit(square, i));
    futures.push_back(futures.back().then([](long x) { return x + 1; }));
  }
  const auto [done, not_done] = rp::wait(futures, long_enough);
  EXPECT_EQ(done, futures);
  EXPECT_TRUE(not_done.empty());
  long count = 0;
  for (const rp::Future<long>& future : rp::as_completed(futures, 0s)) {
    EXPECT_EQ(future, futures[static_cast<std::size_t>(count)]) << "those that have ended come in the order given";
    ++count;
  }
  EXPECT_EQ(count, 90);
}

TEST_F(WaitTest, completed_futures_come_as_they_end) {
  Gate second;
  Gate third;
  const rp::Future<long> a = held(1);
  const rp::Future<long> b = second.submit(slow_, 2);
  const rp::Future<long> c = third.submit(slow_, 3);
  const rp::Future<long> d = ended(2);
  std::vector<long> values;
  for (const rp::Future<long>& future : rp::as_completed({a, b, c, d}, long_enough)) {
    EXPECT_TRUE(future.done());
    values.push_back(future.result(0s));
    if (values.size() == 1) third.open();
    if (values.size() == 2) gate_.open();
    if (values.size() == 3) second.open();
  }
  EXPECT_EQ(values, (std::vector<long>{4, 3, 1, 2}));
}

TEST_F(WaitTest, the_limit_counts_from_the_call) {
  Futures futures{ended(), held(), held()};
  auto completed = rp::as_completed(futures, 30ms);
  std::this_thread::sleep_for(40ms);
  auto it = completed.begin();
  EXPECT_EQ(*it, futures[0]) << "what has ended before is given";
  const Failure failure([&] { ++it; });
  ASSERT_TRUE(failure.is<rp::TimeoutError>()) << failure;
  EXPECT_EQ(failure.what(), "2 (of 3) futures unfinished");
}

TEST_F(WaitTest, completed_futures_are_let_go) {
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> weak = value;
  auto first = std::make_optional(ended().then([value](long) { return value; }));
  value.reset();
  first->result();
  support::Gate gate;
  auto second = gate.submit(quick_, 1).then([](long) { return std::shared_ptr<int>(); });
  auto completed = rp::as_completed(std::vector{*first, second}, long_enough);
  first.reset();
  auto it = completed.begin();
  EXPECT_EQ(weak.use_count() > 0, true);
  gate.open();
  ++it;
  EXPECT_TRUE(support::eventually([&] { return weak.expired(); })) << "nobody has the first one any more";
}

TEST_F(WaitTest, waiting_in_vain_leaves_nothing_behind) {
  const rp::Future<long> open = held();
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(rp::wait({open}, 0s).not_done.size(), 1u);
    auto completed = rp::as_completed({open}, 0s);
    ASSERT_THROW(completed.begin(), rp::TimeoutError);
  }
  gate_.open();
  EXPECT_EQ(rp::wait({open}).done.size(), 1u);
}

TEST_F(WaitTest, ten_thousand_futures) {
  Futures futures;
  for (long i = 0; i < 10'000; ++i) futures.push_back(quick_.submit(square, i));
  long sum = 0;
  const auto took = support::time_of([&] {
    for (const rp::Future<long>& future : rp::as_completed(futures, long_enough)) sum += future.result();
    EXPECT_EQ(rp::wait(futures).done.size(), futures.size());
  });
  EXPECT_EQ(sum, 333283335000);
  EXPECT_LT(took, long_enough);
}

TEST_F(WaitTest, several_threads_wait_for_the_same_futures) {
  Futures futures;
  for (long i = 0; i < 200; ++i) futures.push_back(quick_.submit(square, i));
  std::vector<std::thread> threads;
  std::vector<std::size_t> counts(4);
  for (std::size_t t = 0; t < counts.size(); ++t) {
    threads.emplace_back([&, t] {
      if (t % 2 == 0) {
        counts[t] = rp::wait(futures).done.size();
      } else {
        for (const auto& future : rp::as_completed(futures)) counts[t] += future.done() ? 1u : 0u;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts, std::vector<std::size_t>(4, 200));
}
