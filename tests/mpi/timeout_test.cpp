// Every call that waits for other user code has a form with a time limit: each gives up here, changes nothing, and does
// its work later.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

constexpr auto limit = 30ms;

/// Calls it and looks at the clock: it has waited as long as it should, and came back.
template <class F>
void expect_waited(F&& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  const auto waited = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(waited, limit);
  EXPECT_LT(waited, 20s);
}

template <class Thrown, class F>
void expect_gives_up(F&& call) {
  expect_waited([&] { EXPECT_THROW(call(), Thrown); });
}

template <class F>
void expect_false(F&& call) {
  expect_waited([&] { EXPECT_FALSE(call()); });
}

/// Ends when its Event is set.
void hold(rp::Event gate) { gate.wait(); }

/// Runs `f` in another thread, since locks know their owner's thread, and waits for it.
template <class F>
void elsewhere(F&& f) {
  std::thread(std::forward<F>(f)).join();
}

TEST(TimeLimits, of_processes) {
  rp::Event gate;
  rp::Process process(hold, gate);
  process.start();
  expect_false([&] { return process.join_for(limit); });
  expect_waited([&] { EXPECT_TRUE(rp::wait_ready({&process}, limit).empty()); });
  gate.set();
  EXPECT_TRUE(process.join_for(20s));
  EXPECT_EQ(process.exitcode(), 0);
}

TEST(TimeLimits, of_pools) {
  rp::Event gate;
  rp::Pool pool(2);
  auto result = pool.apply_async(hold, gate);
  expect_gives_up<rp::TimeoutError>([&] { result.get(limit); });
  expect_false([&] { return result.wait_for(limit); });
  expect_waited([&] { EXPECT_TRUE(rp::wait_ready({&result}, limit).empty()); });
  auto results = pool.map_async(
      [](rp::Event event) {
        event.wait();
        return 1;
      },
      std::vector(3, gate));
  expect_gives_up<rp::TimeoutError>([&] { results.get(limit); });
  pool.close();
  expect_false([&] { return pool.join_for(limit); });
  gate.set();
  result.get(20s);
  EXPECT_EQ(results.get(20s), std::vector(3, 1));
  EXPECT_TRUE(pool.join_for(20s));
}

/// Waits, and returns its argument.
long pass(rp::Event gate, long x) {
  gate.wait();
  return x;
}

TEST(TimeLimits, of_the_other_maps) {
  rp::Event gate;
  rp::Pool pool(2);
  const std::vector<long> numbers{1, 2, 3};
  const auto task = rp::partial(pass, gate);
  auto ordered = pool.imap(task, numbers);
  auto unordered = pool.imap_unordered(task, numbers);
  auto outcomes = pool.try_map_async(task, numbers);
  auto sum = pool.map_reduce_async(task, std::plus<>(), numbers, 0L);
  expect_gives_up<rp::TimeoutError>([&] { ordered.next(limit); });
  expect_gives_up<rp::TimeoutError>([&] { ordered.to_vector(limit); });
  expect_gives_up<rp::TimeoutError>([&] { unordered.next(limit); });
  expect_gives_up<rp::TimeoutError>([&] { outcomes.get(limit); });
  expect_gives_up<rp::TimeoutError>([&] { sum.get(limit); });
  gate.set();
  EXPECT_EQ(ordered.to_vector(20s), numbers);
  EXPECT_EQ(unordered.to_vector(20s).size(), 3U);
  EXPECT_EQ(outcomes.get(20s).at(2).value(), 3);
  EXPECT_EQ(sum.get(20s), 6);
  // these two only wait for rank 0 and for the value, which nobody can hold up
  EXPECT_EQ(pool.insights(20s).submitted, 12U);
  EXPECT_EQ(pool.share(numbers).get(20s), numbers);
}

TEST(TimeLimits, of_futures_and_executors) {
  rp::Event gate;
  rp::ProcessPoolExecutor executor(2);
  auto future = executor.submit(pass, gate, 7L);
  auto next = future.then([](long x) { return x + 1; });
  const std::vector<rp::Future<long>> both{future, next};
  expect_gives_up<rp::TimeoutError>([&] { future.result(limit); });
  expect_gives_up<rp::TimeoutError>([&] { next.exception(limit); });
  expect_waited([&] { EXPECT_EQ(rp::wait(both, limit).not_done.size(), 2U); });
  expect_waited([&] { EXPECT_TRUE(rp::wait_ready({&future}, limit).empty()); });
  expect_gives_up<rp::TimeoutError>([&] {
    for (const auto& done : rp::as_completed(both, limit)) ADD_FAILURE() << done.result();
  });
  expect_false([&] { return executor.shutdown_for(limit); });
  gate.set();
  EXPECT_EQ(next.result(20s), 8);
  EXPECT_EQ(rp::wait(both, 20s).done.size(), 2U);
  EXPECT_TRUE(executor.shutdown_for(20s));
}

TEST(TimeLimits, of_queues) {
  rp::JoinableQueue<int> queue(1);
  expect_gives_up<rp::Empty>([&] { queue.get(limit); });
  queue.put(1, limit);
  expect_gives_up<rp::Full>([&] { queue.put(2, limit); });
  expect_false([&] { return queue.join_for(limit); });
  EXPECT_EQ(queue.get(20s), 1);
  expect_waited([&] { EXPECT_TRUE(rp::wait_ready({&queue}, limit).empty()); });
  queue.task_done();
  EXPECT_TRUE(queue.join_for(20s));
  rp::SimpleQueue<int> simple;
  expect_gives_up<rp::Empty>([&] { simple.get(limit); });
}

