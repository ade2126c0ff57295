// What an engine does at windows for its children, with a transport that answers when the test says so.
#include "engine/window_service.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "wire/lock.hpp"
#include "wire/messages.hpp"

namespace {

using rankpool::engine::Layout;
using rankpool::engine::Router;
using rankpool::engine::WindowService;
using rankpool::link::PayloadView;
using rankpool::link::Slice;
using rankpool::transport::FrameSink;
using rankpool::transport::Hello;
using rankpool::transport::Transport;
using rankpool::wire::bytes_of;
using rankpool::wire::Header;
using rankpool::wire::Kind;
using rankpool::wire::LockOp;
using rankpool::wire::ObjectRequest;
using rankpool::wire::Status;
using rankpool::wire::WindowLock;
using rankpool::wire::WordRequest;

constexpr std::uint64_t me = 0x40;

class Windows final : public Transport {
 public:
  std::vector<std::uint64_t> tickets;
  std::vector<WordRequest> words;

 private:
  [[noreturn]] static void unused() { throw std::logic_error("not for this test"); }
  int rank() const override { return 0; }
  int size() const override { return 2; }
  const Hello& hello(int) const override { unused(); }
  bool same_host(int) const override { return false; }
  bool all(bool) override { unused(); }
  int busy_workers_here() const override { return 0; }
  std::optional<int> ended_neighbour() const override { return std::nullopt; }
  void send(int, Header, std::span<const std::byte>, std::span<const std::byte>, Slice) override { unused(); }
  void open_window(std::byte*, std::size_t) override {}
  bool has_window() const override { return true; }
  void window_word(int, const WordRequest& request, std::uint64_t ticket) override {
    tickets.push_back(ticket);
    words.push_back(request);
  }
  void window_read(int, std::uint64_t, std::span<std::byte>, std::uint64_t) override { unused(); }
  void window_write(int, std::uint64_t, std::span<const std::byte>, std::uint64_t) override { unused(); }
  void lose(int) override {}
  bool progress(FrameSink&) override { return false; }
  bool quiet() const override { return true; }
  bool pending() override { return false; }
  bool finish() override { return true; }
};

class WindowServiceTest : public testing::Test, private Router {
 protected:
  WindowServiceTest() { layout_.slots = {1, 1}; }

  void ask(Kind kind, LockOp operation, std::uint64_t request) {
    const ObjectRequest asked{request, static_cast<std::uint32_t>(operation), 1};
    const WindowLock where{.rank = 1, .offset = 64, .owner = me};
    std::vector<std::byte> body(bytes_of(asked).begin(), bytes_of(asked).end());
    body.insert(body.end(), bytes_of(where).begin(), bytes_of(where).end());
    const Header head{.to = {0, 0}, .from = {0, 2}, .token = 7, .kind = kind};
    EXPECT_FALSE(service_.keeps(head, body));
    service_.on_frame(head, body, {});
  }
  void answer(std::size_t operation, std::uint64_t old) {
    EXPECT_FALSE(service_.on_window(windows_.tickets.at(operation), old));
  }
  bool child_ended() {
    const Header gone{.to = {1, 0}, .token = 2, .kind = Kind::client_gone};
    return service_.keeps(gone, {});
  }
  Status status(std::size_t frame) const { return static_cast<Status>(sent_.at(frame).flags); }

  Windows windows_;
  WindowService service_{*this, &windows_};
  std::vector<Header> sent_;

 private:
  void send(Header head, std::span<const std::byte>, const PayloadView&) override { sent_.push_back(head); }
  const Layout& layout() const override { return layout_; }

