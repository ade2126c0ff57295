// Lock and RLock: across threads, tasks and ranks.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support/failure.hpp"
#include "../support/scratch.hpp"
#include "../support/window_mode.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;

namespace {

/// In a thread of its own, since owners are threads.
template <class Call>
auto elsewhere(Call call) {
  decltype(call()) result{};
  std::thread([&] { result = call(); }).join();
  return result;
}

/// Holds the lock until the event, having set the other one.
void hold(const rp::Lock& lock, rp::Event held, rp::Event go) {
  const std::scoped_lock guard(lock);
  held.set();
  go.wait_for(support::long_enough);
}
bool try_it(const rp::Lock& lock, int) { return lock.try_lock(); }
std::string unlock_it(const rp::Lock& lock) {
  return Failure([&] { lock.unlock(); }).what();
}
void add_one_by_one(const rp::Lock& lock, const rp::Value<long>& value, int times) {
  for (int i = 0; i < times; ++i) {
    const std::scoped_lock guard(lock);
    value.store(value.load() + 1);
  }
}
void add_recursively(const rp::RLock& lock, const rp::Value<long>& value, int times) {
  for (int i = 0; i < times; ++i) {
    const std::scoped_lock outer(lock);
    const std::scoped_lock inner(lock);
    value.store(value.load() + 1);
  }
}
/// The handles come with the task and go with it.
bool add_once(const rp::Lock& lock, const rp::Value<long>& value) {
  const std::scoped_lock guard(lock);
  value.store(value.load() + 1);
  return lock.previous_owner_died();
}
rp::Lock make_one(int) { return rp::Lock(); }
void lose_it(const rp::Lock& lock) { lock.lock(); }

/// Tasks that need each other's progress get a pool with enough workers.
constexpr int workers = 4;
template <class L>
class AnyLock : public testing::Test {};
using Locks = testing::Types<rp::Lock, rp::RLock>;
TYPED_TEST_SUITE(AnyLock, Locks);

TYPED_TEST(AnyLock, is_lockable_in_every_way_of_the_standard) {
  TypeParam lock;
  EXPECT_FALSE(lock.locked());
  lock.lock();
  EXPECT_TRUE(lock.locked());
  lock.unlock();
  EXPECT_FALSE(lock.locked());
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_for(1s));
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_for(-1s));
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_until(std::chrono::system_clock::now() + 1h));
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_until(std::chrono::steady_clock::now() - 1h));
  EXPECT_TRUE(lock.locked());
  EXPECT_FALSE(lock.previous_owner_died());
  lock.unlock();
  TypeParam other;
  {
    const std::scoped_lock both(lock, other);
    EXPECT_TRUE(lock.locked() && other.locked());
  }
  std::unique_lock unique(lock, 1s);
  EXPECT_TRUE(unique.owns_lock());
  unique.unlock();
  EXPECT_FALSE(lock.locked() || other.locked());
}

TYPED_TEST(AnyLock, keeps_other_threads_out_until_it_is_unlocked) {
  TypeParam lock;
  lock.lock();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock(); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(0s); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(-1s); }));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_for(50ms); }));
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock_until(std::chrono::system_clock::now() + 50ms); }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 99ms);
  bool got = false;
  std::thread waiting([&] {
    lock.lock();
    got = true;
    lock.unlock();
  });
  std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(lock.locked());
  lock.unlock();
  waiting.join();
  EXPECT_TRUE(got);
  EXPECT_FALSE(lock.locked());
}

TYPED_TEST(AnyLock, is_unlocked_by_its_owner_only) {
  TypeParam lock;
  const Failure free([&] { lock.unlock(); });
  EXPECT_TRUE(free.is<std::logic_error>()) << free;
  EXPECT_NE(free.what().find("nobody holds it"), std::string::npos) << free;
  lock.lock();
  const std::string text = elsewhere([&] { return Failure([&] { lock.unlock(); }).what(); });
  EXPECT_NE(text.find("Lock "), std::string::npos) << text;
  EXPECT_NE(text.find("by thread "), std::string::npos) << text;
  EXPECT_NE(text.find("of the main program holds it"), std::string::npos) << text;
  EXPECT_TRUE(lock.locked());
  lock.unlock();
}

TEST(Lock, says_that_it_cannot_be_locked_twice) {
  rp::Lock lock;
  lock.lock();
  EXPECT_FALSE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock_for(20ms));
  const Failure twice([&] { lock.lock(); });
  EXPECT_TRUE(twice.is<std::logic_error>()) << twice;
  EXPECT_NE(twice.what().find("RLock"), std::string::npos) << twice;
  lock.unlock();
  EXPECT_FALSE(lock.locked());
  EXPECT_TRUE(elsewhere([&] {
    const bool got = lock.try_lock_for(1s);
    lock.unlock();
    return got;
  }));
}

