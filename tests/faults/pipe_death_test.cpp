// Processes that die with an end of a pipe in their hands: the other end learns it, what they sent still arrives, and
// nobody waits for ever.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Death;
using support::long_enough;

namespace {

/// Sends so many numbers, waits for leave to die, and dies.
void send_and_die(rp::Connection connection, int count, Death how) {
  for (int i = 0; i < count; ++i) connection.send(i);
  connection.recv<bool>();
  support::die(how);
}
void read_one_and_die(rp::Connection connection) {
  connection.recv<std::vector<int>>();
  support::die(Death::kill);
}

template <class Result>
void expect_lost(Result& result) {
  EXPECT_THROW(result.get(long_enough), rp::WorkerLost);
}

TEST(PipeDeath, ends_the_stream_after_what_was_sent) {
  rp::Pool pool(2);
  for (const Death how : {Death::kill, Death::underscore_exit, Death::exit, Death::segmentation_fault}) {
    auto [a, b] = rp::Pipe();
    auto task = pool.apply_async(send_and_die, std::move(b), 100, how);
    a.send(true);
    expect_lost(task);
    for (int i = 0; i < 100; ++i) ASSERT_EQ(a.recv<int>(long_enough), i);
    EXPECT_THROW(a.recv<int>(long_enough), rp::EndOfStream);
    EXPECT_THROW(a.send(1), rp::BrokenPipe);
  }
}

TEST(PipeDeath, wakes_who_waits_for_a_message) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto task = pool.apply_async(send_and_die, std::move(b), 1, Death::kill);
  EXPECT_EQ(a.recv<int>(), 0);
  a.send(true);
  EXPECT_EQ(rp::wait_ready({&a}, long_enough), std::vector<std::size_t>{0});
  EXPECT_THROW(a.recv<int>(long_enough), rp::EndOfStream);
  expect_lost(task);
}

TEST(PipeDeath, ends_a_send_into_a_full_pipe) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto task = pool.apply_async(read_one_and_die, std::move(b));
  try {
    for (int i = 0; i < 1000; ++i) a.send(std::vector<int>(1'000'000, i));
    ADD_FAILURE() << "nobody reads this";
  } catch (const rp::BrokenPipe&) {
  }
  expect_lost(task);
}

TEST(PipeDeath, closes_the_ends_that_were_sent_to_the_dead) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto [read, unread] = rp::Pipe();
  auto [x, y] = rp::Pipe();
  auto task = pool.apply_async(
      [](rp::Connection from) {
        auto given = from.recv<rp::Connection>();
        given.send(1);
        from.send(true);
        from.recv<bool>();
        support::die(Death::kill);
      },
      std::move(b));
  a.send(std::move(y));
  EXPECT_TRUE(a.recv<bool>(long_enough));
  a.send(true);
  expect_lost(task);
  EXPECT_EQ(x.recv<int>(long_enough), 1);
  EXPECT_THROW(x.recv<int>(long_enough), rp::EndOfStream);

  std::tie(a, b) = rp::Pipe();
  a.send(true);
  a.send(std::move(unread));
  auto other = pool.apply_async(send_and_die, std::move(b), 0, Death::kill);
  expect_lost(other);
  EXPECT_THROW(read.recv<int>(long_enough), rp::EndOfStream);
}

/// Dies at the first attempt, with some messages read.
long sum_at_the_second_attempt(rp::Connection from, const std::string& been_here) {
  const bool first = !support::exists(been_here);
  long sum = 0;
  for (int i = 0; i < 500; ++i) {
    sum += from.recv<int>();
    if (first && i == 10) {
      support::add_line(been_here, "once");
      support::die(Death::kill);
    }
  }
  return sum;
}

// The messages that the first attempt had, but had not yet told the home of, come again; none of the others is lost.
TEST(PipeDeath, leaves_the_rest_to_the_next_attempt) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .retries = 1});
  const support::Scratch scratch;
  auto [a, b] = rp::Pipe();
  for (int i = 0; i < 500; ++i) a.send(1);
  EXPECT_EQ(pool.apply(sum_at_the_second_attempt, std::move(b), scratch.file("been")), 500);
  EXPECT_THROW(a.recv<int>(long_enough), rp::EndOfStream);
}

TEST(PipeDeath, does_not_keep_a_pool_from_ending) {
  auto [a, b] = rp::Pipe();
  {
    rp::Pool pool(2);
    auto task = pool.apply_async([](rp::Connection from) { return from.recv<int>(); }, std::move(b));
    std::this_thread::sleep_for(20ms);
    pool.terminate();
  }
  EXPECT_THROW(a.recv<int>(long_enough), rp::EndOfStream);
  EXPECT_THROW(a.send(1), rp::BrokenPipe);
}

}  // namespace
