// Workers that die while they wait at a queue, or while items are lent to them: the others go on, and only what was
// given to the dead is lost.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;

namespace {

using Numbers = rp::Queue<int>;

std::vector<int> range(int begin, int end) {
  std::vector<int> numbers(static_cast<std::size_t>(end - begin));
  std::iota(numbers.begin(), numbers.end(), begin);
  return numbers;
}
void put_range(const Numbers& queue, int begin, int end) {
  for (int i = begin; i < end; ++i) queue.put(i);
}
std::vector<int> get_some(const Numbers& queue, int count) {
  std::vector<int> got;
  for (int i = 0; i < count; ++i) got.push_back(queue.get(long_enough));
  return got;
}

void die_soon() {
  std::thread([] {
    std::this_thread::sleep_for(30ms);
    support::die_by(SIGKILL);
  }).detach();
}
void die_in_get(const Numbers& queue) {
  die_soon();
  (void)queue.get();
}
void die_in_put(const Numbers& queue) {
  die_soon();
  put_range(queue, -5, 0);
}
void die_in_join(const rp::JoinableQueue<int>& queue) {
  die_soon();
  queue.join();
}
/// Dies right after it has got so many.
void die_after(const Numbers& queue, int count) {
  for (int i = 0; i < count; ++i) (void)queue.get(long_enough);
  support::die_by(SIGKILL);
}
void hold_some_and_die(const Numbers& queue, int count, rp::Event held, rp::Event die) {
  for (int i = 0; i < count; ++i) (void)queue.get(long_enough);
  held.set();
  die.wait();
  support::die_by(SIGKILL);
}
void put_and_die(const Numbers& queue, int count) {
  put_range(queue, 0, count);
  support::die_by(SIGKILL);
}

template <class... Args>
void expect_lost(rp::Pool& pool, Args&&... args) {
  const Failure failure([&] { pool.apply(std::forward<Args>(args)...); });
  EXPECT_TRUE(failure.is<rp::WorkerLost>()) << failure;
}

class QueueDeath : public testing::Test {
 protected:
  rp::Pool pool_{rp::PoolOptions{.processes = 3, .retries = 0}};
};

TEST_F(QueueDeath, in_get_loses_nothing) {
  Numbers queue;
  auto other = pool_.apply_async(get_some, queue, 3);
  expect_lost(pool_, die_in_get, queue);
  expect_lost(pool_, die_in_get, queue);
  put_range(queue, 0, 5);
  EXPECT_EQ(other.get(), range(0, 3));
  EXPECT_EQ(get_some(queue, 2), range(3, 5));
}

TEST_F(QueueDeath, in_put_gives_the_room_to_others) {
  Numbers queue(2);
  queue.put(0);
  expect_lost(pool_, die_in_put, queue);  // one of its items has found room
  EXPECT_TRUE(queue.full());
  auto other = pool_.apply_async(put_range, queue, 1, 4);
  EXPECT_EQ(get_some(queue, 5), (std::vector<int>{0, -5, 1, 2, 3}));
  other.get();
  EXPECT_TRUE(queue.empty());
}

TEST_F(QueueDeath, in_join_keeps_nobody) {
  rp::JoinableQueue<int> queue;
  queue.put(1);
  expect_lost(pool_, die_in_join, queue);
  queue.get();
  queue.task_done();
  EXPECT_TRUE(queue.join_for(long_enough));
}

TEST_F(QueueDeath, what_was_lent_and_not_taken_is_still_there) {
  for (const int count : {1, 2, 3, 10, 63, 64, 500}) {
    Numbers queue;
    put_range(queue, 0, 1000);
    expect_lost(pool_, die_after, queue, count);
    EXPECT_EQ(queue.qsize(), static_cast<std::size_t>(1000 - count));
    EXPECT_EQ(get_some(queue, 1000 - count), range(count, 1000));
    EXPECT_TRUE(queue.empty());
  }
}

TEST_F(QueueDeath, of_a_holder_frees_those_who_wait_for_what_it_holds) {
  Numbers queue;
  rp::Event held;
  rp::Event die;
  put_range(queue, 0, 100);
  auto holder = pool_.apply_async(hold_some_and_die, queue, 20, held, die);
  ASSERT_TRUE(held.wait_for(long_enough));
  auto other = pool_.apply_async(get_some, queue, 50);
  die.set();
  EXPECT_EQ(other.get(), range(20, 70));
  EXPECT_TRUE(Failure([&] { holder.get(); }).is<rp::WorkerLost>());
  EXPECT_EQ(get_some(queue, 30), range(70, 100));
}

TEST_F(QueueDeath, what_was_put_before_is_there) {
  Numbers queue;
  expect_lost(pool_, put_and_die, queue, 2000);
  EXPECT_EQ(get_some(queue, 2000), range(0, 2000));
}

TEST_F(QueueDeath, of_many_consumers_one_after_the_other) {
  Numbers queue;
  put_range(queue, 0, 400);
  for (int i = 0; i < 10; ++i) expect_lost(pool_, die_after, queue, 7 + i);
  const int gone = 10 * 7 + 45;
  EXPECT_EQ(get_some(queue, 400 - gone), range(gone, 400));
}

}  // namespace
