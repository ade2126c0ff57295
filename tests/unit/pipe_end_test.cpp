// The home of a pipe against owners that read late, move the ends about and die, in random orders.
#include "objects/pipe_end.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../support/silent_home.hpp"
#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {
namespace {

using wire::Address;
using wire::PipeNote;
using wire::PipeOp;
using wire::Status;

constexpr std::uint64_t first_end = 1;
constexpr std::uint64_t second_end = 2;

struct Note {
  std::uint64_t object = 0;
  PipeNote what{};
  std::vector<std::byte> body;
};

/// Keeps what the ends say.
class FakeHome final : public support::SilentHome {
 public:
  void reply(const Caller& to, Status status, std::span<const std::byte>, const link::PayloadView&) override {
    if (to.request != 0) replies[to.request].push_back(status);
  }
  void note(std::uint64_t object, Address to, std::uint32_t what, std::span<const std::byte> fixed,
            const link::PayloadView& payload) override {
    Note note{object, static_cast<PipeNote>(what), {fixed.begin(), fixed.end()}};
    note.body.insert(note.body.end(), payload.read().begin(), payload.read().end());
    notes[to.link].push_back(std::move(note));
  }
  void note_all(std::uint64_t, std::uint32_t, std::span<const std::byte>) override { ADD_FAILURE(); }
  Object* find(std::uint64_t number) override {
    const auto found = ends.find(number);
    return found == ends.end() ? nullptr : found->second.get();
  }

  PipeEnd& end(std::uint64_t number) { return *ends.at(number); }
  void make(std::uint64_t number, std::uint64_t peer) {
    ends[number] = nullptr;  // as the engine does: it is found once it is made
    ends[number] = std::make_unique<PipeEnd>(number, peer, *this);
  }
  void release(std::uint64_t number) {
    const auto last = std::move(ends.at(number));
    ends.erase(number);
    last->released(*this);
  }
  std::vector<Note> take_notes(std::uint32_t process) { return std::exchange(notes[process], {}); }

