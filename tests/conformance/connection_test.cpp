// The cases of CPython 3.13's _TestConnection, _TestPoll, _TestPicklingConnections and TestWait
// (Lib/test/_test_multiprocessing.py), under their names. Tasks of a pool are the other processes.
//
// On purpose other than there: what cannot be received as asked stays for the next call, also after BufferTooShort,
// which has the size of the message instead of the message; a part of bytes is a span, which cannot lie outside of
// them; the wrong direction is a std::logic_error, and an end that is closed throws Closed; an end that was given away
// is its new owner's alone, so there is no second copy to close, and none of the cases in which two processes read one
// end. File descriptors and sockets are not sent.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

using Bytes = std::vector<std::byte>;
using Indices = std::vector<std::size_t>;

Bytes latin(const std::string& text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}
const Bytes& sentinel() {
  static const Bytes none;
  return none;
}
constexpr auto timeout1 = 82ms;  // CPython's is ten times as long

void echo(rp::Connection conn) {
  for (Bytes message = conn.recv_bytes(); message != sentinel(); message = conn.recv_bytes()) conn.send_bytes(message);
}
/// As there, but what comes may be an object too.
void echo_all(rp::Connection conn) {
  for (;;) {
    try {
      const Bytes message = conn.recv_bytes();
      if (message == sentinel()) return;
      conn.send_bytes(message);
    } catch (const rp::TypeMismatch&) {
      conn.send(conn.recv<std::tuple<int, double, bool>>());
    }
  }
}

class Connection : public ::testing::Test {
 protected:
  rp::Pool pool{4};
};

TEST_F(Connection, test_connection) {
  auto [conn, child_conn] = rp::Pipe();
  auto p = pool.apply_async(echo_all, std::move(child_conn));
  const std::tuple<int, double, bool> seq{1, 2.25, false};
  const Bytes msg = latin("hello world");
  const Bytes longmsg(110, std::byte{'h'});
  const std::vector<int> arr{0, 1, 2, 3};

  conn.send(seq);
  EXPECT_EQ((conn.recv<std::tuple<int, double, bool>>()), seq);
  conn.send_bytes(msg);
  EXPECT_EQ(conn.recv_bytes(), msg);

  std::vector<int> buffer(10);
  conn.send_bytes(std::as_bytes(std::span(arr)));
  EXPECT_EQ(conn.recv_bytes_into(std::as_writable_bytes(std::span(buffer))), arr.size() * sizeof(int));
  EXPECT_EQ(buffer, (std::vector<int>{0, 1, 2, 3, 0, 0, 0, 0, 0, 0}));
  buffer.assign(10, 0);
  conn.send_bytes(std::as_bytes(std::span(arr)));
  EXPECT_EQ(conn.recv_bytes_into(std::as_writable_bytes(std::span(buffer).subspan(3))), arr.size() * sizeof(int));
  EXPECT_EQ(buffer, (std::vector<int>{0, 0, 0, 0, 1, 2, 3, 0, 0, 0}));

  Bytes small(40);
  conn.send_bytes(longmsg);
  try {
    const std::size_t res = conn.recv_bytes_into(small);
    ADD_FAILURE() << "expected BufferTooShort, got " << res;
  } catch (const rp::BufferTooShort& error) {
    EXPECT_EQ(error.size(), longmsg.size());
  }
  EXPECT_EQ(conn.recv_bytes(), longmsg);

  EXPECT_FALSE(conn.poll());
  EXPECT_FALSE(conn.poll(-1s));
  const auto start = Clock::now();
  EXPECT_FALSE(conn.poll(timeout1));
  EXPECT_GE(Clock::now() - start, timeout1);

  conn.send(seq);
  EXPECT_TRUE(conn.poll(support::long_enough));
  EXPECT_EQ((conn.recv<std::tuple<int, double, bool>>()), seq);

  const Bytes really_big_msg(16 * 1024 * 1024, std::byte{'X'});
  conn.send_bytes(really_big_msg);
  EXPECT_EQ(conn.recv_bytes(), really_big_msg);
  conn.send_bytes(sentinel());
  EXPECT_TRUE(conn.readable());
  EXPECT_TRUE(conn.writable());
  EXPECT_THROW(conn.recv<int>(), rp::EndOfStream);
  EXPECT_THROW(conn.recv_bytes(), rp::EndOfStream);
  p.get();
}

TEST_F(Connection, test_duplex_false) {
  auto [reader, writer] = rp::Pipe(false);
  writer.send(1);
  EXPECT_EQ(reader.recv<int>(), 1);
  EXPECT_TRUE(reader.readable());
  EXPECT_FALSE(reader.writable());
  EXPECT_FALSE(writer.readable());
  EXPECT_TRUE(writer.writable());
  EXPECT_THROW(reader.send(2), std::logic_error);
  EXPECT_THROW(writer.recv<int>(), std::logic_error);
  EXPECT_THROW(writer.poll(), std::logic_error);
}

