// AsyncResult: waiting, timeouts, callbacks.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
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

class Async : public testing::Test {
 protected:
  /// A task that ends after `open` only.
  rp::AsyncResult<int> held_task(int value = 7) {
    return pool.apply_async(
        [](const std::string& gate, int result) {
          support::wait_for_file(gate);
          return result;
        },
        gate_, value);
  }
  void open() { support::add_line(gate_, "open"); }

  support::Scratch scratch_;
  std::string gate_ = scratch_.file("gate");
  rp::Pool pool{2};
};

int refuse(int) { throw std::invalid_argument("refused"); }

}  // namespace

// ---- waiting

TEST_F(Async, can_be_asked_again_and_again_by_a_thread_that_never_waits) {
  const rp::AsyncResult<long> asked = pool.apply_async(square, 6);
  EXPECT_TRUE(support::eventually([&] { return asked.ready(); }));
  const rp::AsyncResult<long> awaited = pool.apply_async(square, 7);
  EXPECT_TRUE(support::eventually([&] { return awaited.wait_for(0s); }));
  const rp::AsyncResult<long> gotten = pool.apply_async(square, 8);
  EXPECT_TRUE(support::eventually([&] {
    try {
      return gotten.get(0s) == 64;
    } catch (const rp::TimeoutError&) {
      return false;
    }
  }));
  // far more than the link holds
  const auto many = pool.map_async(square, std::views::iota(0L, 100'000L), {.chunksize = 1});
  EXPECT_TRUE(support::eventually([&] { return many.ready(); }));
  EXPECT_EQ(many.get().back(), square(99'999));
  pool.close();
  EXPECT_TRUE(support::eventually([&] { return pool.join_for(0s); }));
}

TEST_F(Async, timeouts_pass_and_get_can_be_repeated) {
  const rp::AsyncResult<int> result = held_task();
  EXPECT_THROW(result.get(0s), rp::TimeoutError);
  EXPECT_THROW(result.get(-5s), rp::TimeoutError);
  EXPECT_THROW(result.get(std::chrono::nanoseconds::min()), rp::TimeoutError);
  std::chrono::nanoseconds waited = support::time_of([&] { EXPECT_THROW(result.get(50ms), rp::TimeoutError); });
  EXPECT_GE(waited, 50ms);
  EXPECT_LT(waited, long_enough);
  EXPECT_FALSE(result.wait_for(0s));
  EXPECT_FALSE(result.wait_for(-1h));
  EXPECT_FALSE(result.wait_for(0.5ms)) << "a duration of floating point";
  waited = support::time_of([&] { EXPECT_FALSE(result.wait_for(30ms)); });
  EXPECT_GE(waited, 30ms);
  EXPECT_FALSE(result.ready());
  open();
  EXPECT_EQ(result.get(long_enough), 7);
  EXPECT_EQ(result.get(), 7) << "again";
  EXPECT_EQ(result.get(0s), 7) << "no time is needed any more";
  EXPECT_EQ(result.get(-1s), 7);
}

TEST_F(Async, the_longest_timeout_is_for_ever) {
  const rp::AsyncResult<int> result = held_task();
  std::thread opener([&] {
    std::this_thread::sleep_for(20ms);
    open();
  });
  EXPECT_TRUE(result.wait_for(std::chrono::nanoseconds::max()));
  EXPECT_EQ(result.get(std::chrono::hours::max()), 7);
  opener.join();
}

TEST_F(Async, ready_and_successful) {
  const rp::AsyncResult<int> result = held_task();
  EXPECT_FALSE(result.ready());
  EXPECT_THROW(result.successful(), std::logic_error);
  open();
  result.wait();
  EXPECT_TRUE(result.ready());
  EXPECT_TRUE(result.successful());
  EXPECT_TRUE(result.wait_for(0s));

  const rp::AsyncResult<int> failed = pool.apply_async(refuse, 1);
  EXPECT_TRUE(failed.wait_for(long_enough)) << "waiting throws no error of the task";
  EXPECT_TRUE(failed.ready());
  EXPECT_FALSE(failed.successful());
  EXPECT_THROW(failed.get(), std::invalid_argument);
  EXPECT_THROW(failed.get(0s), std::invalid_argument) << "each time";
}

TEST_F(Async, a_result_of_nothing) {
  rp::AsyncResult<void> result = pool.apply_async([] {});
  result.get();
  result.get(0s);
  EXPECT_TRUE(result.successful());
  rp::AsyncResult<void> many = pool.map_async(
      [](int i) {
        if (i == 2) throw std::out_of_range("two");
      },
      std::vector<int>{1, 2, 3});
  EXPECT_THROW(many.get(), std::out_of_range);
}

TEST_F(Async, copies_share_one_result) {
  const rp::AsyncResult<int> first = held_task(9);
  rp::AsyncResult<int> second = first;
  rp::AsyncResult<int> third = pool.apply_async(refuse, 1);
  third = second;
  EXPECT_FALSE(third.ready());
  open();
  EXPECT_EQ(first.get(), 9);
  EXPECT_TRUE(second.ready());
  EXPECT_EQ(second.get(), 9);
  EXPECT_EQ(third.get(), 9);
}

TEST_F(Async, a_result_that_nobody_waits_for) {
  for (int i = 0; i < 200; ++i) static_cast<void>(pool.apply_async([](int x) { return std::vector<int>(1000, x); }, i));
  static_cast<void>(pool.map_async(refuse, std::vector<int>(100)));
  EXPECT_EQ(pool.apply(square, 3L), 9);
}

TEST_F(Async, results_outlive_their_pool) {
  std::unique_ptr<rp::AsyncResult<std::string>> kept;
  {
    rp::Pool other(1);
    kept = std::make_unique<rp::AsyncResult<std::string>>(other.apply_async([] { return std::string("kept"); }));
  }
  EXPECT_TRUE(kept->ready()) << "the pool has waited for it";
  EXPECT_EQ(kept->get(), "kept");
}

TEST_F(Async, many_threads_get_one_result) {
  const rp::AsyncResult<std::vector<long>> result = pool.map_async(
      [](long i) {
        std::this_thread::sleep_for(1ms);
        return i;
      },
      std::views::iota(0L, 100L));
  const rp::AsyncResult<int> failing = pool.apply_async(refuse, 1);
  std::vector<long> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      if (t % 2 == 0) result.wait();
      if (result.get() == expected) ++right;
      if (Failure([&] { failing.get(); }).is<std::invalid_argument>()) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 16);
}

TEST_F(Async, threads_wait_for_results_of_their_own) {
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (long i = 0; i < 100; ++i)
        if (pool.apply_async(square, 1000 * t + i).get(long_enough) == (1000 * t + i) * (1000 * t + i)) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 600);
}

// ---- callbacks

TEST_F(Async, callbacks_come_once_with_the_result) {
  Reports reports;
  const auto main_thread = std::this_thread::get_id();
  rp::AsyncResult<int> result = held_task(11);
  result.on_done([&](rp::AsyncResult<int> done) {
    const bool elsewhere = std::this_thread::get_id() != main_thread;
    reports.add(std::to_string(done.get()) + (done.ready() && done.successful() && elsewhere ? " fine" : " bad"));
  });
  EXPECT_TRUE(reports.all().empty()) << "it has not ended";
  open();
  EXPECT_EQ(reports.wait_for(1), Texts{"11 fine"});
  result.on_done([&](const rp::AsyncResult<int>& done) { reports.add("late " + std::to_string(done.get())); });
  EXPECT_EQ(reports.wait_for(2), (Texts{"11 fine", "late 11"})) << "it had ended before";
}

TEST_F(Async, callbacks_come_for_errors_and_many_results) {
  Reports reports;
  pool.apply_async(refuse, 1).on_done([&](rp::AsyncResult<int> done) {
    const Failure failure([&] { done.get(); });
    reports.add(done.successful() ? "success?" : failure.what());
  });
  EXPECT_EQ(reports.wait_for(1), Texts{"refused"});
  pool.map_async(square, std::vector<long>{1, 2, 3}).on_done([&](rp::AsyncResult<std::vector<long>> done) {
    reports.add(std::to_string(done.get().size()) + " results");
  });
  EXPECT_EQ(reports.wait_for(2).back(), "3 results");
  pool.map_async(square, std::vector<long>()).on_done([&](auto done) {
    reports.add(done.get().empty() ? "none" : "some?");
  });
  EXPECT_EQ(reports.wait_for(3).back(), "none");
}

TEST_F(Async, callbacks_of_one_result_keep_their_order_and_run_one_by_one) {
  Reports reports;
  std::atomic<int> at_work{0};
  rp::AsyncResult<int> result = held_task();
  Texts expected;
  for (int i = 0; i < 50; ++i) {
    result.on_done([&reports, &at_work, i](rp::AsyncResult<int>) {
      const bool alone = at_work.fetch_add(1) == 0;
      std::this_thread::yield();
      reports.add(std::to_string(i) + (alone ? "" : " beside another"));
      --at_work;
    });
    expected.push_back(std::to_string(i));
  }
  open();
  EXPECT_EQ(reports.wait_for(50), expected);
}

TEST_F(Async, a_callback_that_throws_harms_nothing) {
  Reports reports;
  rp::AsyncResult<int> result = held_task();
  result.on_done([&](rp::AsyncResult<int>) { reports.add("before"); });
  result.on_done([&](rp::AsyncResult<int>) { throw std::runtime_error("from a callback, on purpose"); });
  result.on_done([&](rp::AsyncResult<int>) { throw 42; });
  result.on_done([&](rp::AsyncResult<int>) { reports.add("after"); });
  open();
  EXPECT_EQ(reports.wait_for(2), (Texts{"before", "after"}));
  EXPECT_EQ(result.get(), 7) << "the result is not touched by it";
  EXPECT_EQ(pool.map(square, std::vector<long>{1, 2}), (std::vector<long>{1, 4})) << "the pool goes on";
  pool.apply_async(square, 4L).on_done([&](auto done) { reports.add(std::to_string(done.get())); });
  EXPECT_EQ(reports.wait_for(3).back(), "16") << "and so do callbacks";
}

TEST_F(Async, a_callback_may_use_the_pool) {
  Reports reports;
  pool.apply_async(square, 3L).on_done([&](rp::AsyncResult<long> done) {
    const long again = pool.apply(square, done.get());
    pool.apply_async(square, again).on_done([&](rp::AsyncResult<long> last) {
      reports.add(std::to_string(last.get()));
    });
  });
  EXPECT_EQ(reports.wait_for(1), Texts{"6561"});
}

TEST_F(Async, callbacks_of_many_results) {
  std::atomic<long> sum{0};
  std::atomic<int> count{0};
  for (long i = 1; i <= 500; ++i) {
    pool.apply_async(square, i).on_done([&](const rp::AsyncResult<long>& done) {
      sum += done.get();
      ++count;
    });
  }
  EXPECT_TRUE(support::eventually([&] { return count == 500; })) << count << " of 500 came";
  EXPECT_EQ(sum, 500 * 501 * 1001 / 6);
}

TEST_F(Async, a_callback_can_be_only_movable) {
  Reports reports;
  auto kept = std::make_unique<std::string>("moved");
  held_task().on_done([&reports, text = std::move(kept)](rp::AsyncResult<int> done) {
    reports.add(*text + std::to_string(done.get()));
  });
  open();
  EXPECT_EQ(reports.wait_for(1), Texts{"moved7"});
}

// ---- several things at once

TEST_F(Async, map_async_runs_beside_the_program) {
  const rp::AsyncResult<std::vector<int>> result = pool.map_async(rp::partial(
                                                                      [](const std::string& gate, int i) {
                                                                        support::wait_for_file(gate);
                                                                        return i;
                                                                      },
                                                                      gate_),
                                                                  std::vector<int>{1, 2, 3});
  EXPECT_FALSE(result.wait_for(10ms));
  rp::Pool other(1);
  EXPECT_EQ(other.apply(square, 5L), 25) << "other pools go on";
  open();
  EXPECT_EQ(result.get(long_enough), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(pool.starmap_async(std::plus<>(), std::vector<std::pair<int, int>>{{1, 2}}).get(), std::vector<int>{3});
}