TEST(TimeLimits, of_receiving) {
  auto [a, b] = rp::Pipe();
  std::vector<std::byte> room(10);
  expect_gives_up<rp::TimeoutError>([&] { a.recv<int>(limit); });
  expect_gives_up<rp::TimeoutError>([&] { a.recv_bytes(10, limit); });
  expect_gives_up<rp::TimeoutError>([&] { a.recv_bytes_into(room, limit); });
  expect_false([&] { return a.poll(limit); });
  expect_waited([&] { EXPECT_TRUE(rp::wait_ready({&a}, limit).empty()); });
  b.send(5, limit);
  EXPECT_EQ(a.recv<int>(20s), 5);
}

// 64 MiB may be unread, more than that not; what did not go is still here, and what went comes.
TEST(TimeLimits, of_sending) {
  auto [a, b] = rp::Pipe();
  const std::string block(8'000'000, 'x');
  int sent = 0;
  const auto fill = [&] {
    for (; sent < 100; ++sent) a.send(block, limit);
  };
  expect_gives_up<rp::TimeoutError>(fill);
  EXPECT_GE(sent, 8);
  EXPECT_LE(sent, 12);
  expect_gives_up<rp::TimeoutError>([&] { a.send_bytes(std::as_bytes(std::span(block)), limit); });
  auto [c, d] = rp::Pipe();
  expect_gives_up<rp::TimeoutError>([&] { a.send(std::move(d), limit); });
  EXPECT_FALSE(d.closed());
  for (int i = 0; i < sent; ++i) EXPECT_EQ(b.recv<std::string>(20s), block);
  a.send(std::move(d), 20s);
  b.recv<rp::Connection>(20s).send(1);
  EXPECT_EQ(c.recv<int>(20s), 1);
  EXPECT_FALSE(b.poll());
}

template <class LockType>
void expect_gives_up_a_lock() {
  LockType lock;
  lock.lock();
  elsewhere([&] {
    expect_false([&] { return lock.try_lock_for(limit); });
    expect_false([&] { return lock.try_lock_until(std::chrono::system_clock::now() + limit + 1ms); });
  });
  lock.unlock();
  elsewhere([&] {
    ASSERT_TRUE(lock.try_lock_for(20s));
    lock.unlock();
  });
}

TEST(TimeLimits, of_locks) {
  expect_gives_up_a_lock<rp::Lock>();
  expect_gives_up_a_lock<rp::RLock>();
  expect_gives_up_a_lock<rp::Condition>();
}

TEST(TimeLimits, of_semaphores) {
  rp::Semaphore semaphore(0);
  rp::BoundedSemaphore bounded(1);
  bounded.acquire();
  expect_false([&] { return semaphore.try_acquire_for(limit); });
  expect_false([&] { return bounded.try_acquire_for(limit); });
  semaphore.release();
  bounded.release();
  EXPECT_TRUE(semaphore.try_acquire_for(20s));
  EXPECT_TRUE(bounded.try_acquire_for(20s));
}

TEST(TimeLimits, of_conditions) {
  rp::Condition condition;
  bool holds = false;
  condition.lock();
  expect_false([&] { return condition.wait_for(limit); });
  expect_false([&] { return condition.wait_for(limit, [&] { return holds; }); });
  condition.unlock();
  std::thread other([&] {
    condition.lock();
    holds = true;
    condition.notify();
    condition.unlock();
  });
  condition.lock();
  EXPECT_TRUE(condition.wait_for(20s, [&] { return holds; }));
  condition.unlock();
  other.join();
}

TEST(TimeLimits, of_events_and_barriers) {
  rp::Event event;
  expect_false([&] { return event.wait_for(limit); });
  event.set();
  EXPECT_TRUE(event.wait_for(20s));
  rp::Barrier barrier(2);
  expect_gives_up<rp::BrokenBarrier>([&] { barrier.wait_for(limit); });
  barrier.reset();
  std::thread other([&] { barrier.wait_for(20s); });
  barrier.wait_for(20s);
  other.join();
}

// An update keeps other changes waiting, not reads.
TEST(TimeLimits, of_managers) {
  rp::Manager manager;
  auto dict = manager.dict<std::string, int>();
  auto list = manager.list<int>();
  list.append(1);
  const auto in_vain = [](const std::function<void()>& change) {
    elsewhere([&] { expect_gives_up<rp::TimeoutError>(change); });
  };
  dict.update("n", [&](int& n) {
    auto other = dict.within(limit);
    in_vain([&] { other.set("n", 2); });
    in_vain([&] { other.pop("n", 0); });
    in_vain([&] { other.clear(); });
    in_vain([&] { other.update_all(std::vector<std::pair<std::string, int>>{{"m", 1}}); });
    in_vain([&] { other.update("n", [](int& m) { m = 7; }); });
    EXPECT_FALSE(other.contains("n"));
    n = 1;
  });
  EXPECT_EQ(dict.items(), (std::vector<std::pair<std::string, int>>{{"n", 1}}));
  list.update(0, [&](int& n) {
    auto other = list.within(limit);
    in_vain([&] { other.append(2); });
    in_vain([&] { other.extend(std::vector{3, 4}); });
    in_vain([&] { other.insert(0, 5); });
    in_vain([&] { other.set(0, 5); });
    in_vain([&] { other.pop(); });
    EXPECT_EQ(other.to_vector(), std::vector{1});
    n = 6;
  });
  EXPECT_EQ(list.to_vector(), std::vector{6});
  dict.within(20s).update("n", [](int& n) { ++n; });
  EXPECT_EQ(dict.within(0s).get("n"), 2);
  auto space = manager.space();
  space.within(20s).set("x", 1);
  EXPECT_EQ(space.get<int>("x"), 1);
}

}  // namespace