  std::map<std::uint64_t, std::unique_ptr<PipeEnd>> ends;
  std::map<std::uint64_t, std::vector<Status>> replies;
  std::map<std::uint32_t, std::vector<Note>> notes;
};

Address process(std::uint32_t number) { return {0, number}; }

template <class Head>
void ask(FakeHome& home, std::uint64_t end, std::uint32_t who, PipeOp operation, const Head& head,
         std::uint64_t request = 0, const std::vector<std::byte>& more = {}) {
  const auto fixed = wire::bytes_of(head);
  std::vector<std::byte> body(fixed.begin(), fixed.end());
  body.insert(body.end(), more.begin(), more.end());
  home.end(end).request({process(who), 0, request}, static_cast<std::uint32_t>(operation), body, {}, home);
}

void send(FakeHome& home, std::uint64_t end, std::uint32_t who, std::size_t size, std::uint64_t request = 0) {
  ask(home, end, who, PipeOp::send, wire::PipeMessage{}, request, std::vector<std::byte>(size));
}

std::vector<PipeNote> kinds(const std::vector<Note>& notes) {
  std::vector<PipeNote> all;
  for (const Note& note : notes) all.push_back(note.what);
  return all;
}

FakeHome make_pipe() {
  FakeHome home;
  home.make(first_end, 0);
  home.make(second_end, first_end);
  return home;
}

TEST(PipeEnd, StreamsToItsOwner) {
  FakeHome home = make_pipe();
  send(home, first_end, 1, 3);
  EXPECT_TRUE(home.take_notes(2).empty());
  ask(home, second_end, 2, PipeOp::own, wire::PipeOwn{1});
  EXPECT_EQ(kinds(home.take_notes(2)), (std::vector{PipeNote::start, PipeNote::message}));
  send(home, first_end, 1, 0, 7);
  EXPECT_EQ(kinds(home.take_notes(2)), std::vector{PipeNote::message});
  EXPECT_EQ(home.replies[7], std::vector{Status::ok});
}

TEST(PipeEnd, StreamsAWindow) {
  FakeHome home = make_pipe();
  ask(home, second_end, 2, PipeOp::own, wire::PipeOwn{1});
  home.take_notes(2);
  for (std::uint64_t i = 0; i < PipeEnd::window_messages + 10; ++i) send(home, first_end, 1, 1);
  EXPECT_EQ(home.take_notes(2).size(), PipeEnd::window_messages);
  ask(home, second_end, 2, PipeOp::consumed, wire::PipeConsumed{4});
  EXPECT_EQ(home.take_notes(2).size(), 4u);
  ask(home, second_end, 3, PipeOp::consumed, wire::PipeConsumed{20});  // whose it is not
  ask(home, second_end, 2, PipeOp::consumed, wire::PipeConsumed{2});   // which is known
  EXPECT_TRUE(home.take_notes(2).empty());
  EXPECT_THROW(ask(home, second_end, 2, PipeOp::consumed, wire::PipeConsumed{5000}), wire::BadFrame);
}

TEST(PipeEnd, HoldsASenderUpUntilThereIsRoom) {
  FakeHome home = make_pipe();
  send(home, first_end, 1, PipeEnd::backlog_limit / 2, 1);
  EXPECT_EQ(home.replies[1].size(), 1u);
  send(home, first_end, 1, PipeEnd::backlog_limit / 2, 2);
  send(home, first_end, 1, 1, 3);
  EXPECT_TRUE(home.replies[2].empty() && home.replies[3].empty());
  home.end(first_end).withdraw({process(1), 0, 3}, home);
  EXPECT_EQ(home.replies[3], std::vector{Status::withdrawn});
  ask(home, second_end, 2, PipeOp::own, wire::PipeOwn{1});
  ask(home, second_end, 2, PipeOp::consumed, wire::PipeConsumed{1});
  EXPECT_EQ(home.replies[2], std::vector{Status::ok});
  EXPECT_EQ(home.replies[3].size(), 1u);
}

TEST(PipeEnd, AnswersASenderThatIsHeldUpWhenAnEndCloses) {
  for (const std::uint64_t closes : {first_end, second_end}) {
    FakeHome home = make_pipe();
    send(home, first_end, 1, PipeEnd::backlog_limit + 1, 1);
    EXPECT_TRUE(home.replies[1].empty());
    home.release(closes);
    EXPECT_EQ(home.replies[1], std::vector{Status::closed});
  }
  FakeHome home = make_pipe();
  send(home, first_end, 1, PipeEnd::backlog_limit + 1, 1);
  home.end(first_end).left(process(1), home);
  home.release(second_end);
  EXPECT_TRUE(home.replies[1].empty());  // nobody is there any more to be told
}

TEST(PipeEnd, TellsThatTheOtherEndIsClosed) {
  FakeHome home = make_pipe();
  ask(home, second_end, 2, PipeOp::own, wire::PipeOwn{1});
  send(home, first_end, 1, 3);
  ask(home, first_end, 1, PipeOp::close, wire::PipeConsumed{}, 5);
  EXPECT_EQ(home.replies[5], std::vector{Status::ok});
  EXPECT_EQ(kinds(home.take_notes(2)), (std::vector{PipeNote::start, PipeNote::message, PipeNote::peer_closed}));
  send(home, second_end, 2, 1, 6);
  EXPECT_EQ(home.replies[6], std::vector{Status::closed});
  home.release(first_end);
  EXPECT_TRUE(home.take_notes(2).empty());
  ask(home, second_end, 3, PipeOp::own, wire::PipeOwn{1});
  EXPECT_EQ(kinds(home.take_notes(2)), std::vector{PipeNote::taken});
  EXPECT_EQ(kinds(home.take_notes(3)), (std::vector{PipeNote::start, PipeNote::message, PipeNote::peer_closed}));
}

TEST(PipeEnd, GivesUpTheHandlesInMessagesThatNobodyReads) {
  FakeHome home = make_pipe();
  const wire::Pin id{{.rank = 3, .number = 5}, 77};
  const auto bytes = wire::bytes_of(id);
  const std::vector<std::byte> payload(bytes.begin(), bytes.end());
  ask(home, first_end, 1, PipeOp::send, wire::PipeMessage{.objects = 1}, 0, payload);
  EXPECT_EQ(home.pins[77], 0);
  home.release(second_end);
  EXPECT_EQ(home.pins[77], -1);
  ask(home, first_end, 1, PipeOp::send, wire::PipeMessage{.objects = 1}, 0, payload);
  EXPECT_EQ(home.pins[77], -2);
  EXPECT_THROW(ask(home, first_end, 1, PipeOp::send, wire::PipeMessage{.objects = 2}, 0, payload), wire::BadFrame);
}

/// Three processes that pass the ends of one pipe to each other; what they say and hear takes its time.
class World {
 public:
  explicit World(unsigned seed) : random_(seed), home_(make_pipe()) {
    for (const std::uint64_t end : {first_end, second_end}) own(end, 1);
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
  }

