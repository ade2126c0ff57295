// The transport, all ranks together: what is sent arrives, whole, once and in order, at any number of ranks.
#include "transport/transport.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <rankpool/errors.hpp>

#include "../support/transport_node.hpp"

namespace rankpool::transport {
namespace {

std::uint64_t seed_of(std::size_t from, std::size_t to, std::uint64_t number) {
  return (from * 64 + to) * 1'000'003 + number + 1;
}

/// `length` bytes that do not begin at the start of their segment.
link::Slice slice_of(std::size_t length, std::uint64_t seed) {
  const std::size_t offset = seed % 5000;
  auto segment = link::Segment::create(offset + length + 10);
  fill({segment->writable_data() + offset, length}, seed);
  return {segment, offset, length};
}

std::size_t open_descriptors() {
  link::discard_kept_memory();
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::string host_of(const Node& node, int rank) { return node.transport->hello(rank).host.data(); }

TEST(Transport, EveryRankKnowsAllOthers) {
  Node node;
  EXPECT_GE(node.rank(), 0);
  EXPECT_LT(node.rank(), node.transport->size());
  for (int rank = 0; rank < node.transport->size(); ++rank) {
    EXPECT_EQ(node.transport->hello(rank).build_id, 12345u);
    EXPECT_NE(node.transport->hello(rank).pid, 0);
    EXPECT_EQ(node.transport->same_host(rank), host_of(node, rank) == host_of(node, node.rank()));
  }
  EXPECT_EQ(node.transport->hello(node.rank()).pid, ::getpid());
  EXPECT_THROW(node.transport->hello(node.transport->size()), std::out_of_range);
  EXPECT_TRUE(node.transport->quiet());
  EXPECT_FALSE(node.transport->pending());
  node.finish();
}

TEST(Transport, BusyWorkersOfAllRanksOfTheHostAreCounted) {
  Node node;
  node.page()->busy_workers.store(node.rank() + 1);
  // Frames order the stores of the others before the look.
  for (int rank = 0; rank < node.transport->size(); ++rank) node.send(rank, 0);
  ASSERT_TRUE(node.receive(node.ranks()));
  int busy = 0;
  for (int rank = 0; rank < node.transport->size(); ++rank) busy += node.transport->same_host(rank) ? rank + 1 : 0;
  EXPECT_EQ(node.transport->busy_workers_here(), busy);
  node.finish();
}

TEST(Transport, AJobThatWouldOutliveARankEndsAsAnyOther) {
  for (int round = 0; round < 3; ++round) {
    Node node(nullptr, true);
    std::array<std::byte, 64> memory{};
    node.transport->open_window(memory.data(), memory.size());
    EXPECT_FALSE(node.transport->has_window()) << "an operation on a rank that dies could wait without end";
    for (int rank = 0; rank < node.transport->size(); ++rank) node.send(rank, 0, content(100'000 / 2, 7));
    ASSERT_TRUE(node.receive(node.ranks()));
    EXPECT_THROW(node.transport->lose(node.rank()), std::invalid_argument);
    EXPECT_THROW(node.transport->lose(node.transport->size()), std::out_of_range);
    node.finish();
  }
}

TEST(Transport, FramesOfAllSizesArriveInOrder) {
  constexpr std::uint64_t frames = 100;
  const auto size_of = [](std::uint64_t seed) -> std::size_t {
    std::mt19937_64 random(seed);
    switch (random() % 8) {
      case 0:
        return 0;
      case 1:
        return wire::max_body;
      case 2:
        return random() % wire::max_body;
      default:
        return random() % 300;
    }
  };
  Node node;
  const auto me = static_cast<std::size_t>(node.rank());
  for (std::uint64_t number = 0; number < frames; ++number) {
    for (std::size_t to = 0; to < node.ranks(); ++to) {
      const std::uint64_t seed = seed_of(me, to, number);
      node.send(static_cast<int>(to), number, content(size_of(seed), seed));
    }
    if (number % 7 == 0) node.transport->progress(node);
  }
  EXPECT_FALSE(node.transport->quiet());
  ASSERT_TRUE(node.receive(frames * node.ranks()));
  for (std::size_t from = 0; from < node.ranks(); ++from) {
    ASSERT_EQ(node.frames[from].size(), frames);
    for (std::uint64_t number = 0; number < frames; ++number) {
      const Received& frame = node.frames[from][number];
      const std::uint64_t seed = seed_of(from, me, number);
      ASSERT_EQ(frame.head.token, number) << "from rank " << from;
      ASSERT_EQ(frame.head.body, frame.body.size());
      ASSERT_TRUE(equal(frame.body, content(size_of(seed), seed))) << "frame " << number << " from rank " << from;
      ASSERT_FALSE(frame.slice);
    }
  }
  node.finish();
}

TEST(Transport, AFrameGoesRoundTheRing) {
  constexpr std::uint64_t rounds = 100;
  Node node;
  const std::uint64_t hops = rounds * node.ranks();
  std::uint64_t seen = 0;
  node.on_each = [&](const wire::Header& head) {
    ++seen;
    EXPECT_EQ(head.token % node.ranks(), static_cast<std::uint64_t>(node.rank()));
    if (head.token < hops) node.send(node.next(), head.token + 1);
  };
  if (node.rank() == 0) node.send(node.next(), 1);
  EXPECT_TRUE(node.serve_until([&] { return seen == rounds; }));
  node.finish();
}

TEST(Transport, ASleepingRankIsWoken) {
  constexpr std::uint64_t wanted = 50;
  Node node;
  std::uint64_t seen = 0;
  std::chrono::nanoseconds waited{};
  if (node.rank() != 0) node.on_each = [&](const wire::Header& head) { node.send(0, head.token + (++seen, 0)); };
  if (node.rank() == 0) {
    node.on_each = [&](const wire::Header&) { ++seen; };
    for (std::uint64_t i = 0; i < wanted; ++i) {
      ::usleep(3000);  // long enough for the others to fall asleep
      const auto start = Clock::now();
      node.send(node.next(), i);
      ASSERT_TRUE(node.serve_until([&] { return seen > i; }));
      waited += Clock::now() - start;
    }
    for (int rank = 1; rank < node.transport->size(); ++rank) {
      if (rank != node.next()) node.send(rank, 0);
    }
  } else {
    const std::uint64_t due = node.rank() == 1 ? wanted : 1;
    EXPECT_TRUE(node.serve_until([&] { return seen == due; }));
  }
  // Without the bell each would take what is left of the sleep of 20 ms: 17 ms.
  EXPECT_LT(waited, wanted * 12ms);
  node.finish();
}

TEST(Transport, AStormOfSmallFramesArrivesInOrder) {
  constexpr std::uint64_t frames = 4000;
  Node node;
  std::vector<std::uint64_t> due(node.ranks(), 0);
  std::uint64_t arrived = 0;
  node.on_each = [&](const wire::Header& head) {
    EXPECT_EQ(head.token, due.at(static_cast<std::size_t>(head.from.rank))++);
    ++arrived;
  };
  const auto body = content(40, 1);
  for (std::uint64_t number = 0; number < frames; ++number) {
    for (int to = 0; to < node.transport->size(); ++to) node.send(to, number, body);
    if (number % 16 == 0) node.transport->progress(node);
  }
  EXPECT_TRUE(node.serve_until([&] { return arrived == frames * node.ranks(); }));
  EXPECT_TRUE(node.serve_until([&] { return node.transport->quiet(); }));
  node.finish();
}

TEST(Transport, AFrameThatIsTooLongIsRefused) {
  Node node;
  const std::vector<std::byte> body(wire::max_body + 1);
  EXPECT_THROW(node.send(0, 0, body), std::length_error);
  EXPECT_THROW(node.send(node.transport->size(), 0), std::out_of_range);
  EXPECT_TRUE(node.transport->quiet());
  node.finish();
}

TEST(Transport, AnUnknownWayForSegmentsIsRefused) {
  try {
    const Node node("pigeon");
    ADD_FAILURE() << "RANKPOOL_SEGMENTS=pigeon was accepted";
  } catch (const MpiError& error) {
    EXPECT_NE(std::string(error.what()).find("pigeon"), std::string::npos) << error.what();
  }
  ::unsetenv("RANKPOOL_SEGMENTS");
}

class Segments : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(By, Segments, testing::Values("reference", "copy"), [](const auto& one) { return one.param; });

TEST_P(Segments, ArriveWhole) {
  // Around the size of a chunk (2 MiB), of a page, and some that are neither.
  constexpr std::size_t sizes[] = {100'000, 2 << 20, (2 << 20) + 1, 1, (20 << 20) + 13, 4096, 5'000'000};
  Node node(GetParam());
  const auto me = static_cast<std::size_t>(node.rank());
  const auto to = static_cast<std::size_t>(node.next());
  for (std::size_t i = 0; i < std::size(sizes); ++i) {
    const std::uint64_t seed = seed_of(me, to, i);
    node.send(node.next(), i, content(i, seed), slice_of(sizes[i], seed));
  }
  ASSERT_TRUE(node.receive(std::size(sizes)));
  const std::size_t from = (me + node.ranks() - 1) % node.ranks();
  ASSERT_EQ(node.frames[from].size(), std::size(sizes));
  for (std::size_t i = 0; i < std::size(sizes); ++i) {
    const Received& frame = node.frames[from][i];
    const std::uint64_t seed = seed_of(from, me, i);
    EXPECT_EQ(frame.head.token, i);
    EXPECT_EQ(frame.head.segment, sizes[i]);
    EXPECT_TRUE(equal(frame.body, content(i, seed)));
    ASSERT_EQ(frame.slice.length, sizes[i]);
    EXPECT_TRUE(equal(frame.slice.bytes(), content(sizes[i], seed))) << sizes[i];
  }
  node.finish();
}

TEST_P(Segments, KeepTheirPlaceAmongFrames) {
  constexpr std::uint64_t frames = 60;
  const auto length_of = [](std::uint64_t number) -> std::size_t {
    return number % 5 == 2 ? 60'000 * (1 + number) : 0;
  };
  Node node(GetParam());
  const auto me = static_cast<std::size_t>(node.rank());
  for (std::uint64_t number = 0; number < frames; ++number) {
    for (std::size_t to = 0; to < node.ranks(); ++to) {
      if (to != me && static_cast<int>(to) != node.next()) continue;
      const std::uint64_t seed = seed_of(me, to, number);
      const std::size_t length = length_of(number);
      node.send(static_cast<int>(to), number, content(number, seed),
                length != 0 ? slice_of(length, seed) : link::Slice());
    }
    if (number % 4 == 0) node.transport->progress(node);
  }
  const std::size_t before = (me + node.ranks() - 1) % node.ranks();
  ASSERT_TRUE(node.receive(frames * (before == me ? 1 : 2)));
  for (const std::size_t from : {me, before}) {
    ASSERT_EQ(node.frames[from].size(), frames);
    for (std::uint64_t number = 0; number < frames; ++number) {
      const Received& frame = node.frames[from][number];
      const std::uint64_t seed = seed_of(from, me, number);
      ASSERT_EQ(frame.head.token, number) << "from rank " << from;
      ASSERT_TRUE(equal(frame.body, content(number, seed)));
      ASSERT_EQ(frame.slice.length, length_of(number));
      if (frame.slice) {
        ASSERT_TRUE(equal(frame.slice.bytes(), content(frame.slice.length, seed)));
      }
    }
  }
  node.finish();
}

TEST_P(Segments, CanBePassedOn) {
  Node node(GetParam());
  const auto sent = content(300'000, 9);
  if (node.rank() == 0) node.send(node.next(), 1, {}, slice_of(sent.size(), 9));
  ASSERT_TRUE(node.receive(1));
  Received& frame = node.frames[(static_cast<std::size_t>(node.rank()) + node.ranks() - 1) % node.ranks()].front();
  EXPECT_TRUE(equal(frame.slice.bytes(), sent));
  if (node.rank() != 0) node.send(node.next(), 1, {}, frame.slice);
  node.finish();
}

TEST_P(Segments, LeaveNoDescriptorOpen) {
  Node node(GetParam());
  std::uint64_t seen = 0;
  node.on_each = [&](const wire::Header&) { ++seen; };
  const auto exchange = [&](std::uint64_t wanted) {
    for (int i = 0; i < 20; ++i) node.send(node.next(), 0, {}, slice_of(40'000, 1));
    EXPECT_TRUE(node.serve_until([&] { return seen >= wanted; }));
  };
  const std::size_t before = open_descriptors();
  exchange(20);
  exchange(40);
  EXPECT_TRUE(node.serve_until([&] { return open_descriptors() <= before; })) << open_descriptors() << " > " << before;
  node.finish();
}

TEST_P(Segments, FinishWaitsUntilTheyAreTaken) {
  Node node(GetParam());
  node.send(node.next(), 0, {}, slice_of(6'000'000, 1));
  node.finish();
}

}  // namespace
}  // namespace rankpool::transport
