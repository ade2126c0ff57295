// Queues across threads, tasks and ranks.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/failure.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;

namespace {

using Numbers = rp::Queue<int>;

void put_range(Numbers queue, int begin, int end) {
  for (int i = begin; i < end; ++i) queue.put(i);
}
std::vector<int> get_some(const Numbers& queue, int count) {
  std::vector<int> got;
  for (int i = 0; i < count; ++i) got.push_back(queue.get(20s));
  return got;
}
/// Until the queue ends.
std::vector<int> get_all(const Numbers& queue) {
  std::vector<int> got;
  try {
    for (;;) got.push_back(queue.get(20s));
  } catch (const rp::Closed&) {
    return got;
  }
}
/// 0, 1, 2, ... shifted by the producer's number.
void produce(Numbers queue, int producer, int count) {
  put_range(queue, producer * 100'000, producer * 100'000 + count);
}

void expect_in_order_by_producer(const std::vector<int>& got) {
  std::map<int, int> last;
  for (const int x : got) {
    const auto [entry, fresh] = last.try_emplace(x / 100'000, -1);
    EXPECT_LT(entry->second, x % 100'000);
    entry->second = x % 100'000;
  }
}

std::vector<int> range(int begin, int end) {
  std::vector<int> numbers;
  for (int i = begin; i < end; ++i) numbers.push_back(i);
  return numbers;
}

TEST(Queue, is_first_in_first_out) {
  Numbers queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.full());
  put_range(queue, 0, 1000);
  EXPECT_EQ(queue.qsize(), 1000u);
  EXPECT_FALSE(queue.empty());
  EXPECT_FALSE(queue.full());
  EXPECT_EQ(get_some(queue, 1000), range(0, 1000));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.qsize(), 0u);
  EXPECT_FALSE(queue.try_get().has_value());
}

TEST(Queue, size_is_exact_while_items_are_lent) {
  Numbers queue;
  put_range(queue, 0, 300);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(queue.get(), i);
    if (i % 50 == 7) {
      EXPECT_EQ(queue.qsize(), static_cast<std::size_t>(299 - i));
    }
    EXPECT_EQ(queue.empty(), i == 299);
  }
}

TEST(Queue, has_room_for_as_many_as_it_was_told) {
  Numbers queue(3);
  EXPECT_TRUE(queue.try_put(1));
  queue.put(2);
  queue.put_nowait(3);
  EXPECT_TRUE(queue.full());
  EXPECT_FALSE(queue.try_put(4));
  EXPECT_THROW(queue.put_nowait(4), rp::Full);
  EXPECT_THROW(queue.put(4, 0s), rp::Full);
  EXPECT_THROW(queue.put(4, -1s), rp::Full);
  EXPECT_THROW(queue.put(4, 20ms), rp::Full);
  EXPECT_EQ(queue.qsize(), 3u);
  EXPECT_EQ(get_some(queue, 3), (std::vector<int>{1, 2, 3}));
  EXPECT_THROW(queue.get(0s), rp::Empty);
  EXPECT_THROW(queue.get(-1s), rp::Empty);
  EXPECT_THROW(queue.get(20ms), rp::Empty);
  EXPECT_THROW(queue.get_nowait(), rp::Empty);
  EXPECT_EQ(Numbers(static_cast<std::size_t>(-1)).full(), false);
}

TEST(Queue, wakes_a_putter_when_there_is_room_again) {
  rp::Pool pool(2);
  Numbers queue(2);
  auto producer = pool.apply_async(put_range, queue, 0, 200);
  EXPECT_EQ(get_some(queue, 200), range(0, 200));
  producer.get();
}

TEST(Queue, carries_text_and_large_items) {
  rp::Queue<std::string> queue;
  const std::string large(3'000'000, 'x');
  queue.put("");
  queue.put(large);
  queue.put("small");
  queue.put(large + "y");
  EXPECT_EQ(queue.get(), "");
  EXPECT_EQ(queue.get(), large);
  EXPECT_EQ(queue.get(), "small");
  EXPECT_EQ(queue.get(), large + "y");
}

