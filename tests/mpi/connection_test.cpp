// Pipes: within a process, to tasks on all ranks, and with ends that move.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

template <class Exception, class F>
std::string text_of(F f) {
  try {
    f();
  } catch (const Exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Sends back what comes until the other end closes; returns how much it was.
int echo(rp::Connection connection) {
  int count = 0;
  try {
    for (;; ++count) connection.send(connection.recv<std::string>());
  } catch (const rp::EndOfStream&) {
  }
  return count;
}

void send_numbers(rp::Connection& to, int first, int count) {
  for (int i = first; i < first + count; ++i) to.send(i);
}

rp::Connection read_some_and_return(rp::Connection connection, int first, int count) {
  for (int i = first; i < first + count; ++i)
    if (const int got = connection.recv<int>(); got != i)
      throw std::runtime_error("got " + std::to_string(got) + " instead of " + std::to_string(i));
  return connection;
}

TEST(Connection, receives_in_order_what_was_sent) {
  auto [a, b] = rp::Pipe();
  for (int i = 0; i < 10; ++i) a.send(i);
  b.send(std::string("back"));
  b.send("literal");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(b.recv<int>(), i);
  EXPECT_EQ(a.recv<std::string>(), "back");
  EXPECT_EQ(a.recv<std::string>(1s), "literal");
  const std::map<std::string, std::vector<int>> nested{{"one", {1}}, {"none", {}}};
  a.send(nested);
  EXPECT_EQ((b.recv<std::map<std::string, std::vector<int>>>()), nested);
}

TEST(Connection, polls) {
  auto [a, b] = rp::Pipe();
  EXPECT_FALSE(a.poll());
  EXPECT_FALSE(a.poll(-1s));
  EXPECT_FALSE(a.poll(5ms));
  EXPECT_THROW(a.recv<int>(0s), rp::TimeoutError);
  EXPECT_THROW(a.recv_bytes(rp::Connection::npos, 5ms), rp::TimeoutError);
  for (int i = 0; i < 100; ++i) {
    b.send(i);
    ASSERT_TRUE(a.poll()) << i;
    ASSERT_TRUE(a.poll());
    ASSERT_EQ(a.recv<int>(), i);
    ASSERT_FALSE(a.poll());
  }
}

TEST(Connection, keeps_a_message_of_another_type) {
  auto [a, b] = rp::Pipe();
  a.send(7L);
  EXPECT_TRUE(contains(text_of<rp::TypeMismatch>([&, &to = b] { to.recv<int>(); }), "of type long"));
  EXPECT_THROW(b.recv_bytes(), rp::TypeMismatch);
  EXPECT_EQ(b.recv<long>(), 7);
  a.send_bytes(bytes_of("abc"));
  EXPECT_TRUE(contains(text_of<rp::TypeMismatch>([&to = b] { to.recv<std::string>(); }), "3 bytes"));
  EXPECT_EQ(b.recv_bytes(), bytes_of("abc"));
}

TEST(Connection, keeps_bytes_that_are_too_many) {
  auto [a, b] = rp::Pipe();
  a.send_bytes(bytes_of("hello"));
  a.send_bytes({});
  std::vector<std::byte> small(4);
  try {
    b.recv_bytes_into(small);
    ADD_FAILURE();
  } catch (const rp::BufferTooShort& error) {
    EXPECT_EQ(error.size(), 5u);
  }
  EXPECT_THROW(b.recv_bytes(4), rp::BufferTooShort);
  std::vector<std::byte> room(9);
  EXPECT_EQ(b.recv_bytes_into(room), 5u);
  room.resize(5);
  EXPECT_EQ(room, bytes_of("hello"));
  EXPECT_TRUE(b.poll());
  EXPECT_TRUE(b.recv_bytes(0).empty());
}

TEST(Connection, ends_when_the_other_end_is_closed) {
  auto [a, b] = rp::Pipe();
  a.send(1);
  a.close();
  a.close();
  EXPECT_TRUE(a.closed());
  EXPECT_FALSE(b.closed());
  EXPECT_THROW(a.send(1), rp::Closed);
  EXPECT_THROW(a.recv<int>(), rp::Closed);
  EXPECT_THROW(a.poll(), rp::Closed);
  EXPECT_TRUE(b.poll());
  EXPECT_THROW(b.send(1), rp::BrokenPipe);
  EXPECT_EQ(b.recv<int>(), 1);
  EXPECT_TRUE(b.poll());
  EXPECT_THROW(b.recv<int>(), rp::EndOfStream);
  EXPECT_THROW(b.recv_bytes(), rp::EndOfStream);
  EXPECT_THROW(b.send(1), rp::BrokenPipe);
}

TEST(Connection, ends_with_the_object) {
  auto [a, b] = rp::Pipe();
  b.send(1);
  b.send(2);
  { const rp::Connection gone = std::move(a); }
  EXPECT_THROW(a.send(1), rp::Closed);
  EXPECT_TRUE(a.closed());
  EXPECT_THROW(b.send(3), rp::BrokenPipe);
  EXPECT_THROW(b.recv<int>(), rp::EndOfStream);
  std::tie(a, b) = rp::Pipe();
  a.send(4);
  EXPECT_EQ(b.recv<int>(), 4);
}

TEST(Connection, of_one_way_goes_one_way) {
  auto [reader, writer] = rp::Pipe(false);
  EXPECT_TRUE(reader.readable() && !reader.writable() && writer.writable() && !writer.readable());
  writer.send(1);
  EXPECT_EQ(reader.recv<int>(), 1);
  EXPECT_TRUE(contains(text_of<std::logic_error>([&from = reader] { from.send(1); }), "receive-only"));
  EXPECT_TRUE(contains(text_of<std::logic_error>([&from = writer] { from.recv<int>(); }), "send-only"));
  EXPECT_THROW(writer.poll(), std::logic_error);
}

TEST(Connection, wakes_a_thread_that_receives) {
  auto [a, b] = rp::Pipe();
  std::thread sender([&from = b] {
    std::this_thread::sleep_for(20ms);
    from.send(1);
    std::this_thread::sleep_for(20ms);
    from.close();
  });
  EXPECT_EQ(a.recv<int>(), 1);
  EXPECT_THROW(a.recv<int>(20s), rp::EndOfStream);
  sender.join();

  auto [c, d] = rp::Pipe();
  std::thread closer([&own = c] {
    std::this_thread::sleep_for(20ms);
    own.close();
  });
  EXPECT_THROW(c.recv<int>(20s), rp::Closed);
  closer.join();
}

TEST(Connection, takes_messages_of_several_threads_whole) {
  auto [a, b] = rp::Pipe();
  std::vector<std::thread> senders;
  for (int t = 0; t < 4; ++t)
    senders.emplace_back([&to = a, t] {
      for (int i = 0; i < 200; ++i) to.send(std::vector<int>(static_cast<std::size_t>(i % 50) * 400, t));
    });
  std::vector<int> seen(4);
  for (int i = 0; i < 800; ++i) {
    const auto message = b.recv<std::vector<int>>();
    if (message.empty()) continue;
    EXPECT_EQ(message, std::vector<int>(message.size(), message.front()));
    const auto expected = static_cast<std::size_t>(++seen[static_cast<std::size_t>(message.front())]);
    EXPECT_EQ(message.size() / 400, 1 + (expected - 1) % 49);
  }
  for (std::thread& sender : senders) sender.join();
}

TEST(Connection, talks_to_tasks) {
  rp::Pool pool(3);
  std::vector<rp::Connection> ours;
  std::vector<rp::Connection> theirs;
  for (int i = 0; i < 3; ++i) {
    auto [a, b] = rp::Pipe();
    ours.push_back(std::move(a));
    theirs.push_back(std::move(b));
  }
  auto counts = pool.map_async(echo, theirs, {.chunksize = 1});
  for (const rp::Connection& moved : theirs) EXPECT_TRUE(moved.closed());
  EXPECT_TRUE(contains(text_of<rp::Closed>([&] { theirs[0].send(1); }), "moved to another process"));
  for (int i = 0; i < 50; ++i)
    for (rp::Connection& one : ours) {
      one.send("message " + std::to_string(i));
      EXPECT_EQ(one.recv<std::string>(), "message " + std::to_string(i));
    }
  for (rp::Connection& one : ours) one.close();
  EXPECT_EQ(counts.get(), std::vector<int>(3, 50));
}

TEST(Connection, is_closed_by_the_task_that_drops_it) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  pool.apply([](rp::Connection given) { given.send(1); }, std::move(b));
  EXPECT_EQ(a.recv<int>(), 1);
  EXPECT_THROW(a.recv<int>(), rp::EndOfStream);
  EXPECT_THROW(a.send(1), rp::BrokenPipe);
}

TEST(Connection, takes_unread_messages_along) {
  rp::Pool pool(4);
  auto [a, b] = rp::Pipe();
  constexpr int count = 3000;
  send_numbers(a, 0, count);
  int next = 0;
  for (const int some : {1, 63, 64, 200, 0, 700}) {
    for (int i = 0; i < 7; ++i) EXPECT_EQ(b.recv<int>(), next++);
    b = pool.apply(read_some_and_return, std::move(b), next, some);
    next += some;
    a.send(count + next);
    EXPECT_TRUE(b.poll());
  }
  for (; next < count; ++next) ASSERT_EQ(b.recv<int>(), next);
}

TEST(Connection, goes_through_another_one) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto [c, d] = rp::Pipe();
  c.send(5);
  a.send(std::move(d));
  EXPECT_THROW(d.recv<int>(), rp::Closed);
  auto task = pool.apply_async(
      [](rp::Connection from) {
        rp::Connection inner = from.recv<rp::Connection>();
        inner.send(inner.recv<int>() + 1);
        from.send(std::move(inner));
      },
      std::move(b));
  EXPECT_EQ(c.recv<int>(), 6);
  rp::Connection again = a.recv<rp::Connection>();
  c.send(7);
  EXPECT_EQ(again.recv<int>(), 7);
  task.get();

  std::vector<std::pair<int, rp::Connection>> many;
  std::vector<rp::Connection> others;
  std::tie(a, b) = rp::Pipe();
  for (int i = 0; i < 20; ++i) {
    auto [x, y] = rp::Pipe();
    many.emplace_back(i, std::move(x));
    others.push_back(std::move(y));
  }
  a.send(many);
  auto arrived = b.recv<std::vector<std::pair<int, rp::Connection>>>();
  ASSERT_EQ(arrived.size(), 20u);
  for (std::size_t i = 0; i < arrived.size(); ++i) {
    arrived[i].second.send(i);
    EXPECT_EQ(others[i].recv<std::size_t>(), i);
  }
}