TEST(RLock, is_free_after_as_many_unlocks) {
  rp::RLock lock;
  lock.lock();
  EXPECT_TRUE(lock.try_lock());
  EXPECT_TRUE(lock.try_lock_for(1s));
  lock.unlock();
  lock.unlock();
  EXPECT_FALSE(elsewhere([&] { return lock.try_lock(); }));
  lock.unlock();
  EXPECT_FALSE(lock.locked());
}

TEST(Lock, is_one_for_all_processes) {
  rp::Pool pool(workers);
  rp::Lock lock;
  rp::Event held;
  rp::Event go;
  auto holder = pool.apply_async(hold, lock, held, go);
  ASSERT_TRUE(held.wait_for(support::long_enough));
  EXPECT_TRUE(lock.locked());
  EXPECT_FALSE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock_for(20ms));
  const std::string text = unlock_it(lock);
  EXPECT_NE(text.find("of process "), std::string::npos) << text;
  EXPECT_FALSE(pool.apply(try_it, lock, 0));
  go.set();
  holder.get();
  EXPECT_TRUE(lock.try_lock_for(support::long_enough));
  EXPECT_NE(pool.apply(unlock_it, lock).find("of the main program holds it"), std::string::npos);
  lock.unlock();
}

TEST(Lock, made_by_a_task_lives_on_in_its_result) {
  rp::Pool pool(3);
  std::vector<rp::Lock> locks = pool.map(make_one, std::vector<int>(6), {.chunksize = 1});
  pool.close();
  pool.join();
  for (rp::Lock& lock : locks) {
    const std::scoped_lock guard(lock);
    EXPECT_FALSE(lock.previous_owner_died());
  }
}

TEST(Lock, of_a_process_that_has_left_is_given_to_the_next) {
  rp::Lock lock;
  {
    rp::Pool pool(1);
    pool.apply(lose_it, lock);
    pool.close();
    pool.join();
  }
  ASSERT_TRUE(lock.try_lock_for(support::long_enough));
  EXPECT_TRUE(lock.previous_owner_died());
  lock.unlock();
  EXPECT_FALSE(lock.previous_owner_died());
  lock.lock();
  EXPECT_FALSE(lock.previous_owner_died());
  lock.unlock();
}

TEST(Lock, guards_a_sum_over_all_ranks) {
  rp::Pool pool(workers);
  const int times = support::asks_home() ? 300 : 100'000;
  constexpr int tasks = 8;
  rp::Lock lock;
  rp::Value<long> value(0);
  pool.map(rp::partial(add_one_by_one, lock, value), std::vector<int>(tasks, times), {.chunksize = 1});
  EXPECT_EQ(value.load(), long{tasks} * times);
  EXPECT_FALSE(lock.locked());
}

TEST(RLock, guards_a_sum_over_all_ranks) {
  rp::Pool pool(workers);
  const int times = support::asks_home() ? 100 : 20'000;
  constexpr int tasks = 8;
  rp::RLock lock;
  rp::Value<long> value(0);
  pool.map(rp::partial(add_recursively, lock, value), std::vector<int>(tasks, times), {.chunksize = 1});
  EXPECT_EQ(value.load(), long{tasks} * times);
  EXPECT_FALSE(lock.locked());
}

TEST(Lock, guards_a_sum_of_threads) {
  rp::Lock lock;
  const int times = support::asks_home() ? 100 : 20'000;
  long sum = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < times; ++i) {
        const std::scoped_lock guard(lock);
        ++sum;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 4L * times);
}

TEST(Lock, of_handles_that_come_and_go_loses_nothing) {
  constexpr int times = 300;
  rp::Pool pool(workers);
  const rp::Lock lock;
  const rp::Value<long> value(0);
  std::vector<rp::AsyncResult<bool>> results;
  for (int i = 0; i < times; ++i) results.push_back(pool.apply_async(add_once, lock, value));
  for (auto& result : results) EXPECT_FALSE(result.get());
  EXPECT_EQ(value.load(), times);
}

TEST(Lock, can_be_made_by_the_thousand) {
  for (int round = 0; round < 3; ++round) {
    std::vector<rp::Lock> locks(1000);
    for (rp::Lock& lock : locks) {
      EXPECT_FALSE(lock.locked());
      lock.lock();  // and nobody unlocks it
    }
  }
}

}  // namespace