TEST(Queue, one_to_one_across_ranks) {
  rp::Pool pool(3);
  Numbers queue;
  auto producer = pool.apply_async(put_range, queue, 0, 20'000);
  auto consumer = pool.apply_async(get_some, queue, 20'000);
  EXPECT_EQ(consumer.get(), range(0, 20'000));
  producer.get();
  EXPECT_TRUE(queue.empty());
}

TEST(Queue, many_to_many_gives_every_item_once_and_in_order_of_its_producer) {
  rp::Pool pool(6);
  Numbers queue;
  std::vector<rp::AsyncResult<void>> producers;
  std::vector<rp::AsyncResult<std::vector<int>>> consumers;
  for (int i = 0; i < 3; ++i) consumers.push_back(pool.apply_async(get_all, queue));
  for (int i = 0; i < 3; ++i) producers.push_back(pool.apply_async(produce, queue, i, 3000));
  for (auto& producer : producers) producer.get();
  queue.shutdown();
  std::set<int> all;
  std::size_t count = 0;
  for (auto& consumer : consumers) {
    const std::vector<int> got = consumer.get();
    expect_in_order_by_producer(got);
    all.insert(got.begin(), got.end());
    count += got.size();
  }
  EXPECT_EQ(count, 9000u);
  EXPECT_EQ(all.size(), 9000u);
}

TEST(Queue, lent_items_are_called_back_for_another_consumer) {
  rp::Pool pool(2);
  Numbers queue;
  put_range(queue, 0, 2000);
  EXPECT_EQ(get_some(queue, 100), range(0, 100));
  EXPECT_EQ(pool.apply(get_some, queue, 100), range(100, 200));
  EXPECT_EQ(get_some(queue, 200), range(200, 400));
  EXPECT_EQ(queue.qsize(), 1600u);
  EXPECT_EQ(pool.apply(get_some, queue, 1000), range(400, 1400));
  EXPECT_EQ(get_some(queue, 600), range(1400, 2000));
}

TEST(Queue, lent_items_go_back_with_the_handle) {
  rp::Pool pool(2);
  rp::Queue<Numbers> outer;
  {
    Numbers queue;
    put_range(queue, 0, 500);
    EXPECT_EQ(get_some(queue, 10), range(0, 10));
    outer.put(queue);
  }
  Numbers again = outer.get();
  EXPECT_EQ(again.qsize(), 490u);
  EXPECT_EQ(get_some(again, 490), range(10, 500));
}

TEST(Queue, serves_threads) {
  Numbers queue;
  std::vector<std::thread> threads;
  std::atomic<long> sum = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, queue] {
      for (const int x : get_all(queue)) sum += x;
    });
  }
  for (int i = 0; i < 2; ++i) threads.emplace_back([&, queue] { put_range(queue, 0, 2000); });
  threads[3].join();
  threads[4].join();
  queue.shutdown();
  for (int i = 0; i < 3; ++i) threads[static_cast<std::size_t>(i)].join();
  EXPECT_EQ(sum, 2L * 2000 * 1999 / 2);
}

TEST(Queue, close_is_about_one_handle) {
  Numbers queue;
  Numbers other = queue;
  queue.put(1);
  queue.close();
  queue.close();
  Numbers copy = queue;
  for (const Numbers& closed : {queue, copy}) {
    EXPECT_THROW(closed.put(2), rp::Closed);
    EXPECT_THROW((void)closed.try_put(2), rp::Closed);
    EXPECT_THROW(closed.get(), rp::Closed);
    EXPECT_THROW(closed.get_nowait(), rp::Closed);
    EXPECT_THROW((void)closed.try_get(), rp::Closed);
    EXPECT_THROW((void)closed.empty(), rp::Closed);
    EXPECT_THROW((void)closed.full(), rp::Closed);
    EXPECT_THROW((void)closed.qsize(), rp::Closed);
    EXPECT_THROW(closed.shutdown(), rp::Closed);
  }
  EXPECT_EQ(other.get(), 1);
  rp::Queue<Numbers> outer;
  outer.put(queue);
  outer.put(other);
  EXPECT_THROW(outer.get().put(1), rp::Closed);
  outer.get().put(2);
  EXPECT_EQ(other.get(), 2);
}

TEST(Queue, shutdown_lets_the_rest_be_drained) {
  rp::Pool pool(2);
  Numbers queue;
  put_range(queue, 0, 100);
  EXPECT_EQ(queue.get(), 0);
  queue.shutdown();
  queue.shutdown();
  EXPECT_THROW(queue.put(1), rp::Closed);
  EXPECT_THROW((void)queue.try_put(1), rp::Closed);
  EXPECT_TRUE(Failure([&] { pool.apply(put_range, queue, 0, 1); }).is<rp::Closed>());
  EXPECT_EQ(queue.qsize(), 99u);
  EXPECT_EQ(get_all(queue), range(1, 100));
  EXPECT_THROW(queue.get_nowait(), rp::Closed);
  EXPECT_THROW((void)queue.try_get(), rp::Closed);
  EXPECT_THROW(queue.get(1h), rp::Closed);
  EXPECT_TRUE(queue.empty());
}

TEST(Queue, immediate_shutdown_drops_everything) {
  rp::Pool pool(2);
  Numbers queue;
  put_range(queue, 0, 1000);
  EXPECT_EQ(get_some(queue, 20), range(0, 20));
  queue.shutdown(true);
  EXPECT_THROW(queue.get(), rp::Closed);
  EXPECT_EQ(queue.qsize(), 0u);
}

TEST(Queue, shutdown_ends_those_who_wait) {
  rp::Pool pool(3);
  Numbers empty;
  Numbers full(1);
  full.put(0);
  auto getter = pool.apply_async(get_all, empty);
  auto putter = pool.apply_async(put_range, full, 1, 5);
  std::this_thread::sleep_for(50ms);
  empty.shutdown();
  full.shutdown();
  EXPECT_EQ(getter.get(), std::vector<int>());
  EXPECT_TRUE(Failure([&] { putter.get(); }).is<rp::Closed>());
  EXPECT_EQ(get_all(full), (std::vector<int>{0}));
}

int put_until_closed(const Numbers& queue, rp::Event started) {
  int count = 0;
  try {
    for (;; ++count) {
      queue.put(count);
      if (count == 100) started.set();
    }
  } catch (const rp::Closed&) {
    return count;
  }
}

TEST(Queue, a_producer_that_does_not_wait_hears_of_the_shutdown) {
  rp::Pool pool(2);
  Numbers queue;
  rp::Event started;
  auto producer = pool.apply_async(put_until_closed, queue, started);
  EXPECT_TRUE(started.wait_for(20s));
  queue.shutdown();
  const int count = producer.get();
  EXPECT_EQ(get_all(queue), range(0, count));  // nothing that was put is lost
}

// ---- handles in items

int answer(const rp::Queue<Numbers>& requests) {
  Numbers reply_to = requests.get(20s);
  reply_to.put(42);
  return 0;
}

TEST(Queue, handles_in_items_live_on_when_the_sender_drops_them) {
  rp::Pool pool(2);
  rp::Queue<rp::Event> events;
  {
    rp::Event event;
    event.set();
    events.put(event);
  }
  EXPECT_TRUE(events.get().is_set());

  rp::Queue<Numbers> requests;
  Numbers reply;
  requests.put(reply);
  pool.apply(answer, requests);
  EXPECT_EQ(reply.get(20s), 42);
}

TEST(Queue, many_handles_in_one_item) {
  rp::Queue<std::vector<rp::Event>> queue;
  std::vector<rp::Event> events(3000);
  events[2999].set();
  queue.put(events);
  events.clear();
  events = queue.get();
  ASSERT_EQ(events.size(), 3000u);
  EXPECT_FALSE(events[0].is_set());
  EXPECT_TRUE(events[2999].is_set());
}

TEST(Queue, dropped_items_let_their_handles_go) {
  rp::Queue<Numbers> outer;
  Numbers inner;
  outer.put(inner);
  outer.shutdown(true);
  inner.put(1);
  EXPECT_EQ(inner.get(), 1);

  auto released = std::make_unique<rp::Queue<Numbers>>();
  released->put(inner);
  released.reset();
  inner.put(2);
  EXPECT_EQ(inner.get(), 2);

  rp::Queue<Numbers> full(1);
  full.put(inner);
  EXPECT_FALSE(full.try_put(inner));
  EXPECT_THROW(full.put(inner, 10ms), rp::Full);
  EXPECT_EQ(full.qsize(), 1u);
  full.get().put(3);
  EXPECT_EQ(inner.get(), 3);
}

struct Nest {
  std::vector<rp::Queue<Nest>> queues;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& queues;
  }
};

