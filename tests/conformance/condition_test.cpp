// The cases of CPython 3.13's _TestCondition (Lib/test/_test_multiprocessing.py), under their names; the tasks of a
// pool are the processes, and lists count instead of semaphores.
//
// On purpose other than there: a signal does not end a wait, so test_wait_result asks for the results only.
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::eventually;

namespace {

constexpr auto delta = 30ms;
using Count = rp::List<int>;

void wait_once(rp::Condition cond, Count sleeping, Count woken, std::chrono::milliseconds limit) {
  const std::unique_lock guard(cond);
  sleeping.append(1);
  if (limit > 0ms) {
    cond.wait_for(limit);
  } else {
    cond.wait();
  }
  woken.append(1);
}

class TestCondition : public testing::Test {
 protected:
  /// So many tasks and so many threads wait.
  void start(int tasks, int threads_too, std::chrono::milliseconds limit = 0ms) {
    for (int i = 0; i < tasks; ++i) tasks_.push_back(pool_.apply_async(wait_once, cond, sleeping, woken, limit));
    for (int i = 0; i < threads_too; ++i) threads_.emplace_back([=, this] { wait_once(cond, sleeping, woken, limit); });
  }
  void join() {
    for (auto& task : tasks_) task.get();
    tasks_.clear();
    threads_.clear();
  }
  static bool becomes(const Count& count, std::size_t value) {
    return eventually([&] { return count.size() == value; });
  }
  /// And stays so for a moment.
  static bool is(const Count& count, std::size_t value) {
    std::this_thread::sleep_for(delta);
    return count.size() == value;
  }
  void notify(std::size_t count) {
    const std::unique_lock guard(cond);
    cond.notify(count);
  }
  void notify_all() {
    const std::unique_lock guard(cond);
    cond.notify_all();
  }
  /// Whoever sleeps has given the lock away, which it does after it counts.
  void all_wait() { const std::unique_lock guard(cond); }

  rp::Manager manager;
  rp::Condition cond;
  Count sleeping = manager.list<int>();
  Count woken = manager.list<int>();

 private:
  rp::Pool pool_{3};
  std::vector<rp::AsyncResult<void>> tasks_;
  std::vector<std::jthread> threads_;
};

TEST_F(TestCondition, test_notify) {
  start(1, 1);
  ASSERT_TRUE(becomes(sleeping, 2));
  EXPECT_TRUE(is(woken, 0));
  notify(1);
  ASSERT_TRUE(becomes(woken, 1));
  EXPECT_TRUE(is(woken, 1));
  notify(1);
  ASSERT_TRUE(becomes(woken, 2));
  join();
}

TEST_F(TestCondition, test_notify_all) {
  start(3, 3, 100ms);
  ASSERT_TRUE(becomes(sleeping, 6));
  ASSERT_TRUE(becomes(woken, 6));  // by their limits
  join();
  start(3, 3);
  ASSERT_TRUE(becomes(sleeping, 12));
  EXPECT_TRUE(is(woken, 6));
  all_wait();
  notify_all();
  ASSERT_TRUE(becomes(woken, 12));
  join();
}

TEST_F(TestCondition, test_notify_n) {
  start(3, 3);
  ASSERT_TRUE(becomes(sleeping, 6));
  EXPECT_TRUE(is(woken, 0));
  all_wait();
  notify(2);
  ASSERT_TRUE(becomes(woken, 2));
  EXPECT_TRUE(is(woken, 2));
  notify(4);
  ASSERT_TRUE(becomes(woken, 6));
  notify(3);
  EXPECT_TRUE(is(woken, 6));
  join();
}

TEST_F(TestCondition, test_timeout) {
  const std::unique_lock guard(cond);
  EXPECT_GE(support::time_of([&] { EXPECT_FALSE(cond.wait_for(100ms)); }), 100ms);
}

using State = rp::Dict<std::string, int>;

bool wait_for_four(rp::Condition cond, State state) {
  const std::unique_lock guard(cond);
  state.set("value", 0);
  cond.notify();
  return cond.wait_for(support::long_enough, [&] { return state.get("value") == 4; });
}

TEST_F(TestCondition, test_waitfor) {
  State state = manager.dict<std::string, int>();
  state.set("value", -1);
  rp::Pool pool(1);
  const auto task = pool.apply_async(wait_for_four, cond, state);
  {
    const std::unique_lock guard(cond);
    EXPECT_TRUE(cond.wait_for(support::long_enough, [&] { return state.get("value") == 0; }));
  }
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(10ms);
    const std::unique_lock guard(cond);
    state.update("value", [](int& value) { ++value; });
    cond.notify();
  }
  EXPECT_TRUE(task.get());
}

constexpr auto expected = 200ms;

bool waits_long_enough(rp::Condition cond, State state) {
  const std::unique_lock guard(cond);
  bool result = true;
  const auto time = support::time_of([&] {
    state.set("value", 0);
    cond.notify();
    result = cond.wait_for(expected, [&] { return state.get("value") == 4; });
  });
  return !result && time >= expected;
}

TEST_F(TestCondition, test_waitfor_timeout) {
  State state = manager.dict<std::string, int>();
  state.set("value", -1);
  rp::Pool pool(1);
  const auto task = pool.apply_async(waits_long_enough, cond, state);
  {
    const std::unique_lock guard(cond);
    EXPECT_TRUE(cond.wait_for(support::long_enough, [&] { return state.get("value") == 0; }));
  }
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(10ms);
    const std::unique_lock guard(cond);
    state.update("value", [](int& value) { ++value; });
    cond.notify();
  }
  EXPECT_TRUE(task.get());
}

void notify_later(rp::Condition cond) {
  std::this_thread::sleep_for(delta);
  const std::unique_lock guard(cond);
  cond.notify();
}

TEST_F(TestCondition, test_wait_result) {
  rp::Pool pool(1);
  std::unique_lock guard(cond);
  EXPECT_FALSE(cond.wait_for(0s));
  EXPECT_FALSE(cond.wait_for(50ms));
  const auto task = pool.apply_async(notify_later, cond);
  EXPECT_TRUE(cond.wait_for(support::long_enough));
  guard.unlock();
  task.get();
}

}  // namespace