TEST(Connection, goes_through_itself) {
  auto [a, b] = rp::Pipe();
  a.send(1);
  a.send(std::move(a));
  EXPECT_EQ(b.recv<int>(), 1);
  rp::Connection other = b.recv<rp::Connection>();
  other.send(2);
  EXPECT_EQ(b.recv<int>(), 2);
  EXPECT_THROW(b.send(std::move(other)), std::logic_error);  // it would have to be received from itself
}

TEST(Connection, in_a_message_that_nobody_reads_is_closed) {
  auto [a, b] = rp::Pipe();
  auto [c, d] = rp::Pipe();
  a.send(std::move(d));
  EXPECT_FALSE(c.poll());
  b.close();
  EXPECT_THROW(c.recv<int>(20s), rp::EndOfStream);
}

struct Unwritable {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    throw std::range_error("not today");
  }
};

TEST(Connection, in_a_value_that_cannot_be_sent_is_closed) {
  auto [a, b] = rp::Pipe();
  auto [c, d] = rp::Pipe();
  std::pair<rp::Connection, Unwritable> value{std::move(d), Unwritable{}};
  EXPECT_THROW(a.send(value), std::range_error);
  EXPECT_TRUE(value.first.closed());
  EXPECT_THROW(c.recv<int>(20s), rp::EndOfStream);
  a.send(1);
  EXPECT_EQ(b.recv<int>(), 1);

  rp::Pool pool(1);
  std::tie(c, d) = rp::Pipe();
  value.first = std::move(d);
  EXPECT_THROW(pool.map([](const std::pair<rp::Connection, Unwritable>&) {}, std::span(&value, 1)), std::range_error);
  EXPECT_THROW(c.recv<int>(20s), rp::EndOfStream);
}