TEST(Queue, can_be_put_into_itself) {
  rp::Queue<Nest> queue;
  queue.put(Nest{{queue, queue}});
  const Nest out = queue.get();
  ASSERT_EQ(out.queues.size(), 2u);
  out.queues[0].put(Nest{});
  EXPECT_EQ(queue.qsize(), 1u);
  queue.put(Nest{{queue}});  // and stays there
}

struct Fussy {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if (value < 0) throw std::runtime_error("negative numbers stay at home");
    archive& value;
  }
};

TEST(Queue, what_serialize_throws_comes_out_of_put) {
  rp::Queue<Fussy> queue;
  EXPECT_THROW(queue.put({-1}), std::runtime_error);
  queue.put({7});
  EXPECT_EQ(queue.get().value, 7);
  EXPECT_TRUE(queue.empty());
}

// ---- JoinableQueue and SimpleQueue

void work(const rp::JoinableQueue<int>& queue) {
  try {
    for (;;) {
      (void)queue.get();
      queue.task_done();
    }
  } catch (const rp::Closed&) {
  }
}

TEST(JoinableQueue, join_waits_for_every_task_done) {
  rp::Pool pool(3);
  rp::JoinableQueue<int> queue;
  queue.join();
  EXPECT_TRUE(queue.join_for(0s));
  for (int i = 0; i < 100; ++i) queue.put(i);
  EXPECT_FALSE(queue.join_for(0s));
  EXPECT_FALSE(queue.join_for(10ms));
  auto first = pool.apply_async(work, queue);
  auto second = pool.apply_async(work, queue);
  EXPECT_TRUE(queue.join_for(20s));
  EXPECT_TRUE(queue.empty());
  EXPECT_THROW(queue.task_done(), std::logic_error);
  queue.shutdown();
  first.get();
  second.get();
}

