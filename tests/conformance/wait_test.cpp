// The cases of CPython 3.13 (Lib/test/test_concurrent_futures/test_wait.py, test_as_completed.py) and of mpi4py
// (demo/futures/test_futures.py: the same ones) about waiting for futures, under their names.
//
// On purpose other than there: a future is done as soon as it is cancelled.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
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

namespace {

using Futures = std::vector<rp::Future<long>>;

long mul(long x, long y) { return x * y; }
long throw_error(long) { throw std::domain_error("this is an exception"); }
/// Fails when the gate is open.
long raise_behind(const std::string& gate) { return throw_error(support::pass(gate, 0)); }

/// A future in every state that does not change.
class Waiting : public testing::Test {
 protected:
  Waiting() {
    EXPECT_TRUE(successful.result() == 42 && exception.exception());
    cancelled.emplace(gate.submit(executor, 1).then([](long x) { return x; }));
    EXPECT_TRUE(gate.wait_for_begun(1));
    EXPECT_TRUE(cancelled->cancel());
  }
  rp::Future<long> pending() { return gate.submit(executor, 1); }
  void TearDown() override { gate.open(); }

  Gate gate;
  rp::ProcessPoolExecutor executor{4};
  rp::Future<long> successful = executor.submit(mul, 6L, 7L);
  rp::Future<long> exception = executor.submit(throw_error, 1L);
  std::optional<rp::Future<long>> cancelled;
};

using WaitTests = Waiting;
using AsCompletedTests = Waiting;

}  // namespace

// ---- WaitTests

TEST_F(WaitTests, test_20369) {
  const rp::Future<long> future = executor.submit(mul, 1L, 2L);
  const auto [done, not_done] = rp::wait({future, future});
  EXPECT_EQ(done, Futures{future}) << "duplicates count once";
  EXPECT_TRUE(not_done.empty());
}

TEST_F(WaitTests, test_first_completed) {
  const rp::Future<long> first = executor.submit(mul, 21L, 2L);
  const rp::Future<long> second = pending();
  const auto [done, not_done] = rp::wait({first, second}, std::nullopt, ReturnWhen::first_completed);
  EXPECT_EQ(done, Futures{first});
  EXPECT_EQ(not_done, Futures{second});
}

TEST_F(WaitTests, test_first_completed_some_already_completed) {
  const rp::Future<long> first = pending();
  const auto [done, not_done] = rp::wait({*cancelled, successful, first}, std::nullopt, ReturnWhen::first_completed);
  EXPECT_EQ(done, (Futures{*cancelled, successful}));
  EXPECT_EQ(not_done, Futures{first});
}

TEST_F(WaitTests, test_first_exception) {
  const rp::Future<long> first = executor.submit(mul, 2L, 21L);
  first.result();
  const rp::Future<long> second = executor.submit(throw_error, 1L);
  const rp::Future<long> third = pending();
  const auto [done, not_done] = rp::wait({first, second, third}, std::nullopt, ReturnWhen::first_exception);
  EXPECT_EQ(done, (Futures{first, second}));
  EXPECT_EQ(not_done, Futures{third});
}

TEST_F(WaitTests, test_first_exception_some_already_complete) {
  const rp::Future<long> first = executor.submit(throw_error, 1L);
  const rp::Future<long> second = pending();
  const auto [done, not_done] =
      rp::wait({successful, *cancelled, first, second}, std::nullopt, ReturnWhen::first_exception);
  EXPECT_EQ(done, (Futures{successful, *cancelled, first}));
  EXPECT_EQ(not_done, Futures{second});
}

TEST_F(WaitTests, test_first_exception_one_already_failed) {
  const rp::Future<long> first = pending();
  const auto [done, not_done] = rp::wait({exception, first}, std::nullopt, ReturnWhen::first_exception);
  EXPECT_EQ(done, Futures{exception});
  EXPECT_EQ(not_done, Futures{first});
}

TEST_F(WaitTests, test_all_completed) {
  const rp::Future<long> first = executor.submit(throw_error, 1L);
  const rp::Future<long> second = executor.submit(mul, 2L, 21L);
  const auto [done, not_done] = rp::wait({successful, *cancelled, exception, first, second}, std::nullopt);
  EXPECT_EQ(done, (Futures{successful, *cancelled, exception, first, second}));
  EXPECT_TRUE(not_done.empty());
}

TEST_F(WaitTests, test_timeout) {
  const rp::Future<long> first = executor.submit(mul, 6L, 7L);
  first.result();
  const rp::Future<long> second = pending();
  const auto [done, not_done] = rp::wait({*cancelled, exception, successful, first, second}, 50ms);
  EXPECT_EQ(done, (Futures{*cancelled, exception, successful, first}));
  EXPECT_EQ(not_done, Futures{second});
}

TEST(WaitTest, test_pending_calls_race) {
  rp::ProcessPoolExecutor executor(2);
  Futures futures;
  for (long i = 0; i < 100; ++i) futures.push_back(executor.submit(mul, i, 2L));
  rp::wait(futures);
  for (const auto& future : futures) EXPECT_TRUE(future.done());
}

// ---- AsCompletedTests

TEST_F(AsCompletedTests, test_no_timeout) {
  const rp::Future<long> first = executor.submit(mul, 2L, 21L);
  const rp::Future<long> second = executor.submit(mul, 7L, 6L);
  std::vector<bool> seen(5);
  const Futures all{*cancelled, exception, successful, first, second};
  for (const rp::Future<long>& future : rp::as_completed(all))
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i] == future) seen[i] = true;
  EXPECT_EQ(seen, std::vector<bool>(5, true));
}

TEST_F(AsCompletedTests, test_future_times_out) {
  const Futures all{*cancelled, exception, successful, pending()};
  for (const auto limit : {0ms, 100ms}) {
    Futures completed;
    EXPECT_THROW(for (const rp::Future<long>& future
                      : rp::as_completed(all, limit)) completed.push_back(future),
                 rp::TimeoutError);
    EXPECT_EQ(completed, Futures(all.begin(), all.end() - 1));
  }
}

TEST_F(AsCompletedTests, test_duplicate_futures) {
  const rp::Future<long> first = executor.submit(support::sqr_after, 2L, 5ms);
  int count = 0;
  for (const rp::Future<long>& future : rp::as_completed({first, first, first})) {
    EXPECT_EQ(future, first);
    ++count;
  }
  EXPECT_EQ(count, 1);
}

TEST_F(AsCompletedTests, test_correct_timeout_exception_msg) {
  const Futures futures{*cancelled, pending(), pending(), successful};
  const Failure failure([&] {
    for ([[maybe_unused]] const auto& future : rp::as_completed(futures, 0s)) {
    }
  });
  ASSERT_TRUE(failure.is<rp::TimeoutError>()) << failure;
  EXPECT_EQ(failure.what(), "2 (of 4) futures unfinished");
}

// ---- mpi4py: WaitTests and AsCompletedTests are those above but for

TEST_F(WaitTests, first_exception_when_one_fails_later) {
  Gate second;
  const rp::Future<long> failing = executor.submit(raise_behind, second.path());
  ASSERT_TRUE(second.wait_for_begun(1));
  const rp::Future<long> open = pending();
  EXPECT_EQ(rp::wait({failing, open}, 10ms, ReturnWhen::first_exception).done, Futures{});
  second.open();
  EXPECT_EQ(rp::wait({failing, open}, std::nullopt, ReturnWhen::first_exception).done, Futures{failing});
}
