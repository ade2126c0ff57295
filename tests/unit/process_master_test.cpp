// What rank 0 does about the Processes of a job that loses ranks: frames in, frames out.
#include "engine/process_master.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace rankpool::engine {
namespace {

using wire::Address;
using wire::Kind;

struct Frame {
  wire::Header head;
  std::vector<std::byte> body;
};

class ProcessesOfLostRanks : public testing::Test, private Router {
 protected:
  ProcessesOfLostRanks() {
    layout_.slots = {0, 1, 1};
    layout_.hosts = {"h0", "h1", "h2"};
    layout_.recovery = true;
    master_.emplace(static_cast<Router&>(*this));
  }
  /// The number that its rank knows it by; 0: it was not started.
  std::uint64_t start(Address parent, std::uint64_t token, int rank, bool daemon = false) {
    wire::ProcessStart start{};
    start.parent.rank = parent.rank;
    start.parent.link = parent.link;
    start.rank = rank;
    start.is_daemon = daemon ? 1u : 0u;
    master_->on_frame({.from = parent, .token = token, .kind = Kind::process_start}, wire::bytes_of(start), {});
    const auto sent = take();
    return sent.size() == 1 && sent[0].head.kind == Kind::process_spawn ? sent[0].head.token : 0;
  }
  void lose(int rank) {
    layout_.lose(rank);
    master_->rank_lost(rank);
  }
  std::vector<Frame> take() { return std::exchange(frames_, {}); }

  std::optional<ProcessMaster> master_;

 private:
  void send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView&) override {
    frames_.push_back({head, {fixed.begin(), fixed.end()}});
  }
  const Layout& layout() const override { return layout_; }

  Layout layout_;
  std::vector<Frame> frames_;
};

void expect_lost(const Frame& frame, Address parent, std::uint64_t token) {
  EXPECT_EQ(frame.head.kind, Kind::process_failed);
  EXPECT_EQ(frame.head.to, parent);
  EXPECT_EQ(frame.head.token, token);
  std::span<const std::byte> body = frame.body;
  const auto failed = wire::take<wire::ProcessFailed>(body);
  EXPECT_EQ(failed.rank, 1);
  EXPECT_EQ(failed.error, 0);
  EXPECT_EQ(wire::text_of(failed.host), "h1");
}

TEST_F(ProcessesOfLostRanks, are_told_to_their_parents) {
  ASSERT_NE(start({0, 1}, 10, 1), 0u);
  ASSERT_NE(start({0, 1}, 11, 2), 0u);
  lose(1);
  const auto told = take();
  ASSERT_EQ(told.size(), 1u);
  expect_lost(told[0], {0, 1}, 10);
}

TEST_F(ProcessesOfLostRanks, that_had_just_ended_too) {
  const std::uint64_t number = start({0, 1}, 10, 1);
  master_->on_frame({.from = {1, 0}, .token = number, .kind = Kind::process_gone}, {}, {});
  lose(1);
  const auto told = take();
  ASSERT_EQ(told.size(), 1u);
  expect_lost(told[0], {0, 1}, 10);
}

TEST_F(ProcessesOfLostRanks, take_their_daemons_with_them) {
  const std::uint64_t daemon = start({1, 4}, 10, 2, true);
  ASSERT_NE(start({1, 4}, 11, 2), 0u);
  lose(1);
  const auto told = take();
  ASSERT_EQ(told.size(), 1u) << "the other one goes on";
  EXPECT_EQ(told[0].head.kind, Kind::process_kill);
  EXPECT_EQ(told[0].head.to.rank, 2);
  EXPECT_EQ(told[0].head.token, daemon);
}

TEST_F(ProcessesOfLostRanks, are_not_started_there_any_more) {
  lose(1);
  wire::ProcessStart wish{};
  wish.rank = 1;
  master_->on_frame({.from = {2, 3}, .token = 12, .kind = Kind::process_start}, wire::bytes_of(wish), {});
  const auto told = take();
  ASSERT_EQ(told.size(), 1u);
  expect_lost(told[0], {2, 3}, 12);
  wish.rank = -1;
  for (std::uint64_t i = 0; i < 3; ++i) {
    master_->on_frame({.from = {2, 3}, .token = 13 + i, .kind = Kind::process_start}, wire::bytes_of(wish), {});
    const auto sent = take();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].head.to.rank, 2);
  }
}

}  // namespace
}  // namespace rankpool::engine