TEST(Connection, in_a_result_that_cannot_be_sent_is_closed) {
  rp::Pool pool(1);
  auto [c, d] = rp::Pipe();
  EXPECT_THROW(pool.apply(
                   [](rp::Connection given) {
                     return std::pair<rp::Connection, Unwritable>{std::move(given), Unwritable{}};
                   },
                   std::move(d)),
               rp::SerializationError);
  EXPECT_THROW(c.recv<int>(20s), rp::EndOfStream);
}

TEST(Connection, in_the_result_of_a_task_serves_on) {
  rp::Pool pool(3);
  std::vector<rp::Connection> pairs = pool.apply([] {
    auto [a, b] = rp::Pipe();
    std::vector<rp::Connection> both;
    both.push_back(std::move(a));
    both.push_back(std::move(b));
    both[0].send(std::string("made in a task"));
    return both;
  });
  pool.close();
  pool.join();
  EXPECT_EQ(pairs[1].recv<std::string>(), "made in a task");
  pairs[1].send(1);
  EXPECT_EQ(pairs[0].recv<int>(), 1);
}

using Ends = std::pair<rp::Connection, rp::Connection>;

// Pipes whose homes are several ranks, used by turns while more of them arrive.
TEST(Connection, of_different_homes_work_side_by_side) {
  rp::Pool pool(4);
  const auto make_pipe = [](int) { return rp::Pipe(); };
  std::vector<Ends> pipes = pool.map(make_pipe, std::vector<int>(6), {.chunksize = 1});
  std::vector<rp::AsyncResult<std::vector<Ends>>> more;
  for (int i = 0; i < 50; ++i) {
    if (i % 10 == 0) more.push_back(pool.map_async(make_pipe, std::vector<int>(8), {.chunksize = 1}));
    for (auto& [a, b] : pipes) a.send(i);
    if (i % 10 == 9) more[static_cast<std::size_t>(i) / 20].wait();
  }
  for (auto& [a, b] : pipes)
    for (int i = 0; i < 50; ++i) ASSERT_EQ(b.recv<int>(), i);
  for (auto& arrived : more) {
    for (auto& [a, b] : arrived.get()) {
      a.send(1);
      EXPECT_EQ(b.recv<int>(), 1);
    }
  }
}

