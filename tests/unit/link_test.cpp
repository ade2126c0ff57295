#include "link/link.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "wire/bad_frame.hpp"

namespace {

using namespace std::chrono_literals;
using namespace rankpool;
using link::Incoming;
using link::LinkEnd;
using link::RankPage;
using link::Slice;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::span<const std::byte> bytes_of(const std::vector<std::byte>& bytes) { return bytes; }

Slice make_slice(std::size_t size, unsigned seed) {
  detail::Buffer buffer;
  std::byte* at = buffer.extend(size);
  for (std::size_t i = 0; i < size; ++i) at[i] = static_cast<std::byte>(seed + i * 7);
  return link::take_slice(buffer);
}

bool is_slice(const Slice& slice, std::size_t size, unsigned seed) {
  if (!slice || slice.length != size) return false;
  const auto bytes = slice.bytes();
  for (std::size_t i = 0; i < size; i += 61) {
    if (bytes[i] != static_cast<std::byte>(seed + i * 7)) return false;
  }
  return true;
}

wire::Header head_with(std::uint64_t token) {
  wire::Header head;
  head.kind = wire::Kind::test;
  head.token = token;
  return head;
}

/// Both ends in this process, as in rank 0.
class LinkTest : public testing::Test {
 protected:
  LinkTest() {
    auto [end, descriptors] = LinkEnd::create();
    engine = std::move(end);
    user = LinkEnd::open(descriptors, *page);
  }
  void TearDown() override {
    incoming = {};
    engine = {};
    user = {};
    page = {};
    link::discard_kept_memory();
    EXPECT_EQ(open_descriptors(), before) << "descriptors leaked";
  }

