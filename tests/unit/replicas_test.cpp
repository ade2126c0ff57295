// Shared values on their way over the ranks, whatever meets whatever.
#include "engine/replicas.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "link/segment.hpp"
#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"
#include "wire/objects.hpp"
#include "wire/shared.hpp"

namespace {

using namespace rankpool;
using engine::Layout;
using engine::Replicas;
using wire::Kind;
using wire::Status;

struct Frame {
  wire::Header head;
  std::vector<std::byte> body;
  link::Slice slice;
};
struct Value {
  int home = 0;
  std::uint64_t number = 0;
  friend auto operator<=>(const Value&, const Value&) = default;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string content(const Value& value) {
  return "value " + std::to_string(value.number) + " of rank " + std::to_string(value.home);
}

/// Engines that have nothing but shared values. What one sends to another arrives in order, and nothing else is sure.
class Net {
 public:
  explicit Net(int ranks) : channels_(static_cast<std::size_t>(ranks * ranks)) {
    for (int r = 0; r < ranks; ++r) engines_.push_back(std::make_unique<Engine>(*this, r, ranks));
  }

  int ranks() const { return static_cast<int>(engines_.size()); }
  Replicas& at(int rank) { return engines_[static_cast<std::size_t>(rank)]->replicas; }

  void keep(const Value& value) {
    const std::string bytes = content(value);
    at(value.home).keep(value.number, {std::as_bytes(std::span(bytes)), {}});
  }
  /// A process of that rank asks; the number of the request.
  std::uint64_t get(int rank, const Value& value) { return ask(rank, Kind::shared_get, value, ++requests_); }
  void withdraw(int rank, const Value& value, std::uint64_t request) {
    ask(rank, Kind::shared_withdraw, value, request);
  }

  /// The rank has died: nothing arrives there any more, and what it has sent arrives until `tell_lost`.
  void lose(int rank) {
    for (int other = 0; other < ranks(); ++other) channel(other, rank).clear();
    lost_.insert(rank);
  }
  bool lives(int rank) const { return !lost_.contains(rank); }
  /// That engine hears of it.
  void tell_lost(int rank, int lost) {
    channel(lost, rank).clear();
    engines_[static_cast<std::size_t>(rank)]->lose(lost);
  }

  /// The next frame of some channel arrives; false if nothing is under way.
  template <class Pick>
  bool deliver(Pick&& pick) {
    std::vector<std::deque<Frame>*> busy;
    for (auto& channel : channels_)
      if (!channel.empty()) busy.push_back(&channel);
    if (busy.empty()) return false;
    auto& channel = *busy[pick(busy.size())];
    const Frame frame = std::move(channel.front());
    channel.pop_front();
    at(frame.head.to.rank).on_frame(frame.head, frame.body, frame.slice);
    return true;
  }
  void deliver_all() {
    while (deliver([](std::size_t) { return std::size_t{0}; })) {
    }
  }
  std::size_t kept() const {
    std::size_t sum = 0;
    for (int rank = 0; rank < ranks(); ++rank)
      if (lives(rank)) sum += engines_[static_cast<std::size_t>(rank)]->replicas.size();
    return sum;
  }
  Status status(std::uint64_t request) const { return static_cast<Status>(answers.at(request).head.flags); }
  std::string text(std::uint64_t request) const {
    const Frame& answer = answers.at(request);
    return text_of(answer.slice ? answer.slice.bytes() : answer.body);
  }

  /// The token under which the process of that rank hears of the end of that value.
  static std::uint64_t note_of(int rank, const Value& value) {
    return value.number * 10'000 + static_cast<std::uint64_t>(value.home * 100 + rank);
  }
  static constexpr std::uint32_t process = 3;

  std::map<std::uint64_t, Frame> answers;
  std::multiset<std::uint64_t> notes;
  std::map<Value, std::multiset<int>> came;   // the ranks that were sent it
  std::map<Value, std::multiset<int>> asked;  // the ranks that asked the one above them