  /// Closes one end; the other gets all that was sent, then the end.
  void finish() {
    const std::uint64_t last = first_end + below(2);
    const std::uint64_t other = first_end + second_end - last;
    settle();
    for (const std::uint64_t end : {first_end, second_end})
      if (ends_[end].owner == 0) own(end, 1 + below(processes));
    settle();
    home_.release(other);
    drop(other);
    for (int i = 0; i < 100'000 && !at_end(last); ++i) {
      settle();
      if (!ends_[last].inbox.empty()) consume(last);
    }
    ASSERT_TRUE(at_end(last));
    ASSERT_EQ(ends_[last].expected, ends_[other].sent);
    home_.release(last);
    drop(last);
    for (const auto& [number, count] : home_.pins) ASSERT_EQ(count + pinned_[number], 0) << "handle " << number;
    for (const std::uint64_t request : asked_) {
      const bool known = home_.replies[request].size() == 1;
      ASSERT_TRUE(known || (home_.replies[request].empty() && orphaned_.contains(request)));
    }
  }

 private:
  static constexpr std::uint32_t processes = 3;

  struct End {
    std::uint32_t owner = 0;  // 0: none at the moment
    std::uint64_t turn = 0;
    bool started = false;
    std::deque<std::uint64_t> inbox;
    std::uint64_t consumed = 0;
    std::uint64_t expected = 0;  // number of the next message
    std::uint64_t sent = 0;      // through this end
    std::uint64_t end = ~std::uint64_t{0};
  };

  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  bool at_end(std::uint64_t end) { return ends_[end].started && ends_[end].expected == ends_[end].end; }

  void step() {
    const std::uint64_t end = first_end + below(2);
    End& here = ends_[end];
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
        if (here.owner != 0) send_some(end);
        break;
      case 3:
      case 4:
        hear_some();
        break;
      case 5:
      case 6:
        if (!here.inbox.empty()) consume(end);
        break;
      case 7:
        if (here.owner != 0) ask(home_, end, here.owner, PipeOp::consumed, wire::PipeConsumed{here.consumed});
        break;
      case 8:
        pass_on(end, below(8) == 0);
        break;
      default:
        if (here.owner == 0) own(end, 1 + below(processes));
    }
  }

  void own(std::uint64_t end, std::uint32_t who) {
    End& here = ends_[end];
    here.owner = who;
    here.started = false;
    here.inbox.clear();
    here.consumed = 0;
    ask(home_, end, who, PipeOp::own, wire::PipeOwn{++here.turn});
  }

  /// The owner gives the end away, or dies with it.
  void pass_on(std::uint64_t end, bool dies) {
    End& here = ends_[end];
    if (here.owner == 0) return;
    if (dies) {
      home_.end(end).left(process(here.owner), home_);
      for (const std::uint64_t request : asked_)
        if (home_.replies[request].empty()) orphaned_.insert(request);
    } else {
      ask(home_, end, here.owner, PipeOp::leave, wire::PipeConsumed{here.consumed});
    }
    here.owner = 0;
    here.inbox.clear();
  }