  std::size_t before = open_descriptors();
  RankPage page = RankPage::create();
  LinkEnd engine;
  LinkEnd user;
  Incoming incoming;
};

TEST_F(LinkTest, FramesGoBothWays) {
  EXPECT_FALSE(user.pending());
  EXPECT_FALSE(user.receive(incoming));
  const std::vector<std::byte> first(5, std::byte{1});
  const std::vector<std::byte> second(7, std::byte{2});
  auto head = head_with(77);
  head.to = {3, 4};
  head.from = {5, 6};
  head.flags = 9;
  ASSERT_TRUE(engine.try_send(head, bytes_of(first), bytes_of(second)));
  EXPECT_TRUE(user.pending());
  for (int i = 0; i < 2; ++i) {  // the same frame until it is released
    ASSERT_TRUE(user.receive(incoming));
    EXPECT_EQ(incoming.head.token, 77U);
    EXPECT_EQ(incoming.head.kind, wire::Kind::test);
    EXPECT_EQ(incoming.head.to, (wire::Address{3, 4}));
    EXPECT_EQ(incoming.head.from, (wire::Address{5, 6}));
    EXPECT_EQ(incoming.head.flags, 9U);
    EXPECT_EQ(incoming.head.body, 12U);
    EXPECT_EQ(incoming.head.segment, 0U);
    ASSERT_EQ(incoming.body.size(), 12U);
    EXPECT_EQ(std::memcmp(incoming.body.data(), first.data(), 5), 0);
    EXPECT_EQ(std::memcmp(incoming.body.data() + 5, second.data(), 7), 0);
    EXPECT_FALSE(incoming.slice);
  }
  user.release();
  EXPECT_FALSE(user.receive(incoming));

  ASSERT_TRUE(user.try_send(head_with(78), {}));
  ASSERT_TRUE(engine.receive(incoming));
  EXPECT_EQ(incoming.head.token, 78U);
  EXPECT_TRUE(incoming.body.empty());
  engine.release();
}

TEST_F(LinkTest, SlicesTravelInOrderWithTheirFrames) {
  for (unsigned round = 0; round < 30; ++round) {
    for (unsigned i = 0; i < 10; ++i) {
      const bool large = i % 3 == 0;
      const Slice slice = large ? make_slice(50'000 + i, i) : Slice{};
      ASSERT_TRUE(user.try_send(head_with(i), {}, {}, slice));
    }
    std::vector<Slice> kept;
    for (unsigned i = 0; i < 10; ++i) {
      ASSERT_TRUE(engine.receive(incoming));
      ASSERT_TRUE(engine.receive(incoming));  // takes no second descriptor
      EXPECT_EQ(incoming.head.token, i);
      EXPECT_EQ(incoming.head.segment, i % 3 == 0 ? 50'000 + i : 0);
      kept.push_back(incoming.slice);
      engine.release();
    }
    engine.publish();
    for (unsigned i = 0; i < 10; i += 3) EXPECT_TRUE(is_slice(kept[i], 50'000 + i, i));  // outlives its frame
  }
}

TEST_F(LinkTest, PartOfASegmentAndForwarding) {
  const Slice whole = make_slice(100'000, 0);
  ASSERT_TRUE(user.try_send(head_with(1), {}, {}, Slice{whole.segment, 7 * 256, 1000}));
  ASSERT_TRUE(engine.receive(incoming));
  const Slice received = incoming.slice;
  engine.release();
  ASSERT_TRUE(engine.try_send(head_with(2), {}, {}, received));
  ASSERT_TRUE(user.receive(incoming));
  EXPECT_EQ(incoming.head.segment, 1000U);
  EXPECT_TRUE(is_slice(incoming.slice, 1000, 0));
  user.release();
}

TEST_F(LinkTest, RefusesABodyThatIsTooLong) {
  const std::vector<std::byte> longest(wire::max_body);
  const std::vector<std::byte> one(1);
  EXPECT_TRUE(user.try_send(head_with(1), bytes_of(longest)));
  EXPECT_THROW(user.try_send(head_with(1), bytes_of(longest), bytes_of(one)), std::length_error);
}

TEST_F(LinkTest, FullRingSendsNothingAndAsksForRoom) {
  const std::vector<std::byte> body(10'000);
  std::uint64_t sent = 0;
  while (user.try_send(head_with(sent), bytes_of(body))) ++sent;
  EXPECT_EQ(sent, LinkEnd::ring_bytes / (10'000 + sizeof(wire::Header)));
  user.want_room();
  EXPECT_FALSE(user.try_send(head_with(sent), bytes_of(body)));
  ASSERT_TRUE(engine.receive(incoming));
  engine.release();
  EXPECT_FALSE(user.try_send(head_with(sent), bytes_of(body)));  // not published
  engine.publish();
  EXPECT_TRUE(user.try_send(head_with(sent), bytes_of(body)));
  for (std::uint64_t expected = 1; expected <= sent; ++expected) {
    ASSERT_TRUE(engine.receive(incoming));
    EXPECT_EQ(incoming.head.token, expected);
    engine.release();
  }
  EXPECT_FALSE(engine.pending());
}

TEST_F(LinkTest, FullSocketIsNoRoom) {
  const Slice slice = make_slice(50'000, 1);
  std::uint64_t sent = 0;
  while (user.try_send(head_with(sent), {}, {}, slice)) ASSERT_LT(++sent, 100'000U);
  EXPECT_GT(sent, 10U);
  EXPECT_FALSE(user.try_send(head_with(sent), {}, {}, slice));
  EXPECT_TRUE(user.try_send(head_with(999), {}));  // small ones still go
  for (std::uint64_t i = 0; i < sent; ++i) {
    ASSERT_TRUE(engine.receive(incoming));
    EXPECT_EQ(incoming.head.token, i);
    EXPECT_TRUE(incoming.slice);
    engine.release();
  }
  ASSERT_TRUE(engine.receive(incoming));
  EXPECT_EQ(incoming.head.token, 999U);
  engine.release();
  engine.publish();
  EXPECT_TRUE(user.try_send(head_with(sent), {}, {}, slice));
}

// A slow reader and a writer that sleeps for room: with a lost wake-up the writer would sleep its whole time limit.
TEST_F(LinkTest, WriterWaitingForRoomIsWoken) {
  constexpr std::uint64_t frames = 3'000;
  std::atomic<int> late{0};
  std::thread writer([&] {
    const std::vector<std::byte> body(5'000);
    for (std::uint64_t i = 0; i < frames; ++i) {
      while (!user.try_send(head_with(i), bytes_of(body))) {
        user.want_room();
        if (user.try_send(head_with(i), bytes_of(body))) break;
        const auto start = std::chrono::steady_clock::now();
        user.wait_for_room(3s);
        if (std::chrono::steady_clock::now() - start >= 3s) ++late;
      }
      user.ring();
    }
  });
  std::uint64_t received = 0;
  while (received < frames) {
    if (!engine.receive(incoming)) {
      page->bell.wait([&] { return engine.pending(); }, 3s);
      continue;
    }
    ASSERT_EQ(incoming.head.token, received);
    ++received;
    engine.release();
    if (received % 7 == 0 || !engine.pending()) engine.publish();
  }
  writer.join();
  EXPECT_EQ(late, 0);
}

TEST_F(LinkTest, UserSleepsUntilTheEngineRings) {
  std::atomic<bool> got{false};
  std::thread sleeper([&] {
    Incoming in;
    while (!user.receive(in)) user.wait([] { return false; }, 10s);
    got = true;
  });
  std::this_thread::sleep_for(5ms);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(engine.try_send(head_with(1), {}));
  engine.ring();
  sleeper.join();
  EXPECT_TRUE(got);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(LinkTest, TasksBegunIsSharedAndEndsMove) {
  EXPECT_TRUE(user.tasks().begin());
  EXPECT_EQ(engine.tasks().begun(), 1U);
  ASSERT_TRUE(user.try_send(head_with(1), {}, {}, make_slice(40'000, 3)));
  LinkEnd moved(std::move(engine));
  EXPECT_FALSE(engine);
  ASSERT_TRUE(moved.receive(incoming));
  engine = std::move(moved);
  ASSERT_TRUE(engine.receive(incoming));
  EXPECT_TRUE(is_slice(incoming.slice, 40'000, 3));
  engine.release();
}

TEST_F(LinkTest, WhatIsRecalledIsNotBegun) {
  EXPECT_TRUE(user.tasks().begin());
  EXPECT_EQ(engine.tasks().recall(), 1U);
  EXPECT_EQ(engine.tasks().recall(), 1U);
  EXPECT_EQ(engine.tasks().recalls(), 2U);
  EXPECT_FALSE(user.tasks().begin());
  user.tasks().passed_recall();
  EXPECT_FALSE(user.tasks().begin());
  user.tasks().passed_recall();
  EXPECT_EQ(engine.tasks().begun(), 1U);
  EXPECT_TRUE(user.tasks().begin());
  EXPECT_EQ(engine.tasks().begun(), 2U);
  EXPECT_EQ(engine.tasks().recalls(), 0U);
}

TEST_F(LinkTest, ARefusedTaskIsNeverCounted) {
  std::atomic<bool> done{false};
  std::uint64_t begun = 0;
  std::thread child([&] {
    while (!done)
      if (user.tasks().begin()) ++begun;
  });
  for (int round = 0; round < 2'000; ++round) {
    const std::uint64_t counted = engine.tasks().recall();
    for (int look = 0; look < 20; ++look) EXPECT_EQ(engine.tasks().begun(), counted);
    user.tasks().passed_recall();
  }
  done = true;
  child.join();
  EXPECT_EQ(engine.tasks().begun(), begun);
}

TEST_F(LinkTest, EverythingSentBeforeTheEndOfThePeerIsThere) {
  ASSERT_TRUE(user.try_send(head_with(1), {}, {}, make_slice(40'000, 1)));
  ASSERT_TRUE(user.try_send(head_with(2), {}));
  ASSERT_TRUE(user.try_send(head_with(3), {}, {}, make_slice(50'000, 3)));
  ASSERT_TRUE(engine.try_send(head_with(9), {}, {}, make_slice(40'000, 9)));  // the peer leaves it unread
  user = {};
  ASSERT_TRUE(engine.receive(incoming));
  EXPECT_TRUE(is_slice(incoming.slice, 40'000, 1));
  engine.release();
  ASSERT_TRUE(engine.receive(incoming));
  engine.release();
  ASSERT_TRUE(engine.receive(incoming));
  EXPECT_TRUE(is_slice(incoming.slice, 50'000, 3));
  engine.release();
  EXPECT_FALSE(engine.receive(incoming));
  EXPECT_FALSE(engine.try_send(head_with(4), {}, {}, make_slice(40'000, 4)));  // nobody takes it
}

TEST(Link, RandomTrafficWithAChildProcess) {
  const std::size_t before = open_descriptors();
  constexpr std::uint64_t frames = 4'000;
  {
    const RankPage page = RankPage::create();
    auto [engine, descriptors] = LinkEnd::create();
    const pid_t child = ::fork();
    if (child == 0) {  // gives everything back, inverted
      engine = {};
      LinkEnd user = LinkEnd::open(descriptors, *page);
      Incoming in;
      for (std::uint64_t done = 0; done < frames;) {
        if (!user.receive(in)) {
          user.wait([] { return false; }, 1s);
          continue;
        }
        std::vector<std::byte> body(in.body.begin(), in.body.end());
        for (auto& byte : body) byte = ~byte;
        while (!user.try_send(in.head, body, {}, in.slice)) {
          user.ring();
          user.want_room();
          if (user.try_send(in.head, body, {}, in.slice)) break;
          user.wait_for_room(100ms);
        }
        user.release();
        user.publish();
        user.ring();
        ++done;
      }
      ::_exit(0);
    }
    ::close(descriptors.memory);
    ::close(descriptors.socket);

    std::mt19937_64 random(11);
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::vector<std::size_t> sizes;
    std::vector<bool> large;
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (received < frames && std::chrono::steady_clock::now() < limit) {
      bool moved = false;
      while (sent < frames) {
        if (sizes.size() == sent) {
          sizes.push_back(random() % 10 == 0 ? random() % wire::max_body : random() % 300);
          large.push_back(random() % 20 == 0);
        }
        const std::vector<std::byte> body(sizes[sent], static_cast<std::byte>(sent));
        const auto half = bytes_of(body).first(body.size() / 2);
        const auto rest = bytes_of(body).subspan(half.size());
        const Slice slice = large[sent] ? make_slice(40'000, static_cast<unsigned>(sent)) : Slice{};
        if (!engine.try_send(head_with(sent), half, rest, slice)) {
          engine.want_room();
          break;
        }
        ++sent;
        moved = true;
      }
      engine.ring();
      Incoming in;
      while (engine.receive(in)) {
        ASSERT_EQ(in.head.token, received);
        ASSERT_EQ(in.body.size(), sizes[received]);
        for (const auto byte : in.body) ASSERT_EQ(byte, ~static_cast<std::byte>(received));
        ASSERT_EQ(static_cast<bool>(in.slice), large[received]);
        if (in.slice) {
          ASSERT_TRUE(is_slice(in.slice, 40'000, static_cast<unsigned>(received)));
        }
        engine.release();
        ++received;
        moved = true;
      }
      engine.publish();
      if (!moved) page->bell.wait([&] { return engine.pending(); }, 10ms);
    }
    EXPECT_EQ(received, frames);
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  link::discard_kept_memory();
  EXPECT_EQ(open_descriptors(), before);
}

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizers need descriptors of their own when something is thrown
/// Far more payloads than can be open are kept, and go on.
TEST_F(LinkTest, PayloadsAreKeptWithoutDescriptorsBeforeThoseRunOut) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few{open_descriptors() + 16, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  constexpr unsigned count = 60;
  std::vector<Slice> kept;
  for (unsigned i = 0; i < count; ++i) {
    ASSERT_TRUE(user.try_send(head_with(i), {}, {}, make_slice(40'000, i)));
    ASSERT_TRUE(engine.receive(incoming));
    kept.push_back(incoming.slice);
    engine.release();
    engine.publish();
  }
  EXPECT_TRUE(kept.front().segment->has_descriptor()) << "the first ones need not be copied";
  EXPECT_FALSE(kept.back().segment->has_descriptor());
  for (unsigned i = 0; i < count; ++i) EXPECT_TRUE(is_slice(kept[i], 40'000, i));

  const Slice part{kept.back().segment, 7, 30'000};
  ASSERT_TRUE(engine.try_send(head_with(0), {}, {}, part));
  ASSERT_TRUE(user.receive(incoming));
  EXPECT_TRUE(is_slice(incoming.slice, 30'000, count - 1 + 7 * 7));
  user.release();
  incoming = {};
  kept.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST_F(LinkTest, ReceiverWithoutDescriptorsFailsAndDoesNotHang) {
  ASSERT_TRUE(user.try_send(head_with(1), {}, {}, make_slice(40'000, 1)));
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{3, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_THROW(engine.receive(incoming), std::system_error);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_THROW(engine.receive(incoming), wire::BadFrame);
}
#endif

/// What a child with damaged memory could leave in its ring: the engine must refuse it, not follow it.
class DamagedLink : public testing::Test {
 protected:
  static constexpr std::size_t head_bytes = 64 * 1024;

  DamagedLink() {
    auto [end, descriptors] = LinkEnd::create();
    engine = std::move(end);
    socket = link::UniqueFd(descriptors.socket);
    const link::UniqueFd memory(descriptors.memory);
    map = link::map_shared(memory.get(), head_bytes + 2 * LinkEnd::ring_bytes, true);
    // The layout is the bell, then the counters of both rings.
    counters = reinterpret_cast<link::RingCounters*>(map + sizeof(link::Bell)) + 1;
    ring = map + head_bytes + LinkEnd::ring_bytes;
  }
  ~DamagedLink() override { ::munmap(map, head_bytes + 2 * LinkEnd::ring_bytes); }

  void write(wire::Header head, std::uint64_t tail) {
    std::memcpy(ring, &head, sizeof head);
    counters->tail.store(tail);
  }

  RankPage page = RankPage::create();
  LinkEnd engine;
  link::UniqueFd socket;
  std::byte* map = nullptr;
  link::RingCounters* counters = nullptr;
  std::byte* ring = nullptr;
  Incoming in;
};

TEST_F(DamagedLink, SoundFrameIsTaken) {
  auto head = head_with(5);
  head.body = 3;
  write(head, 56);
  ASSERT_TRUE(engine.receive(in));
  EXPECT_EQ(in.head.token, 5U);
  EXPECT_EQ(in.body.size(), 3U);
}

TEST_F(DamagedLink, BodyBeyondWhatIsThere) {
  auto head = head_with(5);
  head.body = 9;
  write(head, 56);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);  // and stays refused
  head.body = ~std::uint64_t{0} - 20;
  write(head, 56);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
}

TEST_F(DamagedLink, BodyBeyondTheLimit) {
  auto head = head_with(5);
  head.body = wire::max_body + 1;
  write(head, LinkEnd::ring_bytes);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
}

TEST_F(DamagedLink, LessThanAHeader) {
  write(head_with(5), 8);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
}

TEST_F(DamagedLink, MoreThanTheRing) {
  write(head_with(5), LinkEnd::ring_bytes + 8);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
}

TEST_F(DamagedLink, CounterThatRanBackwards) {
  write(head_with(5), ~std::uint64_t{0} - 7);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
}

TEST_F(DamagedLink, SegmentThatNeverCame) {
  auto head = head_with(5);
  head.segment = 100;
  write(head, 48);
  EXPECT_THROW(engine.receive(in), wire::BadFrame);
}

TEST_F(DamagedLink, SegmentThatDoesNotFit) {
  struct Parcel {
    std::uint64_t position, offset, length, size;
  };
  const link::UniqueFd file = link::make_memfd("cut", 100);
  const int fd = file.get();
  const std::size_t before = open_descriptors();
  auto head = head_with(5);
  head.segment = 100;
  write(head, 48);
  for (const Parcel& parcel : {Parcel{0, 0, 99, 100}, Parcel{0, 1, 100, 100}, Parcel{0, ~std::uint64_t{0}, 100, 100},
                               Parcel{8, 0, 100, 100}, Parcel{0, 0, 100, 5000}}) {
    ASSERT_EQ(link::send_message(socket.get(), std::as_bytes(std::span(&parcel, 1)), {&fd, 1}), link::Sent::yes);
    EXPECT_THROW(engine.receive(in), wire::BadFrame);
    EXPECT_EQ(open_descriptors(), before);
  }
  const Parcel sound{0, 0, 100, 100};
  ASSERT_EQ(link::send_message(socket.get(), std::as_bytes(std::span(&sound, 1)), {&fd, 1}), link::Sent::yes);
  EXPECT_TRUE(engine.receive(in));
}

}  // namespace