 private:
  struct Engine final : engine::Router {
    Engine(Net& net_, int rank, int ranks) : net(net_) {
      layout_.rank = rank;
      layout_.slots.assign(static_cast<std::size_t>(ranks), 1);
    }
    void send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView& payload) override {
      if (head.from.link == 0) head.from.rank = layout_.rank;
      Frame frame{head, {fixed.begin(), fixed.end()}, payload.slice};
      frame.body.insert(frame.body.end(), payload.bytes.begin(), payload.bytes.end());
      net.send(std::move(frame));
    }
    const Layout& layout() const override { return layout_; }
    void lose(int rank) {
      layout_.lose(rank);
      replicas.rank_lost(rank);
    }

    Net& net;
    Layout layout_;
    Replicas replicas{*this};
  };

  void send(Frame frame) {
    const wire::Header& head = frame.head;
    if (head.kind == Kind::object_note) {
      EXPECT_EQ(head.to.link, process);
      notes.insert(head.token);
      return;
    }
    if (head.to.link != 0) {
      EXPECT_TRUE(answers.emplace(head.token, frame).second) << "answered twice: " << head.token;
      return;
    }
    std::span<const std::byte> body = frame.body;
    const Value value{wire::take<wire::SharedHome>(body).rank, head.token};
    if (head.kind == Kind::replica && head.flags == 0) came[value].insert(head.to.rank);
    if (head.kind == Kind::replica_ask) asked[value].insert(head.from.rank);
    if (lives(head.from.rank) && lives(head.to.rank)) channel(head.from.rank, head.to.rank).push_back(std::move(frame));
  }
  std::deque<Frame>& channel(int from, int to) { return channels_[static_cast<std::size_t>(from * ranks() + to)]; }
  std::uint64_t ask(int rank, Kind kind, const Value& value, std::uint64_t request) {
    std::vector<std::byte> body(sizeof(wire::ObjectRequest) + sizeof(wire::SharedGet));
    const wire::ObjectRequest head{request, 0, 1};
    const wire::SharedGet get{{value.home, 0}, note_of(rank, value)};
    std::memcpy(body.data(), &head, sizeof head);
    std::memcpy(body.data() + sizeof head, &get, sizeof get);
    at(rank).on_frame({.to = {rank, 0}, .from = {rank, process}, .token = value.number, .kind = kind}, body, {});
    return request;
  }

