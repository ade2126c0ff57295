// Event: across threads, tasks and ranks.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

bool wait_for_it(rp::Event event, int) { return event.wait_for(20s); }
void set_it(rp::Event event) { event.set(); }
rp::Event make_one(int) {
  rp::Event event;
  event.set();
  return event;
}

TEST(Event, is_not_set_at_first_and_says_what_it_was_told) {
  rp::Event event;
  EXPECT_FALSE(event.is_set());
  EXPECT_FALSE(event.wait_for(0s));
  EXPECT_FALSE(event.wait_for(-1s));
  EXPECT_FALSE(event.wait_for(20ms));
  event.set();
  event.set();
  EXPECT_TRUE(event.is_set());
  EXPECT_TRUE(event.wait_for(0s));
  event.wait();
  event.clear();
  event.clear();
  EXPECT_FALSE(event.is_set());
}

TEST(Event, wakes_threads) {
  rp::Event event;
  std::vector<std::thread> threads;
  std::vector<int> woken(4);
  for (int& one : woken) threads.emplace_back([&one, event]() mutable { one = event.wait_for(20s); });
  std::this_thread::sleep_for(20ms);
  event.set();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(woken, std::vector<int>(4, 1));
}

TEST(Event, wakes_tasks_on_all_ranks) {
  rp::Pool pool(5);
  rp::Event event;
  auto waiters = pool.map_async(rp::partial(wait_for_it, event), std::vector<int>(4), {.chunksize = 1});
  pool.apply(set_it, event);
  EXPECT_EQ(waiters.get(), std::vector<bool>(4, true));
  EXPECT_TRUE(event.is_set());
}

TEST(Event, made_by_a_task_lives_on_in_its_result) {
  rp::Pool pool(3);
  std::vector<rp::Event> events = pool.map(make_one, std::vector<int>(6), {.chunksize = 1});
  pool.close();
  pool.join();
  ASSERT_EQ(events.size(), 6u);
  for (rp::Event& event : events) {
    EXPECT_TRUE(event.is_set());
    event.clear();
    EXPECT_FALSE(event.is_set());
  }
}

}  // namespace
