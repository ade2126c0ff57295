// wait_ready: over connections and results, of threads, tasks and ranks.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

using Indices = std::vector<std::size_t>;

void send_ten(rp::Connection to) {
  for (int i = 0; i < 10; ++i) to.send(i);
}

TEST(WaitReady, says_which_are_ready) {
  auto [a, b] = rp::Pipe();
  auto [c, d] = rp::Pipe();
  EXPECT_EQ(rp::wait_ready({&a, &b, &c, &d}, 0s), Indices{});
  EXPECT_EQ(rp::wait_ready({&a, &b, &c, &d}, -1s), Indices{});
  EXPECT_EQ(rp::wait_ready({&a, &b, &c, &d}, 5ms), Indices{});
  for (int i = 0; i < 50; ++i) {
    a.send(1);
    d.send(2);
    ASSERT_EQ(rp::wait_ready({&a, &b, &c, &d}), (Indices{1, 2}));
    ASSERT_EQ(rp::wait_ready({&b, &b, &a}, 1s), (Indices{0, 1}));
    b.recv<int>();
    ASSERT_EQ(rp::wait_ready({&a, &b, &c, &d}, 0ms), Indices{2});
    c.recv<int>();
    ASSERT_EQ(rp::wait_ready({&a, &b, &c, &d}, 0ms), Indices{});
  }
  c.close();
  EXPECT_EQ(rp::wait_ready({&a, &d, &b}), Indices{1});
}

TEST(WaitReady, refuses_what_cannot_become_ready) {
  auto [reader, writer] = rp::Pipe(false);
  EXPECT_THROW(rp::wait_ready({&writer}, 0s), std::logic_error);
  reader.close();
  EXPECT_THROW(rp::wait_ready({&reader}, 0s), rp::Closed);
  EXPECT_EQ(rp::wait_ready({}, 1ms), Indices{});
}

TEST(WaitReady, is_woken_by_results_and_by_messages) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto [go, gone] = rp::Pipe();
  auto first = pool.apply_async(
      [](rp::Connection wait_for) {
        wait_for.recv<int>();
        return 1;
      },
      std::move(gone));
  rp::AsyncResult<void> second = pool.apply_async(send_ten, std::move(b));
  EXPECT_EQ(rp::wait_ready({&first, &a}), Indices{1});
  second.wait();
  EXPECT_EQ(rp::wait_ready({&first, &a, &second}), (Indices{1, 2}));
  go.send(1);
  first.wait();
  EXPECT_EQ(rp::wait_ready({&first, &second}, 0s), (Indices{0, 1}));
  EXPECT_EQ(first.get(), 1);
}

TEST(WaitReady, takes_a_range) {
  rp::Pool pool(4);
  std::vector<rp::Connection> readers;
  std::vector<rp::Connection> writers;
  for (int i = 0; i < 12; ++i) {
    auto [reader, writer] = rp::Pipe(false);
    readers.push_back(std::move(reader));
    writers.push_back(std::move(writer));
  }
  auto sent = pool.map_async(send_ten, std::move(writers), {.chunksize = 1});
  std::map<std::size_t, int> received;
  std::vector<std::size_t> open(readers.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  while (!open.empty()) {
    std::vector<rp::Connection*> waiting;
    for (const std::size_t i : open) waiting.push_back(&readers[i]);
    std::vector<std::size_t> left = open;
    for (const std::size_t ready : rp::wait_ready(waiting)) {
      try {
        const int number = waiting[ready]->recv<int>(0s);
        EXPECT_EQ(number, received[open[ready]]++);
      } catch (const rp::EndOfStream&) {
        std::erase(left, open[ready]);
      }
    }
    open = left;
  }
  EXPECT_EQ(received.size(), readers.size());
  for (const auto& [reader, count] : received) EXPECT_EQ(count, 10);
  sent.get();
}

TEST(WaitReady, is_woken_by_a_thread) {
  auto [a, b] = rp::Pipe();
  auto [c, d] = rp::Pipe();
  std::thread sender([&to = d] {
    std::this_thread::sleep_for(20ms);
    to.send(1);
  });
  EXPECT_EQ(rp::wait_ready({&a, &c}, 20s), Indices{1});
  sender.join();
}

void put_after(rp::Queue<int> queue, rp::Event go) {
  go.wait();
  queue.put(1);
}

TEST(WaitReady, waits_for_connections_processes_queues_and_results_at_once) {
  rp::Queue<int> queue;
  rp::SimpleQueue<int> idle;
  rp::Event go;
  auto [mine, theirs] = rp::Pipe();
  rp::Pool pool(1);
  rp::Process process(put_after, queue, go);
  EXPECT_THROW(rp::wait_ready({&process}, 0s), std::logic_error);
  process.start();
  EXPECT_EQ(rp::wait_ready({&mine, &process, &queue, &idle}, 5ms), Indices{});
  go.set();
  EXPECT_EQ(rp::wait_ready({&queue, &idle}), Indices{0});
  EXPECT_EQ(queue.qsize(), 1u);  // it was not taken
  EXPECT_EQ(rp::wait_ready({&mine, &process}), Indices{1});
  process.join();
  auto result = pool.apply_async(put_after, queue, go);
  result.wait();
  theirs.send(5);
  EXPECT_EQ(rp::wait_ready({&mine, &process, &queue, &idle, &result}), (Indices{0, 1, 2, 4}));
  queue.get();
  queue.get();
  EXPECT_EQ(rp::wait_ready({&queue, &idle}, 0s), Indices{});
  queue.shutdown();
  EXPECT_EQ(rp::wait_ready({&queue, &idle}, 1s), Indices{0});  // a get throws at once
}

TEST(WaitReady, takes_a_queue_for_ready_that_has_lent_items) {
  rp::Queue<int> queue;
  for (int i = 0; i < 100; ++i) queue.put(i);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(rp::wait_ready({&queue}, 1s), Indices{0});
    ASSERT_EQ(queue.get(), i);
  }
  EXPECT_EQ(rp::wait_ready({&queue}, 1ms), Indices{});
}

}  // namespace
