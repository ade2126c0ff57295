// Semaphore and BoundedSemaphore: across threads, tasks and ranks.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>
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

bool acquire_in_time(const rp::Semaphore& semaphore, int) { return semaphore.try_acquire_for(support::long_enough); }
void release_some(const rp::Semaphore& semaphore, int n) { semaphore.release(n); }
rp::BoundedSemaphore make_bounded(int value) { return rp::BoundedSemaphore(value); }

/// Never more than two at once; returns the most it saw.
long crowd(const rp::Semaphore& semaphore, const rp::Value<long>& inside, int times) {
  long most = 0;
  for (int i = 0; i < times; ++i) {
    semaphore.acquire();
    most = std::max(most, inside.fetch_add(1) + 1);
    inside.fetch_add(-1);
    semaphore.release();
  }
  return most;
}

template <class S>
class AnySemaphore : public testing::Test {};
using Semaphores = testing::Types<rp::Semaphore, rp::BoundedSemaphore>;
TYPED_TEST_SUITE(AnySemaphore, Semaphores);

TYPED_TEST(AnySemaphore, counts) {
  TypeParam semaphore(2);
  EXPECT_EQ(semaphore.value(), 2);
  semaphore.acquire();
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_EQ(semaphore.value(), 0);
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_FALSE(semaphore.try_acquire_for(0s));
  EXPECT_FALSE(semaphore.try_acquire_for(-1s));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(semaphore.try_acquire_for(50ms));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 50ms);
  semaphore.release();
  EXPECT_TRUE(semaphore.try_acquire_for(0s));
  semaphore.release(2);
  EXPECT_EQ(semaphore.value(), 2);
  EXPECT_EQ(TypeParam().value(), 1);
  EXPECT_EQ(TypeParam(0).value(), 0);
}

TYPED_TEST(AnySemaphore, refuses_what_makes_no_sense) {
  EXPECT_THROW(TypeParam(-1), std::invalid_argument);
  TypeParam semaphore(1);
  EXPECT_THROW(semaphore.release(0), std::invalid_argument);
  EXPECT_THROW(semaphore.release(-1), std::invalid_argument);
  EXPECT_EQ(semaphore.value(), 1);
}

TEST(BoundedSemaphore, is_never_more_than_at_the_start) {
  rp::BoundedSemaphore semaphore(2);
  semaphore.acquire();
  const Failure failure([&] { semaphore.release(2); });
  EXPECT_TRUE(failure.is<std::logic_error>()) << failure;
  EXPECT_NE(failure.what().find("Semaphore "), std::string::npos) << failure;
  EXPECT_EQ(semaphore.value(), 1);
  semaphore.release();
  EXPECT_THROW(semaphore.release(), std::logic_error);
  EXPECT_THROW(semaphore.release(std::numeric_limits<int>::max()), std::logic_error);
  EXPECT_EQ(semaphore.value(), 2);
}

TEST(Semaphore, does_not_overflow) {
  rp::Semaphore semaphore(std::numeric_limits<int>::max() - 1);
  semaphore.release();
  EXPECT_THROW(semaphore.release(), std::logic_error);
  EXPECT_EQ(semaphore.value(), std::numeric_limits<int>::max());
}

TEST(Semaphore, wakes_as_many_threads_as_it_is_raised) {
  rp::Semaphore semaphore(0);
  std::vector<std::thread> threads;
  std::atomic<int> woken{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      semaphore.acquire();
      ++woken;
    });
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(woken, 0);
  semaphore.release(3);
  EXPECT_TRUE(support::eventually([&] { return woken == 3; }));
  EXPECT_EQ(semaphore.value(), 0);
  semaphore.release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(semaphore.value(), 0);
}

TEST(Semaphore, wakes_tasks_on_all_ranks) {
  rp::Pool pool(5);
  rp::Semaphore semaphore(0);
  auto waiters = pool.map_async(rp::partial(acquire_in_time, semaphore), std::vector<int>(4), {.chunksize = 1});
  pool.apply(release_some, semaphore, 1);
  pool.apply(release_some, semaphore, 3);
  EXPECT_EQ(waiters.get(), std::vector<bool>(4, true));
  EXPECT_EQ(semaphore.value(), 0);
}

TEST(Semaphore, lets_no_more_in_than_it_says) {
  rp::Pool pool(4);
  rp::Semaphore semaphore(2);
  rp::Value<long> inside(0);
  const int times = support::asks_home() ? 100 : 5000;
  const auto most = pool.map(rp::partial(crowd, semaphore, inside), std::vector<int>(8, times), {.chunksize = 1});
  EXPECT_LE(*std::max_element(most.begin(), most.end()), 2);
  EXPECT_EQ(semaphore.value(), 2);
  EXPECT_EQ(inside.load(), 0);
}

TEST(BoundedSemaphore, made_by_a_task_stays_bounded) {
  rp::Pool pool(2);
  const rp::BoundedSemaphore semaphore = pool.apply(make_bounded, 3);
  EXPECT_EQ(semaphore.value(), 3);
  EXPECT_THROW(semaphore.release(), std::logic_error);
  EXPECT_TRUE(pool.apply(acquire_in_time, semaphore, 0));
  EXPECT_EQ(semaphore.value(), 2);
}

}  // namespace