  std::vector<std::unique_ptr<Engine>> engines_;
  std::vector<std::deque<Frame>> channels_;
  std::uint64_t requests_ = 0;
  std::set<int> lost_;
};

const Value some{2, 77};

TEST(Replicas, come_to_each_rank_once) {
  Net net(7);
  net.keep(some);
  std::vector<std::uint64_t> requests;
  for (int round = 0; round < 3; ++round) {
    for (int rank = 0; rank < 7; ++rank) requests.push_back(net.get(rank, some));
    if (round > 0) net.deliver_all();  // those of the first two rounds wait together
  }
  for (const std::uint64_t request : requests) {
    EXPECT_EQ(net.status(request), Status::ok);
    EXPECT_EQ(net.text(request), content(some));
  }
  EXPECT_EQ(net.came[some], (std::multiset<int>{0, 1, 3, 4, 5, 6}));
  EXPECT_EQ(net.asked[some], net.came[some]);
  EXPECT_EQ(net.kept(), 7u);
}

TEST(Replicas, come_only_where_they_are_needed_and_on_the_way_there) {
  Net net(8);
  net.keep(some);
  net.get(1, some);  // place 7 of the tree: its way from the home goes over 1 and 3
  net.deliver_all();
  EXPECT_EQ(net.came[some], (std::multiset<int>{3, 5, 1}));
  EXPECT_EQ(net.kept(), 4u);
}

TEST(Replicas, of_a_segment_are_never_copied) {
  Net net(3);
  const auto segment = link::Segment::create(100'000);
  net.at(some.home).keep(some.number, {{}, {segment, 0, 100'000}});
  const auto request = net.get(0, some);
  net.deliver_all();
  EXPECT_EQ(net.answers.at(request).slice.segment, segment);
  net.at(some.home).drop(some.number);
  net.deliver_all();
  net.answers.clear();
  EXPECT_EQ(segment.use_count(), 1);
}

TEST(Replicas, that_are_gone_are_said_to_be_gone) {
  Net net(4);
  net.keep(some);
  net.get(0, some);
  net.deliver_all();
  net.at(some.home).drop(some.number);
  net.deliver_all();
  EXPECT_EQ(net.notes, (std::multiset<std::uint64_t>{Net::note_of(0, some)}));
  EXPECT_EQ(net.status(net.get(some.home, some)), Status::gone);
  const auto later = net.get(3, some);
  net.deliver_all();
  EXPECT_EQ(net.status(later), Status::gone);
  EXPECT_EQ(net.kept(), 0u);
  const auto never_was = net.get(1, {3, 5});
  net.deliver_all();
  EXPECT_EQ(net.status(never_was), Status::gone);
  EXPECT_EQ(net.kept(), 0u);
}

TEST(Replicas, can_be_waited_for_for_a_while) {
  Net net(2);
  const Value value{0, 9};
  net.keep(value);
  const auto first = net.get(1, value);
  const auto second = net.get(1, value);
  net.withdraw(1, value, first);
  EXPECT_EQ(net.status(first), Status::withdrawn);
  net.deliver_all();
  EXPECT_EQ(net.status(second), Status::ok);
  net.withdraw(1, value, second);  // the answer was faster
  net.withdraw(1, {0, 10}, 1234);
  EXPECT_EQ(net.answers.size(), 2u);
}

TEST(Replicas, refuse_frames_without_sense) {
  Net net(2);
  EXPECT_THROW(net.get(0, {2, 1}), wire::BadFrame);
  EXPECT_THROW(net.get(0, {-1, 1}), wire::BadFrame);
  const wire::SharedHome home{0, 0};
  const auto to_1 = [&](Kind kind) {
    net.at(1).on_frame({.to = {1, 0}, .from = {0, 0}, .token = 5, .kind = kind}, wire::bytes_of(home), {});
  };
  EXPECT_THROW(to_1(Kind::replica), wire::BadFrame);
  EXPECT_THROW(to_1(Kind::replica_drop), wire::BadFrame);
  EXPECT_THROW(to_1(Kind::object_note), wire::BadFrame);
  EXPECT_EQ(net.kept(), 0u);
}

TEST(Replicas, forget_processes_that_have_ended) {
  Net net(2);
  const Value value{0, 9};
  net.keep(value);
  net.get(0, value);
  const auto early = net.get(1, value);
  net.at(0).client_gone({0, Net::process});
  net.at(1).client_gone({1, Net::process});
  net.deliver_all();
  EXPECT_FALSE(net.answers.contains(early));
  net.at(0).drop(value.number);
  net.deliver_all();
  EXPECT_TRUE(net.notes.empty());
  EXPECT_EQ(net.kept(), 0u);
}

/// Values are made, asked for everywhere and dropped while all that is under way.
class RandomOrders : public testing::TestWithParam<int> {};

TEST_P(RandomOrders, answer_every_question_rightly_and_leave_nothing) {
  struct Question {
    Value value;
    int rank;
    bool withdrawn = false;
    bool checked = false;
  };
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](std::size_t count) { return random() % count; };
    Net net(GetParam());
    std::map<Value, bool> alive;
    std::map<std::uint64_t, Question> questions;
    const auto some_value = [&] {
      auto at = alive.begin();
      std::advance(at, pick(alive.size()));
      return at;
    };
    const auto check = [&] {
      for (auto& [request, question] : questions) {
        if (question.checked || !net.answers.contains(request)) continue;
        question.checked = true;
        const Status status = net.status(request);
        if (status == Status::ok) {
          EXPECT_EQ(net.text(request), content(question.value));
        } else {
          EXPECT_TRUE(question.withdrawn || !alive.at(question.value)) << "no value, although it is there";
        }
      }
    };
    for (int step = 0; step < 200; ++step) {
      const std::size_t what = pick(10);
      if (alive.empty() || (what == 0 && alive.size() < 4)) {
        const Value value{static_cast<int>(pick(static_cast<std::size_t>(net.ranks()))), 100 + alive.size()};
        net.keep(value);
        alive[value] = true;
      } else if (what == 1 && pick(4) == 0) {
        const auto value = some_value();
        if (value->second) net.at(value->first.home).drop(value->first.number);
        value->second = false;
      } else if (what == 2 && !questions.empty()) {
        auto question = questions.begin();
        std::advance(question, pick(questions.size()));
        question->second.withdrawn = true;
        net.withdraw(question->second.rank, question->second.value, question->first);
      } else if (what < 6) {
        const int rank = static_cast<int>(pick(static_cast<std::size_t>(net.ranks())));
        const Value value = some_value()->first;
        questions.emplace(net.get(rank, value), Question{value, rank});
      } else {
        net.deliver(pick);
      }
      check();
    }
    for (auto& [value, lives] : alive)
      if (lives) net.at(value.home).drop(value.number);
    while (net.deliver(pick)) {
    }
    for (auto& [value, lives] : alive) lives = false;
    check();
    for (const auto& [request, question] : questions) EXPECT_TRUE(question.checked) << "never answered: " << request;
    EXPECT_EQ(net.kept(), 0u);
    std::set<std::uint64_t> users;  // each hears once of the end of what it has got
    for (const auto& [request, question] : questions)
      if (net.status(request) == Status::ok) users.insert(Net::note_of(question.rank, question.value));
    EXPECT_EQ(net.notes, (std::multiset<std::uint64_t>(users.begin(), users.end())));
    for (const auto& [value, ranks] : net.came)
      for (const int rank : ranks) EXPECT_EQ(ranks.count(rank), 1u) << "sent twice to rank " << rank;
    if (testing::Test::HasFailure()) return;
  }
}

// Some ranks die, and the others hear of it one by one.
TEST_P(RandomOrders, with_lost_ranks) {
  const int ranks = GetParam();
  if (ranks < 2) return;
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("ranks " + std::to_string(ranks) + ", seed " + std::to_string(seed));
    std::minstd_rand random(seed + 1);
    const auto pick = [&](std::size_t below) { return static_cast<std::size_t>(random()) % below; };
    const auto some_rank = [&] { return static_cast<int>(pick(static_cast<std::size_t>(ranks))); };
    Net net(ranks);
    const Value value{some_rank(), 5};
    net.keep(value);
    bool dropped = false;
    std::map<std::uint64_t, int> questions;  // and the ranks that ask
    std::vector<std::pair<int, int>> untold;
    for (int step = 0; step < 100; ++step) {
      const std::size_t what = pick(20);
      int living = 0;
      for (int rank = 0; rank < ranks; ++rank) living += net.lives(rank) ? 1 : 0;
      if (what == 0 && living > 1) {
        const int lost = some_rank();
        if (!net.lives(lost)) continue;
        net.lose(lost);
        for (int rank = 0; rank < ranks; ++rank) untold.emplace_back(rank, lost);
      } else if (what == 1 && pick(8) == 0 && net.lives(value.home) && !dropped) {
        dropped = true;
        net.at(value.home).drop(value.number);
      } else if (what < 5 && !untold.empty()) {  // an engine hears of the losses in one order
        const int rank = untold[pick(untold.size())].first;
        const auto first = std::ranges::find(untold, rank, &std::pair<int, int>::first);
        if (net.lives(rank)) net.tell_lost(rank, first->second);
        untold.erase(first);
      } else if (what < 10) {
        const int rank = some_rank();
        if (net.lives(rank)) questions.emplace(net.get(rank, value), rank);
      } else {
        net.deliver(pick);
      }
    }
    for (const auto& [rank, lost] : untold)
      if (net.lives(rank)) net.tell_lost(rank, lost);
    while (net.deliver(pick)) {
    }
    for (const auto& [request, rank] : questions) {
      if (!net.lives(rank)) continue;
      ASSERT_TRUE(net.answers.contains(request)) << "rank " << rank << " waits for ever";
      const Status status = net.status(request);
      if (status == Status::ok) {
        EXPECT_EQ(net.text(request), content(value));
      } else {
        EXPECT_TRUE(status == Status::gone ? dropped : status == Status::lost && !net.lives(value.home));
      }
    }
    if (!net.lives(value.home)) continue;  // what has come stays
    if (!dropped) net.at(value.home).drop(value.number);
    while (net.deliver(pick)) {
    }
    EXPECT_EQ(net.kept(), 0u) << "a rank has not heard of the end";
    if (testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Replicas, RandomOrders, testing::Values(1, 2, 3, 5, 8));

}  // namespace
