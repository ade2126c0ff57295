// Barrier: across threads, tasks and ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

constexpr int broke = -1;

int meet(rp::Barrier barrier, int) {
  try {
    return barrier.wait_for(support::long_enough);
  } catch (const rp::BrokenBarrier&) {
    return broke;
  }
}
rp::Barrier make_one(int parties) { return rp::Barrier(parties); }

bool waiting(const rp::Barrier& barrier, int count) {
  return support::eventually([&] { return barrier.n_waiting() == count; });
}

TEST(Barrier, of_one_opens_at_once) {
  rp::Barrier barrier(1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(barrier.wait(), 0);
  EXPECT_EQ(barrier.wait_for(0s), 0);
  EXPECT_EQ(barrier.parties(), 1);
  EXPECT_EQ(barrier.n_waiting(), 0);
  EXPECT_FALSE(barrier.broken());
}

TEST(Barrier, needs_somebody_to_come) {
  EXPECT_THROW(rp::Barrier(0), std::invalid_argument);
  EXPECT_THROW(rp::Barrier(-3), std::invalid_argument);
}

TEST(Barrier, gives_each_task_another_number) {
  rp::Pool pool(4);
  rp::Barrier barrier(4);
  for (int round = 0; round < 3; ++round) {
    std::vector<int> places = pool.map(rp::partial(meet, barrier), std::vector<int>(4), {.chunksize = 1});
    std::sort(places.begin(), places.end());
    EXPECT_EQ(places, (std::vector{0, 1, 2, 3}));
  }
}

TEST(Barrier, breaks_for_all_when_one_has_no_time) {
  rp::Pool pool(2);
  rp::Barrier barrier(3);
  auto others = pool.map_async(rp::partial(meet, barrier), std::vector<int>(2), {.chunksize = 1});
  ASSERT_TRUE(waiting(barrier, 2));
  rp::Barrier more(5);
  EXPECT_THROW(more.wait_for(10ms), rp::BrokenBarrier);
  EXPECT_TRUE(more.broken());
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 2);
  barrier.abort();
  EXPECT_EQ(others.get(), std::vector<int>(2, broke));
  EXPECT_THROW(barrier.wait(), rp::BrokenBarrier);
  EXPECT_EQ(barrier.n_waiting(), 0);

  barrier.reset();
  EXPECT_FALSE(barrier.broken());
  others = pool.map_async(rp::partial(meet, barrier), std::vector<int>(2), {.chunksize = 1});
  ASSERT_TRUE(waiting(barrier, 2));
  EXPECT_EQ(barrier.wait_for(0s), 2);
  EXPECT_EQ(others.get().size(), 2u);

  others = pool.map_async(rp::partial(meet, barrier), std::vector<int>(1), {.chunksize = 1});
  ASSERT_TRUE(waiting(barrier, 1));
  EXPECT_THROW(barrier.wait_for(-1s), rp::BrokenBarrier);
  EXPECT_EQ(others.get(), std::vector{broke});
  EXPECT_TRUE(barrier.broken());
}

TEST(Barrier, made_by_a_task_serves_threads) {
  rp::Pool pool(2);
  rp::Barrier barrier = pool.apply(make_one, 3);
  std::vector<int> places(3, broke);
  std::vector<std::thread> threads;
  for (int& place : places) threads.emplace_back([&place, barrier] { place = meet(barrier, 0); });
  for (std::thread& thread : threads) thread.join();
  std::sort(places.begin(), places.end());
  EXPECT_EQ(places, (std::vector{0, 1, 2}));
}

}  // namespace
