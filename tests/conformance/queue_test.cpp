// The cases of CPython 3.13's _TestQueue and TestSimpleQueue (Lib/test/_test_multiprocessing.py), under their names.
// The other process is a pool worker.
//
// On purpose other than there: an item is in the queue when `put` returns, so nothing sleeps for a feeder thread; what
// cannot be serialized is thrown by `put` itself; a closed handle throws Closed whether it was used before or not; a
// zero or negative timeout does not wait.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::long_enough;

namespace {

constexpr auto timeout1 = 82ms;
constexpr auto timeout2 = 350ms;
constexpr auto timeout3 = 140ms;

/// How long the call took that must throw an E.
template <class E, class Call>
std::chrono::nanoseconds time_to_throw(Call&& call) {
  const auto begin = std::chrono::steady_clock::now();
  const support::Failure failure(call);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_TRUE(failure.is<E>()) << failure;
  return took;
}
void expect_about(std::chrono::nanoseconds took, std::chrono::nanoseconds wanted) {
  EXPECT_GE(took, wanted);
  EXPECT_LT(took, wanted + 2s);  // another process may have the core
}
/// It did not wait for the timeout, which is some hours.
constexpr auto far_away = 5h;

void get_six(rp::Queue<int> queue, rp::Event child_can_start, rp::Event parent_can_continue) {
  child_can_start.wait();
  for (int i = 0; i < 6; ++i) queue.get();
  parent_can_continue.set();
}

TEST(TestQueue, test_put) {
  constexpr std::size_t maxsize = 6;
  rp::Pool pool(1);
  rp::Queue<int> queue(maxsize);
  rp::Event child_can_start;
  rp::Event parent_can_continue;
  auto proc = pool.apply_async(get_six, queue, child_can_start, parent_can_continue);

  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.full());

  queue.put(1);
  queue.put(2, far_away);
  queue.put(3);
  EXPECT_TRUE(queue.try_put(4));
  queue.put(5, 0s);
  queue.put_nowait(6);

  EXPECT_FALSE(queue.empty());
  EXPECT_TRUE(queue.full());

  EXPECT_FALSE(queue.try_put(7));
  time_to_throw<rp::Full>([&] { queue.put(7, 0s); });
  time_to_throw<rp::Full>([&] { queue.put_nowait(7); });
  expect_about(time_to_throw<rp::Full>([&] { queue.put(7, timeout1); }), timeout1);
  time_to_throw<rp::Full>([&] { queue.put(7, -timeout2); });
  expect_about(time_to_throw<rp::Full>([&] { queue.put(7, timeout3); }), timeout3);

  child_can_start.set();
  EXPECT_TRUE(parent_can_continue.wait_for(long_enough));

  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.full());
  proc.get();
}

void put_four(rp::Queue<int> queue, rp::Event child_can_start, rp::Event parent_can_continue) {
  child_can_start.wait();
  for (int i = 2; i <= 5; ++i) queue.put(i);
  parent_can_continue.set();
}

TEST(TestQueue, test_get) {
  rp::Pool pool(1);
  rp::Queue<int> queue;
  rp::Event child_can_start;
  rp::Event parent_can_continue;
  auto proc = pool.apply_async(put_four, queue, child_can_start, parent_can_continue);

  EXPECT_TRUE(queue.empty());
  child_can_start.set();
  EXPECT_TRUE(parent_can_continue.wait_for(long_enough));
  EXPECT_FALSE(queue.empty());

  EXPECT_EQ(queue.get(), 2);
  EXPECT_EQ(queue.get(far_away), 3);
  EXPECT_EQ(queue.get(1s), 4);
  EXPECT_EQ(queue.get_nowait(), 5);

  EXPECT_TRUE(queue.empty());

  EXPECT_EQ(queue.try_get(), std::nullopt);
  time_to_throw<rp::Empty>([&] { queue.get(0s); });
  time_to_throw<rp::Empty>([&] { queue.get_nowait(); });
  expect_about(time_to_throw<rp::Empty>([&] { queue.get(timeout1); }), timeout1);
  time_to_throw<rp::Empty>([&] { queue.get(-timeout2); });
  expect_about(time_to_throw<rp::Empty>([&] { queue.get(timeout3); }), timeout3);
  proc.get();
}

void put_ten_to_twenty(rp::Queue<int> queue) {
  for (int i = 10; i < 20; ++i) queue.put(i);
}

TEST(TestQueue, test_fork) {
  rp::Pool pool(1);
  rp::Queue<int> queue;
  for (int i = 0; i < 10; ++i) queue.put(i);
  auto p = pool.apply_async(put_ten_to_twenty, queue);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(queue.get(long_enough), i);
  EXPECT_THROW(queue.get_nowait(), rp::Empty);
  p.get();
}