TEST(Connection, carries_other_handles) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto waiting =
      pool.apply_async([](rp::Connection from) { return from.recv<rp::Event>().wait_for(20s); }, std::move(b));
  rp::Event event;
  a.send(event);
  event.set();
  EXPECT_TRUE(waiting.get());
}

TEST(Connection, sends_megabytes) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  std::vector<std::byte> large(16 * 1024 * 1024);
  for (std::size_t i = 0; i < large.size(); i += 997) large[i] = static_cast<std::byte>(i);
  auto task = pool.apply_async(
      [](rp::Connection from) {
        for (;;) {
          const auto bytes = from.recv_bytes();
          from.send_bytes(bytes);
          if (bytes.empty()) return;
        }
      },
      std::move(b));
  for (int i = 0; i < 3; ++i) {
    a.send_bytes(large);
    EXPECT_EQ(a.recv_bytes(), large);
  }
  a.send_bytes({});
  EXPECT_TRUE(a.recv_bytes().empty());
}

TEST(Connection, sends_many_small_messages) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  constexpr int count = 100'000;
  auto task = pool.apply_async(
      [](rp::Connection from, int n) {
        long sum = 0;
        for (int i = 0; i < n; ++i) {
          const int got = from.recv<int>();
          if (got != i) throw std::runtime_error("out of order");
          sum += got;
        }
        return sum;
      },
      std::move(b), count);
  send_numbers(a, 0, count);
  EXPECT_EQ(task.get(), static_cast<long>(count) * (count - 1) / 2);
}

// The receiver begins late: the sender is held up when the pipe is full, and loses nothing.
TEST(Connection, holds_a_fast_sender_up) {
  rp::Pool pool(2);
  auto [a, b] = rp::Pipe();
  auto task = pool.apply_async(
      [](rp::Connection from, int n) {
        std::this_thread::sleep_for(100ms);
        for (int i = 0; i < n; ++i) {
          const auto block = from.recv<std::vector<int>>();
          if (block.front() != i || block.back() != i) return i;
        }
        return -1;
      },
      std::move(b), 400);
  for (int i = 0; i < 400; ++i) a.send(std::vector<int>(100'000, i));
  EXPECT_EQ(task.get(), -1);
}

}  // namespace
