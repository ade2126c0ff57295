// Shared objects under load: nothing lost, nothing doubled, nobody stuck.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/sanitized.hpp"
#include "../support/window_mode.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

// ---- queues

using Items = std::vector<std::uint64_t>;  // producer in the high half, number in the low

void produce(rp::Queue<std::uint64_t> queue, std::uint64_t producer, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) queue.put(producer << 32 | i);
}

void consume(rp::Queue<std::uint64_t> queue, rp::Queue<Items> results) {
  Items got;
  try {
    for (;;) got.push_back(queue.get());
  } catch (const rp::Closed&) {  // drained
  }
  results.put(got);
}

void expect_each_once(rp::Queue<std::uint64_t> queue, std::uint64_t producers, int consumers, std::uint64_t count) {
  rp::Queue<Items> results;
  std::vector<rp::Process> sources;
  std::vector<rp::Process> sinks;
  for (int i = 0; i < consumers; ++i) sinks.emplace_back(consume, queue, results).start();
  for (std::uint64_t i = 0; i < producers; ++i) sources.emplace_back(produce, queue, i, count).start();
  for (rp::Process& source : sources) source.join();
  queue.shutdown();

  std::vector<std::vector<char>> seen(producers, std::vector<char>(count));
  for (int i = 0; i < consumers; ++i) {
    std::map<std::uint64_t, std::uint64_t> next;  // of each producer: no consumer sees its items out of order
    for (const std::uint64_t item : results.get(60s)) {
      const std::uint64_t producer = item >> 32;
      const std::uint64_t number = item & 0xffffffffu;
      ASSERT_LT(producer, producers);
      ASSERT_LT(number, count);
      EXPECT_GE(number, next[producer]);
      next[producer] = number + 1;
      EXPECT_EQ(seen[producer][number], 0);
      seen[producer][number] = 1;
    }
  }
  for (const auto& items : seen)
    for (const char item : items) ASSERT_EQ(item, 1);
  for (rp::Process& sink : sinks) {
    sink.join();
    EXPECT_EQ(sink.exitcode(), 0);
  }
}

constexpr std::uint64_t many = support::sanitized ? 10'000 : 100'000;

TEST(Stress, four_producers_and_four_consumers) { expect_each_once(rp::Queue<std::uint64_t>(), 4, 4, many); }
TEST(Stress, one_producer_and_one_consumer) { expect_each_once(rp::Queue<std::uint64_t>(), 1, 1, 3 * many); }
TEST(Stress, a_bounded_queue) { expect_each_once(rp::Queue<std::uint64_t>(100), 3, 2, 3'000); }

// ---- locks

void count_up(rp::Lock lock, rp::Value<long> value, int times) {
  for (int i = 0; i < times; ++i) {
    lock.lock();
    value.store(value.load() + 1);
    lock.unlock();
  }
}

TEST(Stress, eight_processes_count_under_a_lock) {
  const int times = support::asks_home() ? 500 : static_cast<int>(many);
  rp::Lock lock;
  rp::Value<long> value(0);
  std::vector<rp::Process> all;
  for (int i = 0; i < 8; ++i) all.emplace_back(count_up, lock, value, times).start();
  for (rp::Process& process : all) process.join();
  EXPECT_EQ(value.load(), 8L * times);
}

// ---- deaths

struct Shared {
  rp::Lock lock;
  rp::Semaphore semaphore{2};
  rp::Value<long> guarded{0};
  rp::Queue<long> queue;
  rp::Queue<long> bounded{3};
  rp::Event event;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& lock& semaphore& guarded& queue& bounded& event;
  }
};

void use_everything(Shared& shared, long i) {
  if (shared.lock.try_lock_for(10s)) {
    shared.guarded.store(shared.guarded.load() + 1);
    shared.lock.unlock();
  } else {
    throw std::runtime_error("the lock is stuck");
  }
  shared.queue.put(i);
  shared.queue.get(10s);
  try {
    shared.bounded.put(i, 1ms);
    shared.bounded.get(1ms);
  } catch (const rp::Full&) {
    shared.bounded.try_get();
  } catch (const rp::Empty&) {
  }
  if (i % 16 == 0) shared.event.wait_for(100us);
}

void victim(Shared shared) {
  for (long i = 0;; ++i) use_everything(shared, i);
}

void survivor(Shared shared, rp::Value<long> rounds, rp::Event stop) {
  while (!stop.is_set()) {
    use_everything(shared, 0);
    rounds.fetch_add(1);
  }
}

TEST(Stress, two_hundred_deaths_at_random_moments) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> nap(0, 4'000);

  Shared shared;
  shared.queue.put(0);  // whoever is killed between its put and its get leaves one more, or one less: keep a stock
  for (int i = 0; i < 250; ++i) shared.queue.put(i);
  rp::Event stop;
  std::vector<rp::Value<long>> rounds(2, rp::Value<long>(0));
  rounds[1] = rp::Value<long>(0);
  std::vector<rp::Process> survivors;
  for (rp::Value<long>& mine : rounds) survivors.emplace_back(survivor, shared, mine, stop).start();

  for (int death = 0; death < 200; ++death) {
    rp::Process one(victim, shared);
    one.start();
    std::this_thread::sleep_for(std::chrono::microseconds(nap(random)));
    one.kill();
    ASSERT_TRUE(one.join_for(20s));
    ASSERT_EQ(one.exitcode(), -9);
    if (death % 20 != 19) continue;
    for (rp::Value<long>& mine : rounds) {  // the others go on
      const long before = mine.load();
      const auto limit = std::chrono::steady_clock::now() + 20s;
      while (mine.load() == before && std::chrono::steady_clock::now() < limit) std::this_thread::sleep_for(100us);
      ASSERT_GT(mine.load(), before) << "after " << death + 1 << " deaths";
    }
  }
  stop.set();
  for (rp::Process& process : survivors) {
    EXPECT_TRUE(process.join_for(20s));
    EXPECT_EQ(process.exitcode(), 0);
  }
  EXPECT_TRUE(shared.lock.try_lock_for(5s));
  shared.lock.unlock();
}

}  // namespace
