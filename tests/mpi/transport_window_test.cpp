// Windows, all ranks together: words, long ranges, order, atomicity, on one host and over several.
#include <gtest/gtest.h>
#include <mpi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

#include "../support/transport_node.hpp"
#include "link/descriptors.hpp"
#include "wire/window.hpp"

namespace rankpool::transport {
namespace {

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
