// The transport, all ranks together: what is sent arrives, whole, once and in order, at any number of ranks.
#include "transport/transport.hpp"

#include <gtest/gtest.h>
#include <mpi.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

#include "link/descriptors.hpp"

namespace rankpool::transport {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Received {
  wire::Header head;
  std::vector<std::byte> body;
  link::Slice slice;
};

/// A rank as an engine would be one: polls for a while, then sleeps on its bell.
class Node final : public FrameSink {
  link::RankPage page_;  // goes last: the transport may ring it

 public:
  explicit Node(const char* segments = nullptr) {
    if (segments != nullptr) ::setenv("RANKPOOL_SEGMENTS", segments, 1);
    page_ = link::RankPage::create();
    Hello mine;
    mine.build_id = 12345;
    mine.pid = ::getpid();
    mine.page_fd = page_.fd();
    mine.page_magic = page_->magic;
    ::gethostname(mine.host.data(), mine.host.size() - 1);
    transport = Transport::start(mine, page_);
    ::unsetenv("RANKPOOL_SEGMENTS");
    frames.resize(ranks());
  }

  std::size_t ranks() const { return static_cast<std::size_t>(transport->size()); }
  int rank() const { return transport->rank(); }
  int next() const { return (rank() + 1) % transport->size(); }

  void send(int to, std::uint64_t token, std::span<const std::byte> body = {}, link::Slice slice = {}) {
    wire::Header head;
    head.kind = wire::Kind::test;
    head.token = token;
    head.from.rank = rank();
    head.to.rank = to;
    const std::size_t cut = body.size() / 3;
    transport->send(to, head, body.first(cut), body.subspan(cut), std::move(slice));
  }

  /// Serves until `done()`; false if that takes too long.
  bool serve_until(const std::function<bool()>& done) { return serve_until(done, *this); }
  bool serve_until(const std::function<bool()>& done, FrameSink& sink) {
    const auto deadline = Clock::now() + 20s;
    for (int idle = 0; !done();) {
      if (transport->progress(sink)) {
        idle = 0;
        continue;
      }
      if (Clock::now() > deadline) return false;
      if (++idle < 200 || !transport->quiet()) {
        ::sched_yield();
      } else {
        page_->bell.wait([this] { return transport->pending(); }, 20ms);
      }
    }
    return true;
  }

  std::size_t count() const {
    std::size_t sum = 0;
    for (const auto& from : frames) sum += from.size();
    return sum;
  }
  bool receive(std::size_t expected) {
    return serve_until([&] { return count() >= expected; });
  }
  void finish() { transport->finish(); }

  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) override {
    if (reinterpret_cast<std::uintptr_t>(body.data()) % 8 != 0) ADD_FAILURE() << "a body is not aligned";
    if (on_each) {
      on_each(head);
      return;
    }
    frames.at(static_cast<std::size_t>(head.from.rank)).push_back({head, {body.begin(), body.end()}, std::move(slice)});
  }

  link::RankPage& page() { return page_; }

  std::unique_ptr<Transport> transport;
  std::vector<std::deque<Received>> frames;  // by source
  std::function<void(const wire::Header&)> on_each;
};

std::uint64_t seed_of(std::size_t from, std::size_t to, std::uint64_t number) {
  return (from * 64 + to) * 1'000'003 + number + 1;
}

void fill(std::span<std::byte> bytes, std::uint64_t seed) {
  std::uint64_t state = seed;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t word = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    word ^= word >> 31;
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at));
  }
}