TEST(TestQueue, test_qsize) {
  rp::Queue<int> q;
  EXPECT_EQ(q.qsize(), 0u);
  q.put(1);
  EXPECT_EQ(q.qsize(), 1u);
  q.put(5);
  EXPECT_EQ(q.qsize(), 2u);
  q.get();
  EXPECT_EQ(q.qsize(), 1u);
  q.get();
  EXPECT_EQ(q.qsize(), 0u);
}

void do_until_none(rp::JoinableQueue<std::optional<int>> q) {
  while (q.get()) {
    std::this_thread::sleep_for(10ms);
    q.task_done();
  }
}

TEST(TestQueue, test_task_done) {
  rp::Pool pool(4);
  rp::JoinableQueue<std::optional<int>> queue;
  std::vector<rp::AsyncResult<void>> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(pool.apply_async(do_until_none, queue));
  for (int i = 0; i < 10; ++i) queue.put(i);
  queue.join();
  for (std::size_t i = 0; i < workers.size(); ++i) queue.put(std::nullopt);
  for (auto& worker : workers) worker.get();
  EXPECT_TRUE(queue.empty());
}

TEST(TestQueue, test_timeout) {
  rp::Queue<int> q;
  expect_about(time_to_throw<rp::Empty>([&] { q.get(200ms); }), 200ms);
}

struct Message {
  bool serializable = true;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if (!serializable) throw std::runtime_error("not serializable");
    archive& serializable;
  }
};

TEST(TestQueue, test_queue_feeder_donot_stop_onexc) {
  rp::Queue<Message> q;
  EXPECT_THROW(q.put({false}), std::runtime_error);
  q.put({true});
  EXPECT_TRUE(q.get(long_enough).serializable);

  rp::Queue<Message> bounded(1);
  EXPECT_THROW(bounded.put({false}), std::runtime_error);
  bounded.put({true});
  EXPECT_EQ(bounded.qsize(), 1u);
  EXPECT_TRUE(bounded.get(long_enough).serializable);
  EXPECT_TRUE(bounded.empty());
}

template <class Queue>
class TestClosedQueue : public testing::Test {};
using QueuesAndJoinableQueues = testing::Types<rp::Queue<std::string>, rp::JoinableQueue<std::string>>;
TYPED_TEST_SUITE(TestClosedQueue, QueuesAndJoinableQueues);

TYPED_TEST(TestClosedQueue, test_closed_queue_empty_exceptions) {
  TypeParam unused;
  unused.close();
  EXPECT_THROW((void)unused.empty(), rp::Closed);
  TypeParam used;
  used.put("foo");
  used.close();
  EXPECT_THROW((void)used.empty(), rp::Closed);
}

TYPED_TEST(TestClosedQueue, test_closed_queue_put_get_exceptions) {
  TypeParam q;
  q.close();
  EXPECT_THROW(q.put("foo"), rp::Closed);
  EXPECT_THROW(q.get(), rp::Closed);
  EXPECT_NE(support::Failure([&] { q.get(); }).what().find("closed"), std::string::npos);
}

void put_and_wait(rp::SimpleQueue<std::optional<bool>> queue, rp::Event child_can_start,
                  rp::Event parent_can_continue) {
  child_can_start.wait();
  try {
    queue.put(queue.empty());
    queue.put(queue.empty());
  } catch (...) {
    parent_can_continue.set();
    throw;
  }
  parent_can_continue.set();
}

TEST(TestSimpleQueue, test_empty) {
  rp::Pool pool(1);
  rp::SimpleQueue<std::optional<bool>> queue;
  rp::Event child_can_start;
  rp::Event parent_can_continue;
  auto proc = pool.apply_async(put_and_wait, queue, child_can_start, parent_can_continue);
  EXPECT_TRUE(queue.empty());
  child_can_start.set();
  EXPECT_TRUE(parent_can_continue.wait_for(long_enough));
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(queue.get(), true);
  EXPECT_EQ(queue.get(), false);
  EXPECT_TRUE(queue.empty());
  proc.get();
}

TEST(TestSimpleQueue, test_empty_exceptions) {
  rp::SimpleQueue<int> q;
  q.close();
  EXPECT_THROW((void)q.empty(), rp::Closed);
}

TEST(TestSimpleQueue, test_close) {
  rp::SimpleQueue<int> queue;
  queue.close();
  queue.close();
  EXPECT_THROW(queue.put(1), rp::Closed);
}

}  // namespace