 protected:
  Layout layout_;
};

TEST_F(WindowServiceTest, LocksAndUnlocksAFreeWordWithoutItsHome) {
  ask(Kind::window_lock, LockOp::lock, 11);
  EXPECT_EQ(windows_.words.at(0).operand, me);
  answer(0, rankpool::wire::lock_free);
  ask(Kind::window_lock, LockOp::unlock, 12);
  EXPECT_EQ(windows_.words.at(1).expected, me);
  answer(1, me);
  ASSERT_EQ(sent_.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(sent_[i].kind, Kind::object_reply);
    EXPECT_EQ(sent_[i].token, 11 + i);
    EXPECT_EQ(status(i), Status::ok);
  }
}

TEST_F(WindowServiceTest, AsksTheHomeInTheNameOfTheChild) {
  for (const LockOp operation : {LockOp::lock, LockOp::unlock, LockOp::try_lock}) {
    ask(Kind::window_lock, operation, 11);
    answer(windows_.tickets.size() - 1, rankpool::wire::lock_managed);
    ASSERT_EQ(sent_.back().kind, Kind::object_request);
    EXPECT_EQ(sent_.back().to.rank, 1);
    EXPECT_EQ(sent_.back().from.link, 2u);
    EXPECT_EQ(sent_.back().token, 7u);
  }
  ask(Kind::window_lock, LockOp::try_lock, 12);
  answer(3, me + 0x40);
  EXPECT_EQ(sent_.back().kind, Kind::object_reply);
  EXPECT_EQ(status(3), Status::no);
}

TEST_F(WindowServiceTest, TakesBackWhatTheHomeDoesNotKnowYet) {
  ask(Kind::window_lock, LockOp::lock, 11);
  ask(Kind::window_withdraw, LockOp::lock, 11);
  EXPECT_TRUE(sent_.empty());
  answer(0, rankpool::wire::lock_managed);
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(status(0), Status::withdrawn);

  ask(Kind::window_lock, LockOp::lock, 12);
  answer(1, rankpool::wire::lock_managed);
  ask(Kind::window_withdraw, LockOp::lock, 12);
  EXPECT_EQ(sent_.back().kind, Kind::object_withdraw);

  ask(Kind::window_lock, LockOp::lock, 13);
  ask(Kind::window_withdraw, LockOp::lock, 13);
  answer(2, rankpool::wire::lock_free);
  EXPECT_EQ(sent_.back().token, 13u);
  EXPECT_EQ(status(sent_.size() - 1), Status::ok);
}

TEST_F(WindowServiceTest, TellsOfTheEndOfAChildAfterAllThatItDid) {
  ask(Kind::window_lock, LockOp::lock, 11);
  ask(Kind::window_lock, LockOp::lock, 12);
  EXPECT_TRUE(child_ended());
  answer(0, rankpool::wire::lock_free);
  EXPECT_EQ(sent_.size(), 1u);
  answer(1, rankpool::wire::lock_managed);
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_EQ(sent_[1].kind, Kind::object_request);
  EXPECT_EQ(sent_[2].kind, Kind::client_gone);
  EXPECT_FALSE(child_ended());
}

TEST_F(WindowServiceTest, WaitsForNoRankThatIsLost) {
  layout_.slots = {1, 1};
  ask(Kind::window_lock, LockOp::lock, 11);
  EXPECT_TRUE(child_ended());
  layout_.lose(1);
  service_.rank_lost(1);
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].kind, Kind::client_gone);
  answer(0, rankpool::wire::lock_free);  // MPI says so after all
  EXPECT_EQ(sent_.size(), 1u);
  ask(Kind::window_lock, LockOp::lock, 12);
  EXPECT_EQ(windows_.tickets.size(), 1u) << "nothing is asked of it any more";
  EXPECT_FALSE(child_ended());
}

TEST_F(WindowServiceTest, AnswersObjects) {
  service_.swap(9, 128, 1, 2);
  const auto swapped = service_.on_window(windows_.tickets.at(0), 5);
  ASSERT_TRUE(swapped);
  EXPECT_EQ(swapped->object, 9u);
  EXPECT_EQ(swapped->before, 5u);
  EXPECT_TRUE(sent_.empty());
}

}  // namespace