std::vector<std::byte> content(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  fill(bytes, seed);
  return bytes;
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
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

using wire::WordOp;
using wire::WordRequest;
using wire::WordType;

/// A rank that gives memory to the window of the job.
class WindowNode final : public FrameSink {
 public:
  static constexpr std::size_t bytes = std::size_t{1} << 30;  // of which few are ever touched

  WindowNode() : fd(link::make_memfd("rankpool-test", bytes)), memory(link::map_shared(fd.get(), bytes, true)) {
    node.transport->open_window(memory, bytes);
  }
  ~WindowNode() { ::munmap(memory, bytes); }

  Transport& transport() { return *node.transport; }
  int rank() const { return node.rank(); }
  int next() const { return node.next(); }
  int ranks() const { return node.transport->size(); }

  bool serve_until(const std::function<bool()>& done) { return node.serve_until(done, *this); }
  /// Until all ranks are here. Any number of times.
  void meet() {
    ++meetings_;
    for (int to = 0; to < ranks(); ++to) node.send(to, meetings_);
    EXPECT_TRUE(serve_until([&] { return here_ >= meetings_ * static_cast<std::uint64_t>(ranks()); }));
  }
  /// One operation, there and back.
  std::uint64_t word(int to, const WordRequest& request) {
    const std::uint64_t ticket = ++tickets;
    transport().window_word(to, request, ticket);
    EXPECT_TRUE(answers.empty());
    EXPECT_TRUE(serve_until([&] { return !answers.empty(); }));
    const auto [got, old] = answers.at(0);
    EXPECT_EQ(got, ticket);
    answers.clear();
    return old;
  }
  void finish() {
    meet();
    node.finish();
  }

  void on_frame(const wire::Header&, std::span<const std::byte>, link::Slice) override { ++here_; }
  void on_window(std::uint64_t ticket, std::uint64_t old) override { answers.emplace_back(ticket, old); }

  link::UniqueFd fd;
  std::byte* memory;
  Node node;
  std::uint64_t tickets = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> answers;

 private:
  std::uint64_t meetings_ = 0;
  std::uint64_t here_ = 0;
};

template <class T>
std::uint64_t low_bytes(T value) {
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}

template <class T>
void try_all_operations(WindowNode& node, int to, WordType type, T first, T second) {
  ASSERT_EQ(wire::size_of(type), sizeof(T));
  // A word of its own for each pair of ranks and each type, with neighbours that must stay what they are.
  const std::uint64_t offset = (std::uint64_t{1} << 20) + static_cast<std::uint64_t>(node.rank()) * 4096 +
                               static_cast<std::uint64_t>(to) * 512 + static_cast<std::uint64_t>(type) * 32 + 8;
  const auto sum = static_cast<T>(first + second);
  const auto run = [&](WordOp op, T operand = {}, T expected = {}) {
    return node.word(to, {offset, type, op, low_bytes(operand), low_bytes(expected)});
  };
  EXPECT_EQ(run(WordOp::load), 0u);
  run(WordOp::store, first);
  EXPECT_EQ(run(WordOp::load), low_bytes(first));
  EXPECT_EQ(run(WordOp::fetch_add, second), low_bytes(first));
  EXPECT_EQ(run(WordOp::exchange, second), low_bytes(sum));
  EXPECT_EQ(run(WordOp::compare_exchange, sum, first), low_bytes(second)) << "not equal: no exchange";
  EXPECT_EQ(run(WordOp::compare_exchange, first, second), low_bytes(second));
  EXPECT_EQ(run(WordOp::load), low_bytes(first));
  std::array<std::byte, 24> around{};
  node.transport().window_read(to, offset - 8, around, ++node.tickets);
  ASSERT_TRUE(node.serve_until([&] { return !node.answers.empty(); }));
  node.answers.clear();
  std::array<std::byte, 24> due{};
  std::memcpy(due.data() + 8, &first, sizeof first);
  EXPECT_EQ(around, due);
}

TEST(Window, WorksHere) {
  WindowNode node;
  EXPECT_TRUE(node.transport().has_window());
  EXPECT_TRUE(node.transport().quiet());
  std::uint64_t last = 1;
  std::memcpy(&last, node.memory + WindowNode::bytes - 8, sizeof last);
  EXPECT_EQ(last, 0u) << "the proof was not put back";
  node.finish();
}

TEST(Window, EveryTypeAndOperation) {
  WindowNode node;
  for (int to = 0; to < node.ranks(); ++to) {
    try_all_operations<std::int8_t>(node, to, WordType::i8, -3, 100);
    try_all_operations<std::uint8_t>(node, to, WordType::u8, 200, 55);
    try_all_operations<std::int16_t>(node, to, WordType::i16, -300, 1000);
    try_all_operations<std::uint16_t>(node, to, WordType::u16, 40'000, 20'000);
    try_all_operations<std::int32_t>(node, to, WordType::i32, -70'000, 1'000'000);
    try_all_operations<std::uint32_t>(node, to, WordType::u32, 3'000'000'000, 5);
    try_all_operations<std::int64_t>(node, to, WordType::i64, -5'000'000'000, 7);
    try_all_operations<std::uint64_t>(node, to, WordType::u64, ~std::uint64_t{0} - 9, 3);
    try_all_operations<float>(node, to, WordType::f32, -1.5f, 0.25f);
    try_all_operations<double>(node, to, WordType::f64, 1e300, -2.5e299);
  }
  node.finish();
}

TEST(Window, AddingFromAllRanksLosesNothing) {
  constexpr std::uint64_t each = 300;
  WindowNode node;
  const auto last = WindowNode::bytes - 64;
  for (std::uint64_t i = 0; i < each; ++i) {
    for (int to = 0; to < node.ranks(); ++to) {
      node.transport().window_word(to, {last, WordType::u64, WordOp::fetch_add, 1, 0}, i);
    }
  }
  EXPECT_FALSE(node.transport().quiet());
  EXPECT_TRUE(node.answers.empty()) << "answers come from progress alone";
  ASSERT_TRUE(node.serve_until([&] { return node.answers.size() == each * static_cast<std::uint64_t>(node.ranks()); }));
  EXPECT_TRUE(node.transport().quiet());
  node.answers.clear();
  node.meet();
  EXPECT_EQ(node.word(node.rank(), {last, WordType::u64, WordOp::load, 0, 0}),
            each * static_cast<std::uint64_t>(node.ranks()));
  node.finish();
}

TEST(Window, CompareAndExchangeCountsExactly) {
  constexpr int each = 50;
  WindowNode node;
  for (int i = 0; i < each; ++i) {
    std::uint64_t seen = node.word(0, {0, WordType::u32, WordOp::load, 0, 0});
    while (true) {
      const std::uint64_t old = node.word(0, {0, WordType::u32, WordOp::compare_exchange, seen + 1, seen});
      if (old == seen) break;
      seen = old;
    }
  }
  node.meet();
  EXPECT_EQ(node.word(0, {0, WordType::u32, WordOp::load, 0, 0}), static_cast<std::uint64_t>(each * node.ranks()));
  node.finish();
}

TEST(Window, CompareAndExchangeOfBytesTellsEveryOldValue) {
  // Many, because what a byte was cannot be told from one that has not been answered by its value alone.
  constexpr std::uint64_t times = 700;
  WindowNode node;
  const std::uint64_t offset = 512 + static_cast<std::uint64_t>(node.rank());
  node.word(node.next(), {offset, WordType::u8, WordOp::store, 77, 0});
  for (std::uint64_t i = 0; i < times; ++i) {
    ASSERT_EQ(node.word(node.next(), {offset, WordType::u8, WordOp::compare_exchange, i % 256, 5}), 77u) << i;
  }
  node.finish();
}

TEST(Window, OperationsOnAWordKeepTheirOrder) {
  WindowNode node;
  const std::uint64_t offset = 8 * static_cast<std::uint64_t>(node.rank());
  constexpr std::uint64_t rounds = 40;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const WordOp op = i % 3 == 0 ? WordOp::exchange : i % 3 == 1 ? WordOp::compare_exchange : WordOp::store;
    node.transport().window_word(node.next(), {offset, WordType::u64, op, i + 1, i}, i);
  }
  ASSERT_TRUE(node.serve_until([&] { return node.answers.size() == rounds; }));
  std::sort(node.answers.begin(), node.answers.end());
  for (std::uint64_t i = 0; i < rounds; ++i) {
    EXPECT_EQ(node.answers[i], (std::pair<std::uint64_t, std::uint64_t>(i, i)));
  }
  node.answers.clear();
  node.finish();
}

TEST(Window, LongRangesAreWrittenAndRead) {
  WindowNode node;
  const auto me = static_cast<std::uint64_t>(node.rank());
  for (const std::size_t size : {std::size_t{3} << 20, (std::size_t{3} << 20) + 13, std::size_t{5}, std::size_t{0}}) {
    const std::uint64_t offset = (me + 1) * (std::uint64_t{8} << 20) + size % 8;
    const auto sent = content(size, me + size + 1);
    std::vector<std::byte> got(size);
    node.transport().window_write(node.next(), offset, sent, 1);
    ASSERT_TRUE(node.serve_until([&] { return node.answers.size() == 1; })) << size;
    node.transport().window_read(node.next(), offset, got, 2);
    ASSERT_TRUE(node.serve_until([&] { return node.answers.size() == 2; })) << size;
    EXPECT_EQ(node.answers[1].first, 2u);
    node.answers.clear();
    EXPECT_TRUE(equal(got, sent)) << size;
    node.meet();
    const auto from = static_cast<std::uint64_t>((node.rank() + node.ranks() - 1) % node.ranks());
    const std::uint64_t there = (from + 1) * (std::uint64_t{8} << 20) + size % 8;
    EXPECT_TRUE(equal({node.memory + there, size}, content(size, from + size + 1))) << "the target sees it";
    node.meet();
  }
  node.finish();
}

TEST(Window, ASleepingTargetIsWoken) {
  constexpr int wanted = 50;
  WindowNode node;
  std::chrono::nanoseconds waited{};
  if (node.rank() == 0) {
    for (int i = 0; i < wanted; ++i) {
      ::usleep(3000);  // long enough for the others to fall asleep
      const auto start = Clock::now();
      node.word(node.ranks() - 1, {0, WordType::i32, WordOp::fetch_add, 1, 0});
      waited += Clock::now() - start;
    }
  }
  EXPECT_LT(waited, wanted * 12ms);
  node.finish();
}

TEST(Window, WhatIsOutsideIsRefused) {
  WindowNode node;
  Transport& transport = node.transport();
  std::array<std::byte, 16> bytes{};
  EXPECT_THROW(transport.window_word(0, {WindowNode::bytes, WordType::u8, WordOp::load, 0, 0}, 0), std::out_of_range);
  EXPECT_THROW(transport.window_word(0, {4, WordType::u64, WordOp::load, 0, 0}, 0), std::invalid_argument);
  EXPECT_THROW(transport.window_word(0, {0, static_cast<WordType>(99), WordOp::load, 0, 0}, 0), std::invalid_argument);
  EXPECT_THROW(transport.window_word(0, {0, WordType::u8, static_cast<WordOp>(99), 0, 0}, 0), std::invalid_argument);
  EXPECT_THROW(transport.window_word(node.ranks(), {0, WordType::u8, WordOp::load, 0, 0}, 0), std::out_of_range);
  EXPECT_THROW(transport.window_word(-1, {0, WordType::u8, WordOp::load, 0, 0}, 0), std::out_of_range);
  EXPECT_THROW(transport.window_read(0, WindowNode::bytes - 8, bytes, 0), std::out_of_range);
  EXPECT_THROW(transport.window_write(0, ~std::uint64_t{0}, bytes, 0), std::out_of_range);
  EXPECT_TRUE(transport.quiet());
  node.finish();
}

TEST(Window, MessagesCanBeChosenInstead) {
  ::setenv("RANKPOOL_WINDOW", "messages", 1);
  WindowNode node;
  ::unsetenv("RANKPOOL_WINDOW");
  EXPECT_FALSE(node.transport().has_window());
  EXPECT_THROW(node.transport().window_word(0, {}, 0), std::logic_error);
  node.finish();
}

TEST(Window, OneRankThatChoosesMessagesDecidesForAll) {
  // No rank sees another's environment, but all must do the same.
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) ::setenv("RANKPOOL_WINDOW", "messages", 1);
  WindowNode node;
  ::unsetenv("RANKPOOL_WINDOW");
  EXPECT_FALSE(node.transport().has_window());
  node.finish();
}

TEST(Window, AnUnknownWayIsRefused) {
  ::setenv("RANKPOOL_WINDOW", "glass", 1);
  EXPECT_THROW(Node(), MpiError);
  ::unsetenv("RANKPOOL_WINDOW");
}

}  // namespace
}  // namespace rankpool::transport