TEST(JoinableQueue, immediate_shutdown_counts_the_dropped_as_done) {
  rp::JoinableQueue<int> queue(5);
  for (int i = 0; i < 5; ++i) queue.put(i);
  EXPECT_EQ(queue.get(), 0);
  queue.shutdown(true);
  EXPECT_FALSE(queue.join_for(0s));
  queue.task_done();
  queue.join();
}

TEST(SimpleQueue, is_a_queue) {
  rp::Pool pool(2);
  rp::SimpleQueue<std::string> queue;
  EXPECT_TRUE(queue.empty());
  queue.put("one");
  queue.put("two");
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(queue.get(), "one");
  EXPECT_EQ(queue.try_get(), std::optional<std::string>("two"));
  EXPECT_EQ(queue.try_get(), std::nullopt);
}

// ---- homes

Numbers make_filled(int count) {
  Numbers queue;
  put_range(queue, 0, count);
  return queue;
}

TEST(Queue, made_by_a_task_has_its_home_there) {
  rp::Pool pool(3);
  std::vector<Numbers> queues = pool.map(make_filled, std::vector<int>(6, 200), {.chunksize = 1});
  for (Numbers& queue : queues) {
    EXPECT_EQ(queue.qsize(), 200u);
    EXPECT_EQ(get_some(queue, 150), range(0, 150));
    queue.put(200);
    EXPECT_EQ(pool.apply(get_some, queue, 51), range(150, 201));
  }
}

TEST(Queue, more_queues_than_lease_words) {
  std::vector<Numbers> queues(40);
  for (Numbers& queue : queues) put_range(queue, 0, 20);
  for (int i = 0; i < 20; ++i)
    for (Numbers& queue : queues) EXPECT_EQ(queue.get(), i);
}

}  // namespace