  void send_some(std::uint64_t end) {
    End& here = ends_[end];
    for (std::uint32_t n = below(40); n > 0; --n) {
      const std::uint64_t number = here.sent++;
      std::vector<std::byte> payload(sizeof number);
      std::memcpy(payload.data(), &number, sizeof number);
      if (below(30) == 0) payload.resize(below(400'000));
      if (payload.size() < sizeof number) payload.resize(sizeof number);
      wire::PipeMessage head{.count = here.consumed};
      if (below(4) == 0) {
        head.objects = 1;
        const wire::Pin id{{.rank = 0, .number = 5}, 100 * end + number % 100};
        payload.insert(payload.end(), wire::bytes_of(id).begin(), wire::bytes_of(id).end());
        ++pinned_[id.number];
      }
      const std::uint64_t request = below(3) == 0 ? ++last_request_ : 0;
      if (request != 0) asked_.insert(request);
      ask(home_, end, here.owner, PipeOp::send, head, request, payload);
    }
  }

  /// Takes the front message out, as client::PipeEnd does.
  void consume(std::uint64_t end) {
    End& here = ends_[end];
    ASSERT_EQ(here.inbox.front(), here.expected) << "lost or doubled";
    here.inbox.pop_front();
    ++here.expected;
    ++here.consumed;
    const std::uint64_t from = first_end + second_end - end;
    if (const auto with_handle = handles_.find({from, here.expected - 1}); with_handle != handles_.end()) {
      --pinned_[with_handle->second];
      ask(home_, end, here.owner, PipeOp::consumed, wire::PipeConsumed{here.consumed});
    }
    if (below(20) == 0 || here.consumed % 64 == 0)
      ask(home_, end, here.owner, PipeOp::consumed, wire::PipeConsumed{here.consumed});
  }

  void hear_some() {
    const std::uint32_t who = 1 + below(processes);
    for (Note& note : home_.take_notes(who)) under_way_[who].push_back(std::move(note));
    for (std::uint32_t n = below(30); n > 0 && !under_way_[who].empty(); --n) hear(who);
  }
  void settle() {
    for (std::uint32_t who = 1; who <= processes; ++who) {
      for (Note& note : home_.take_notes(who)) under_way_[who].push_back(std::move(note));
      while (!under_way_[who].empty()) hear(who);
    }
  }

  void hear(std::uint32_t who) {
    const Note note = std::move(under_way_[who].front());
    under_way_[who].pop_front();
    End& here = ends_[note.object];
    std::span<const std::byte> body = note.body;
    if (note.what == PipeNote::start) {
      const auto start = wire::take<wire::PipeStart>(body);
      if (here.owner != who || start.turn != here.turn) return;
      here.started = true;
      ASSERT_LE(start.first, here.expected) << "lost";
      here.consumed = here.expected = start.first;
    } else if (here.owner != who || !here.started) {
      return;
    } else if (note.what == PipeNote::message) {
      const auto head = wire::take<wire::PipeMessage>(body);
      std::uint64_t number = 0;
      std::memcpy(&number, body.data(), sizeof number);
      ASSERT_EQ(number, head.count);
      if (head.objects != 0) {
        auto id = body.last(sizeof(wire::Pin));
        handles_[{first_end + second_end - note.object, number}] = wire::take<wire::Pin>(id).number;
      }
      here.inbox.push_back(number);
      ASSERT_LE(here.inbox.size(), PipeEnd::window_messages);
    } else if (note.what == PipeNote::peer_closed) {
      here.end = wire::take<wire::PipeEndNote>(body).count;
    } else {
      ADD_FAILURE() << "it was taken by nobody";
    }
  }

  void drop(std::uint64_t end) {
    ends_[end].owner = 0;
    ends_[end].inbox.clear();
  }

  std::mt19937 random_;
  FakeHome home_;
  std::map<std::uint64_t, End> ends_;
  std::map<std::uint32_t, std::deque<Note>> under_way_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> handles_;  // by end sent through, and number
  std::map<std::uint64_t, std::int64_t> pinned_;
  std::set<std::uint64_t> asked_;
  std::set<std::uint64_t> orphaned_;  // whose caller may have died
  std::uint64_t last_request_ = 0;
};

TEST(PipeEnd, LosesAndDoublesNothingInAnyOrderOfEvents) {
  const unsigned first = std::random_device{}();
  for (unsigned seed = first; seed < first + 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.run(400);
    world.finish();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace rankpool::objects
