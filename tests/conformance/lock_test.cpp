// CPython's tests of locks and semaphores (test/_test_multiprocessing.py), as far as rankpool means the same.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

class Timing {
 public:
  std::chrono::duration<double> elapsed() const { return std::chrono::steady_clock::now() - begin_; }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Like the `acquire(timeout)` of a lock that another process holds.
bool try_lock_in_task(const rp::Lock& lock) { return lock.try_lock(); }
bool lock_and_unlock_in_task(const rp::Lock& lock) {
  lock.lock();
  lock.unlock();
  return true;
}

TEST(TestLock, test_lock) {
  rp::Pool pool(1);
  rp::Lock lock;
  lock.lock();
  EXPECT_FALSE(lock.try_lock());
  EXPECT_FALSE(pool.apply(try_lock_in_task, lock));
  lock.unlock();
  EXPECT_THROW(lock.unlock(), std::logic_error);
  EXPECT_TRUE(pool.apply(lock_and_unlock_in_task, lock));
}

TEST(TestLock, test_rlock) {
  rp::RLock lock;
  lock.lock();
  lock.lock();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
  lock.unlock();
  lock.unlock();
  EXPECT_THROW(lock.unlock(), std::logic_error);
}

TEST(TestLock, test_lock_context) {
  rp::Lock lock;
  {
    const std::scoped_lock guard(lock);
    EXPECT_TRUE(lock.locked());
  }
  EXPECT_FALSE(lock.locked());
}

int acquire_in_task(const rp::Semaphore& semaphore) {
  semaphore.acquire();
  return semaphore.value();
}
int release_in_task(const rp::Semaphore& semaphore) {
  semaphore.release();
  return semaphore.value();
}

void check_semaphore(const rp::Semaphore& semaphore, rp::Pool& pool) {
  EXPECT_EQ(semaphore.value(), 2);
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_EQ(semaphore.value(), 1);
  EXPECT_EQ(pool.apply(acquire_in_task, semaphore), 0);
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_EQ(semaphore.value(), 0);
  EXPECT_EQ(pool.apply(release_in_task, semaphore), 1);
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 2);
}

TEST(TestSemaphore, test_semaphore) {
  rp::Pool pool(1);
  const rp::Semaphore semaphore(2);
  check_semaphore(semaphore, pool);
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 3);
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 4);
}

TEST(TestSemaphore, test_bounded_semaphore) {
  rp::Pool pool(1);
  const rp::BoundedSemaphore semaphore(2);
  check_semaphore(semaphore, pool);
  EXPECT_THROW(semaphore.release(), std::logic_error);
}

TEST(TestSemaphore, test_timeout) {
  const rp::Semaphore semaphore(0);
  const auto taken = [&](auto acquire) {
    const Timing timing;
    EXPECT_FALSE(acquire());
    return timing.elapsed();
  };
  EXPECT_LT(taken([&] { return semaphore.try_acquire(); }), 1s);
  EXPECT_LT(taken([&] { return semaphore.try_acquire_for(-1s); }), 1s);
  EXPECT_LT(taken([&] { return semaphore.try_acquire_for(0s); }), 1s);
  for (const auto limit : {50ms, 150ms}) {
    const auto time = taken([&] { return semaphore.try_acquire_for(limit); });
    EXPECT_GE(time, limit);
    EXPECT_LT(time, limit + 1s);
  }
}

}  // namespace