TEST_F(Connection, test_spawn_close) {
  auto [conn, child_conn] = rp::Pipe();
  auto p = pool.apply_async(echo, std::move(child_conn));
  child_conn.close();  // what was given away is closed here already
  EXPECT_TRUE(child_conn.closed());
  const Bytes msg = latin("hello");
  conn.send_bytes(msg);
  EXPECT_EQ(conn.recv_bytes(), msg);
  conn.send_bytes(sentinel());
  conn.close();
  p.get();
}

TEST_F(Connection, test_sendbytes) {
  const Bytes msg = latin("abcdefghijklmnopqrstuvwxyz");
  const std::span<const std::byte> all = msg;
  auto [a, b] = rp::Pipe();
  a.send_bytes(all);
  EXPECT_EQ(b.recv_bytes(), msg);
  a.send_bytes(all.subspan(5));
  EXPECT_EQ(b.recv_bytes(), latin("fghijklmnopqrstuvwxyz"));
  a.send_bytes(all.subspan(7, 8));
  EXPECT_EQ(b.recv_bytes(), latin("hijklmno"));
  a.send_bytes(all.subspan(26));
  EXPECT_EQ(b.recv_bytes(), latin(""));
  a.send_bytes(all.subspan(26, 0));
  EXPECT_EQ(b.recv_bytes(), latin(""));
}

TEST_F(Connection, test_context) {
  auto [a, b] = rp::Pipe();
  a.send(1729);
  EXPECT_EQ(b.recv<int>(), 1729);
  EXPECT_FALSE(a.closed());
  EXPECT_FALSE(b.closed());
  a.close();
  b.close();
  EXPECT_TRUE(a.closed());
  EXPECT_TRUE(b.closed());
  EXPECT_THROW(a.recv<int>(), rp::Closed);
  EXPECT_THROW(b.recv<int>(), rp::Closed);
}

using Poll = Connection;

TEST_F(Poll, test_empty_string) {
  auto [a, b] = rp::Pipe();
  EXPECT_FALSE(a.poll());
  b.send_bytes({});
  EXPECT_TRUE(a.poll());
  EXPECT_TRUE(a.poll());
}

void child_strings(rp::Connection conn, const std::vector<std::string>& strings) {
  for (const std::string& s : strings) {
    std::this_thread::sleep_for(10ms);
    conn.send_bytes(latin(s));
  }
}

TEST_F(Poll, test_strings) {
  const std::vector<std::string> strings{"hello", "", "a", "b", "", "bye", "", "lop"};
  auto [a, b] = rp::Pipe();
  auto p = pool.apply_async(child_strings, std::move(b), strings);
  for (const std::string& s : strings) {
    for (int i = 0; i < 200; ++i)
      if (a.poll(10ms)) break;
    EXPECT_EQ(a.recv_bytes(), latin(s));
  }
  p.get();
}

// There, both processes may read from one end afterwards; here the end comes back.
rp::Connection child_boundaries(rp::Connection r) {
  r.poll(5s);
  return r;
}

TEST_F(Poll, test_boundaries) {
  auto [r, w] = rp::Pipe(false);
  auto p = pool.apply_async(child_boundaries, std::move(r));
  std::this_thread::sleep_for(50ms);
  w.send_bytes(latin("first"));
  w.send_bytes(latin("second"));
  w.close();
  rp::Connection back = p.get();
  EXPECT_EQ(back.recv_bytes(), latin("first"));
  EXPECT_EQ(back.recv_bytes(), latin("second"));
  EXPECT_THROW(back.recv_bytes(), rp::EndOfStream);
}

void child_dont_merge(rp::Connection b) {
  b.send_bytes(latin("a"));
  b.send_bytes(latin("b"));
  b.send_bytes(latin("cd"));
}

TEST_F(Poll, test_dont_merge) {
  auto [a, b] = rp::Pipe();
  EXPECT_FALSE(a.poll(0s));
  EXPECT_FALSE(a.poll(10ms));
  auto p = pool.apply_async(child_dont_merge, std::move(b));
  EXPECT_EQ(a.recv_bytes(), latin("a"));
  EXPECT_TRUE(a.poll(support::long_enough));
  EXPECT_TRUE(a.poll(1s));
  EXPECT_EQ(a.recv_bytes(), latin("b"));
  EXPECT_TRUE(a.poll(support::long_enough));
  EXPECT_TRUE(a.poll(1s));
  EXPECT_TRUE(a.poll(0s));
  EXPECT_EQ(a.recv_bytes(), latin("cd"));
  p.get();
}

using PicklingConnections = Connection;

// A listener makes connections and sends one end to the main program, the other to whoever shall talk to it.
void listener(rp::Connection conn, int count) {
  for (int i = 0; i < count; ++i) {
    auto [ours, theirs] = rp::Pipe();
    conn.send(std::move(ours));
    conn.send(std::move(theirs));
  }
  conn.recv<bool>();
}
void remote(rp::Connection conn) {
  try {
    for (;;) {
      auto client = conn.recv<rp::Connection>();
      auto msg = conn.recv<std::string>();
      std::transform(msg.begin(), msg.end(), msg.begin(), [](char c) { return c >= 'a' && c <= 'z' ? c - 32 : c; });
      client.send(msg);
    }
  } catch (const rp::EndOfStream&) {
  }
}

