// Processes that are killed while they wait for others, or while others wait for them.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::eventually;
using support::long_enough;

namespace {

/// Kills this process once `due()`, from a thread beside what the process waits in.
template <class Due>
std::jthread kill_when(Due due) {
  return std::jthread([due = std::move(due)] {
    if (eventually(due)) support::die_by(SIGKILL);
  });
}

int die_in_barrier(rp::Barrier barrier, int when_so_many_wait) {
  const auto killer = kill_when([=] { return barrier.n_waiting() == when_so_many_wait; });
  return barrier.wait();
}
bool breaks(rp::Barrier barrier) {
  try {
    barrier.wait_for(3 * long_enough);  // for longer than the test may take: not its own time shall run out
    return false;
  } catch (const rp::BrokenBarrier&) {
    return true;
  }
}
int meet(rp::Barrier barrier, int) { return barrier.wait(); }

TEST(SyncDeath, in_a_barrier_breaks_it) {
  rp::Pool pool(2);
  rp::Barrier barrier(3);
  const auto other = pool.apply_async(breaks, barrier);
  ASSERT_TRUE(eventually([&] { return barrier.n_waiting() == 1; }));
  EXPECT_THROW(pool.apply(die_in_barrier, barrier, 2), rp::WorkerLost);
  EXPECT_TRUE(other.get(long_enough));
  EXPECT_TRUE(barrier.broken());
  barrier.reset();
  const auto all = pool.map_async(rp::partial(meet, barrier), std::vector<int>(2), {.chunksize = 1});
  barrier.wait_for(long_enough);
  EXPECT_EQ(all.get().size(), 2u);
  EXPECT_FALSE(barrier.broken());
}

void die_waiting_for_event(rp::Event event, rp::Event begun) {
  begun.set();
  const auto killer = std::jthread([] {
    std::this_thread::sleep_for(20ms);
    support::die_by(SIGKILL);
  });
  event.wait();
}
bool wait_for_event(rp::Event event) { return event.wait_for(long_enough); }

TEST(SyncDeath, in_an_event_harms_nobody) {
  rp::Pool pool(2);
  rp::Event event;
  const auto other = pool.apply_async(wait_for_event, event);
  EXPECT_THROW(pool.apply(die_waiting_for_event, event, rp::Event()), rp::WorkerLost);
  event.set();
  EXPECT_TRUE(other.get(long_enough));
}

void die_waiting_for_condition(rp::Condition condition) {
  const std::unique_lock guard(condition);
  const auto killer = std::jthread([condition]() mutable {
    condition.lock();  // the other thread waits now
    support::die_by(SIGKILL);
  });
  condition.wait();
}
bool wait_for_condition(rp::Condition condition, rp::Event begun) {
  const std::unique_lock guard(condition);
  begun.set();
  return condition.wait_for(long_enough);
}
void die_with_lock(rp::Condition condition) {
  condition.lock();
  support::die_by(SIGKILL);
}

TEST(SyncDeath, in_a_condition_swallows_no_notification) {
  rp::Pool pool(2);
  rp::Condition condition;
  EXPECT_THROW(pool.apply(die_waiting_for_condition, condition), rp::WorkerLost);
  rp::Event begun;
  const auto other = pool.apply_async(wait_for_condition, condition, begun);
  begun.wait();
  EXPECT_THROW(pool.apply(die_with_lock, condition), rp::WorkerLost);
  {
    const std::unique_lock guard(condition);
    condition.notify();
  }
  EXPECT_TRUE(other.get(long_enough));
}

using Numbers = rp::Dict<std::string, int>;

void die_in_update(Numbers dict, const std::string& key) {
  dict.update(key, [](int& n) {
    n = 99;
    support::die_by(SIGKILL);
  });
}
void add_one(Numbers dict, const std::string& key) {
  dict.update(key, [](int& n) { ++n; });
}

TEST(SyncDeath, in_an_update_changes_nothing) {
  rp::Pool pool(3);
  auto dict = rp::Manager().dict<std::string, int>();
  dict.set("old", 1);
  for (const std::string key : {"old", "new"}) {
    auto dying = pool.apply_async(die_in_update, dict, key);
    pool.map(rp::partial(add_one, dict), std::vector<std::string>(10, "old"), {.chunksize = 1});
    EXPECT_THROW(dying.get(), rp::WorkerLost);
  }
  EXPECT_EQ(dict.items(), (std::vector<std::pair<std::string, int>>{{"old", 21}}));
}

void die_waiting_for_turn(Numbers dict) {
  const auto killer = std::jthread([] {
    std::this_thread::sleep_for(20ms);
    support::die_by(SIGKILL);
  });
  dict.set("n", 77);
}

TEST(SyncDeath, while_waiting_for_an_update_leaves_the_line) {
  rp::Pool pool(2);
  auto dict = rp::Manager().dict<std::string, int>();
  dict.update("n", [&](int& n) {
    n = 5;
    EXPECT_THROW(pool.apply(die_waiting_for_turn, dict), rp::WorkerLost);
  });
  EXPECT_EQ(dict.get("n"), 5);
  pool.apply(add_one, dict, "n");
  EXPECT_EQ(dict.get("n"), 6);
}

rp::Dict<int, rp::Event> made_elsewhere(int) {
  auto dict = rp::Manager().dict<int, rp::Event>();
  rp::Event event;
  event.set();
  dict.set(1, event);
  return dict;
}
void read_and_die(rp::Dict<int, rp::Event> dict) {
  const rp::Event event = dict.get(1);
  support::die_by(SIGKILL);
}

TEST(SyncDeath, with_a_copy_of_a_handle_leaves_the_original) {
  rp::Pool pool(3);
  for (auto& dict : pool.map(made_elsewhere, std::vector<int>(3), {.chunksize = 1})) {
    EXPECT_THROW(pool.apply(read_and_die, dict), rp::WorkerLost);
    EXPECT_TRUE(dict.get(1).is_set());
  }
}

}  // namespace
