// Processes that are killed while they hold a lock, wait for one, wait in a semaphore, or write: the others go on.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/processes.hpp"
#include "../support/scratch.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Death;
using support::long_enough;

namespace {

constexpr int rounds = 20;

void lock_and_die(const rp::Lock& lock, Death how) {
  lock.lock();
  support::die(how);
}
void lock_twice_and_die(const rp::RLock& lock) {
  lock.lock();
  lock.lock();
  support::die(Death::kill);
}
/// The owner before has died: 1; it has not: 0; the lock never came: -1.
int lock_in_time(const rp::Lock& lock, const std::string& log) {
  support::add_line(log, std::to_string(::getpid()));
  if (!lock.try_lock_for(long_enough)) return -1;
  const int died = lock.previous_owner_died() ? 1 : 0;
  lock.unlock();
  return died;
}
bool acquire_in_time(const rp::Semaphore& semaphore, const std::string& log) {
  support::add_line(log, std::to_string(::getpid()));
  return semaphore.try_acquire_for(long_enough);
}

template <class Result>
bool is_lost(rp::AsyncResult<Result>& result) {
  try {
    result.get();
    return false;
  } catch (const rp::WorkerLost&) {
    return true;
  }
}

TEST(LockDeath, a_lock_of_the_dead_goes_to_the_next) {
  rp::Pool pool(3);
  rp::Lock lock;
  for (int round = 0; round < rounds; ++round) {
    support::Scratch scratch;
    auto dead = pool.apply_async(lock_and_die, lock, round % 2 == 0 ? Death::kill : Death::underscore_exit);
    if (round % 3 == 0) {
      ASSERT_TRUE(is_lost(dead));
    }
    // whoever comes before the one that dies sees nothing of it
    auto next = pool.apply_async(lock_in_time, lock, scratch.file("log"));
    const int seen = next.get();
    ASSERT_NE(seen, -1);
    if (round % 3 != 0) {
      ASSERT_TRUE(is_lost(dead));
    } else {
      ASSERT_EQ(seen, 1);
    }
    const bool got = lock.try_lock_for(long_enough);
    ASSERT_TRUE(got);
    if (seen == 0) {
      EXPECT_TRUE(lock.previous_owner_died());
    } else {
      EXPECT_FALSE(lock.previous_owner_died());
    }
    lock.unlock();
    EXPECT_FALSE(lock.previous_owner_died());
  }
}

TEST(LockDeath, a_recursive_lock_is_free_at_once) {
  rp::Pool pool(2);
  rp::RLock lock;
  for (int round = 0; round < rounds; ++round) {
    auto dead = pool.apply_async(lock_twice_and_die, lock);
    ASSERT_TRUE(is_lost(dead));
    ASSERT_TRUE(lock.try_lock_for(long_enough));
    EXPECT_TRUE(lock.previous_owner_died());
    lock.lock();
    lock.unlock();
    EXPECT_TRUE(lock.locked());
    lock.unlock();
    EXPECT_FALSE(lock.locked());
  }
}

/// Starts three tasks that wait, kills the first of them, and lets the others go on, just before or just after.
template <class Begin, class Release>
void kill_one_of_three(Begin begin, Release release, int round) {
  support::Scratch scratch;
  const std::string log = scratch.file("log");
  auto results = begin(log);
  ASSERT_TRUE(support::eventually([&] { return support::lines_of(log).size() == results.size(); }));
  if (round % 2 == 0) std::this_thread::sleep_for(5ms);  // now they sleep; else they are about to
  const auto victim = static_cast<pid_t>(support::numbers_of(log).front());
  release(victim);
  std::size_t lost = 0;
  for (auto& result : results) {
    try {
      EXPECT_GT(static_cast<int>(result.get()) + 1, 0);
    } catch (const rp::WorkerLost&) {
      ++lost;
    }
  }
  EXPECT_LE(lost, 1u);
}

TEST(LockDeath, who_dies_waiting_harms_nobody) {
  rp::Pool pool(3);
  rp::Lock lock;
  for (int round = 0; round < rounds; ++round) {
    lock.lock();
    kill_one_of_three(
        [&](const std::string& log) {
          std::vector<rp::AsyncResult<int>> results;
          for (int i = 0; i < 3; ++i) results.push_back(pool.apply_async(lock_in_time, lock, log));
          return results;
        },
        [&](pid_t victim) {
          if (round % 4 < 2) ::kill(victim, SIGKILL);
          lock.unlock();
          if (round % 4 >= 2) ::kill(victim, SIGKILL);
        },
        round);
    ASSERT_TRUE(lock.try_lock_for(long_enough));
    lock.unlock();
  }
}

TEST(LockDeath, who_dies_waiting_in_a_semaphore_takes_nothing) {
  rp::Pool pool(3);
  rp::Semaphore semaphore(0);
  for (int round = 0; round < rounds; ++round) {
    kill_one_of_three(
        [&](const std::string& log) {
          std::vector<rp::AsyncResult<bool>> results;
          for (int i = 0; i < 3; ++i) results.push_back(pool.apply_async(acquire_in_time, semaphore, log));
          return results;
        },
        [&](pid_t victim) {
          ::kill(victim, SIGKILL);
          semaphore.release(2);
        },
        2 * round);
    ASSERT_EQ(semaphore.value(), 0);
  }
}

/// All parts the same, or somebody saw half a write.
using Large = std::array<long, 500>;
Large large(long n) {
  Large all;
  all.fill(n);
  return all;
}
bool is_whole(const Large& all) { return all == large(all.front()); }

void write_until_killed(const rp::Value<Large>& value, const std::string& log) {
  support::add_line(log, std::to_string(::getpid()));
  for (long n = 0;; ++n) value.store(large(n));
}

TEST(LockDeath, a_write_that_is_cut_off_was_not_begun) {
  rp::Pool pool(2);
  rp::Value<Large> value(large(-1));
  for (int round = 0; round < rounds; ++round) {
    support::Scratch scratch;
    const std::string log = scratch.file("log");
    auto writer = pool.apply_async(write_until_killed, value, log);
    ASSERT_TRUE(support::eventually([&] { return !support::lines_of(log).empty(); }));
    std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
    ::kill(static_cast<pid_t>(support::numbers_of(log).front()), SIGKILL);
    ASSERT_TRUE(is_lost(writer));
    ASSERT_TRUE(is_whole(value.load()));
    value.store(large(round));
    ASSERT_EQ(value.load(), large(round));
  }
}

}  // namespace