TEST_F(PicklingConnections, test_pickling) {
  auto [lconn, lconn0] = rp::Pipe();
  auto lp = pool.apply_async(listener, std::move(lconn0), 3);
  auto [rconn, rconn0] = rp::Pipe();
  auto remote_process = pool.apply_async(remote, std::move(rconn0));
  for (int i = 0; i < 3; ++i) {
    rp::Connection new_conn = lconn.recv<rp::Connection>();
    rconn.send(lconn.recv<rp::Connection>());
    rconn.send("this connection uses a pipe");
    EXPECT_EQ(new_conn.recv<std::string>(), "THIS CONNECTION USES A PIPE");
    EXPECT_THROW(new_conn.recv<std::string>(), rp::EndOfStream);
  }
  rconn.close();
  lconn.send(true);
  lconn.close();
  lp.get();
  remote_process.get();
}

void child_access(rp::Connection conn) {
  auto w = conn.recv<rp::Connection>();
  w.send("all is well");
  w.close();
  auto r = conn.recv<rp::Connection>();
  const auto msg = r.recv<std::string>();
  conn.send(msg + msg);
}

TEST_F(PicklingConnections, test_access) {
  auto [conn, child_conn] = rp::Pipe();
  auto p = pool.apply_async(child_access, std::move(child_conn));

  auto [r, w] = rp::Pipe(false);
  conn.send(std::move(w));
  EXPECT_EQ(r.recv<std::string>(), "all is well");
  r.close();

  std::tie(r, w) = rp::Pipe(false);
  conn.send(std::move(r));
  w.send("foobar");
  w.close();
  EXPECT_EQ(conn.recv<std::string>(), "foobarfoobar");
  p.get();
}

using Wait = Connection;

void child_test_wait(rp::Connection w, bool slow, int seed) {
  for (int i = 0; i < 10; ++i) {
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds((seed * 7 + i * 5) % 11));
    w.send(std::pair(i, seed));
  }
}

void test_wait(rp::Pool& pool, bool slow) {
  std::vector<rp::Connection> readers;
  std::vector<rp::AsyncResult<void>> procs;
  std::vector<std::pair<int, int>> messages;
  for (int i = 0; i < 4; ++i) {
    auto [r, w] = rp::Pipe(false);
    procs.push_back(pool.apply_async(child_test_wait, std::move(w), slow, i));
    readers.push_back(std::move(r));
  }
  while (!readers.empty()) {
    std::vector<rp::Connection*> waiting;
    for (rp::Connection& r : readers) waiting.push_back(&r);
    for (const std::size_t i : rp::wait_ready(waiting)) {
      try {
        messages.push_back(readers[i].recv<std::pair<int, int>>());
      } catch (const rp::EndOfStream&) {
        readers[i].close();
      }
    }
    std::erase_if(readers, [](const rp::Connection& r) { return r.closed(); });
  }
  std::sort(messages.begin(), messages.end());
  std::vector<std::pair<int, int>> expected;
  for (int i = 0; i < 10; ++i)
    for (int process = 0; process < 4; ++process) expected.emplace_back(i, process);
  EXPECT_EQ(messages, expected);
}

TEST_F(Wait, test_wait) { test_wait(pool, false); }
TEST_F(Wait, test_wait_slow) { test_wait(pool, true); }

TEST_F(Wait, test_wait_timeout) {
  auto [a, b] = rp::Pipe();
  const auto start = Clock::now();
  EXPECT_EQ(rp::wait_ready({&a, &b}, 50ms), Indices{});
  EXPECT_GE(Clock::now() - start, 50ms);
  b.send(0);
  EXPECT_EQ(rp::wait_ready({&a, &b}, 20s), Indices{0});
}

void signal_and_sleep(rp::Event event, std::chrono::milliseconds period) {
  event.set();
  std::this_thread::sleep_for(period);
}

TEST_F(Wait, test_wait_integer) {
  rp::Event event;
  auto [a, b] = rp::Pipe();
  rp::Process p(signal_and_sleep, event, 50ms);
  p.start();
  ASSERT_TRUE(event.wait_for(20s));
  EXPECT_EQ(rp::wait_ready({&a, &p, &b}, 0s), Indices{});
  EXPECT_EQ(rp::wait_ready({&a, &p, &b}, 20s), Indices{1});
  a.send(0);
  EXPECT_EQ(rp::wait_ready({&a, &p, &b}, 20s), (Indices{1, 2}));
  b.send(0);
  EXPECT_EQ(rp::wait_ready({&a, &p, &b}, 20s), (Indices{0, 1, 2}));
  b.send(0);  // no longer the first one
  b.recv<int>();
  EXPECT_EQ(rp::wait_ready({&a, &p, &b}, 20s), (Indices{0, 1}));
}

TEST_F(Wait, test_neg_timeout) {
  auto [a, b] = rp::Pipe();
  const auto start = Clock::now();
  EXPECT_EQ(rp::wait_ready({&a}, -1s), Indices{});
  EXPECT_LT(Clock::now() - start, 10s);
}

}  // namespace
