// Condition: across threads, tasks and ranks, with both kinds of locks.
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;

namespace {

using Numbers = rp::Dict<std::string, int>;

TEST(Condition, is_locked_as_its_lock_is) {
  rp::Lock lock;
  rp::Condition condition(lock);
  EXPECT_TRUE(condition.try_lock());
  EXPECT_TRUE(lock.locked());
  std::jthread([&] { EXPECT_FALSE(condition.try_lock()); }).join();
  condition.unlock();
  EXPECT_FALSE(lock.locked());
  {
    const std::unique_lock guard(condition);
    EXPECT_TRUE(lock.locked());
  }
  EXPECT_TRUE(condition.try_lock_for(10ms));
  condition.unlock();
  EXPECT_TRUE(condition.try_lock_until(std::chrono::system_clock::now()));
  condition.unlock();
  EXPECT_THROW(condition.unlock(), std::logic_error);
}

TEST(Condition, has_a_recursive_lock_by_default) {
  rp::Condition condition;
  condition.lock();
  condition.lock();
  EXPECT_FALSE(condition.wait_for(10ms));
  condition.unlock();
  condition.notify();
  condition.unlock();
  EXPECT_THROW(condition.unlock(), std::logic_error);
}

TEST(Condition, needs_the_lock) {
  rp::Condition condition;
  const Failure failure([&] { condition.wait(); });
  EXPECT_TRUE(failure.is<std::logic_error>()) << failure;
  EXPECT_NE(failure.what().find("wait needs its lock"), std::string::npos) << failure;
  EXPECT_THROW(condition.wait_for(1ms), std::logic_error);
  EXPECT_THROW(condition.wait([] { return true; }), std::logic_error);
  EXPECT_THROW(condition.wait_for(1ms, [] { return true; }), std::logic_error);
  EXPECT_THROW(condition.notify(), std::logic_error);
  EXPECT_THROW(condition.notify_all(), std::logic_error);
}

TEST(Condition, gives_a_recursive_lock_away_fully_and_takes_it_as_often) {
  rp::RLock lock;
  rp::Condition condition(lock);
  lock.lock();
  lock.lock();
  condition.lock();
  std::jthread other([&] {
    const std::unique_lock guard(condition);
    condition.notify();
  });
  EXPECT_TRUE(condition.wait_for(long_enough));
  EXPECT_FALSE(condition.wait_for(0s));
  EXPECT_FALSE(condition.wait_for(-1s));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(lock.locked());
    lock.unlock();
  }
  EXPECT_FALSE(lock.locked());
}

TEST(Condition, has_its_lock_when_a_predicate_throws) {
  rp::Lock lock;
  rp::Condition condition(lock);
  std::unique_lock guard(condition);
  EXPECT_THROW(condition.wait_for(1s, []() -> bool { throw std::domain_error("no"); }), std::domain_error);
  condition.notify();
  guard.unlock();
  EXPECT_FALSE(lock.locked());
}

TEST(Condition, waits_for_a_predicate_no_longer_than_told) {
  rp::Condition condition;
  const std::unique_lock guard(condition);
  int asked = 0;
  EXPECT_FALSE(condition.wait_for(20ms, [&] { return ++asked > 10; }));
  EXPECT_GE(asked, 2);
  EXPECT_TRUE(condition.wait_for(0s, [] { return true; }));
  EXPECT_FALSE(condition.wait_for(0s, [] { return false; }));
  condition.wait([] { return true; });
}

// Takes turns: each task waits for its number.
void take_turn(rp::Condition condition, Numbers turns, int mine) {
  const std::unique_lock guard(condition);
  condition.wait([&] { return turns.get("next") == mine; });
  turns.set("next", mine + 1);
  condition.notify_all();
}

template <class L>
void take_turns() {
  rp::Pool pool(4);
  rp::Condition condition{L()};
  auto turns = rp::Manager().dict<std::string, int>();
  turns.set("next", 0);
  auto rest = pool.map_async(rp::partial(take_turn, condition, turns), std::vector{3, 2, 1, 0}, {.chunksize = 1});
  take_turn(condition, turns, 4);
  rest.get();
  EXPECT_EQ(turns.get("next"), 5);
}
TEST(Condition, makes_tasks_take_turns_with_a_lock) { take_turns<rp::Lock>(); }
TEST(Condition, makes_tasks_take_turns_with_a_recursive_lock) { take_turns<rp::RLock>(); }

void raise_value(rp::Condition condition, rp::Value<int> value) {
  const std::unique_lock guard(condition);
  value.store(7);
  condition.notify();
}

TEST(Condition, takes_the_lock_of_a_value) {
  rp::Pool pool(1);
  rp::Value<int> value(0);
  rp::Condition condition(value.get_lock());
  std::unique_lock guard(condition);
  const auto task = pool.apply_async(raise_value, condition, value);
  EXPECT_TRUE(condition.wait_for(long_enough, [&] { return value.load() == 7; }));
  guard.unlock();
  task.get();
}

rp::Condition make_one() { return rp::Condition(); }
void notify(rp::Condition condition) {
  const std::unique_lock guard(condition);
  condition.notify();
}

TEST(Condition, made_by_a_task_is_notified_by_another) {
  rp::Pool pool(2);
  rp::Condition condition = pool.apply(make_one);
  std::unique_lock guard(condition);
  const auto task = pool.apply_async(notify, condition);
  EXPECT_TRUE(condition.wait_for(long_enough));
  guard.unlock();
  task.get();
}

// No notification is lost or doubled: what is produced is consumed.
void produce(rp::Condition condition, Numbers box, int count) {
  for (int i = 0; i < count; ++i) {
    const std::unique_lock guard(condition);
    box.update("made", [](int& n) { ++n; });
    condition.notify();
  }
}
int consume(rp::Condition condition, Numbers box, int count) {
  for (int i = 0; i < count; ++i) {
    const std::unique_lock guard(condition);
    if (!condition.wait_for(long_enough, [&] { return box.get("made") > 0; })) return i;
    box.update("made", [](int& n) { --n; });
  }
  return count;
}

TEST(Condition, loses_no_notification) {
  rp::Pool pool(4);
  rp::Condition condition;
  auto box = rp::Manager().dict<std::string, int>();
  box.set("made", 0);
  auto consumers = pool.map_async(rp::partial(consume, condition, box), std::vector{40, 40}, {.chunksize = 1});
  auto producers = pool.map_async(rp::partial(produce, condition, box), std::vector{40, 40}, {.chunksize = 1});
  EXPECT_EQ(consumers.get(), (std::vector{40, 40}));
  producers.get();
  EXPECT_EQ(box.get("made"), 0);
}

}  // namespace
