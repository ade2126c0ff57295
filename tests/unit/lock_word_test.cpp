// The lock at its home where others take and free it by one-sided operations on its word.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/silent_home.hpp"
#include "link/cell.hpp"
#include "objects/lock.hpp"
#include "objects/window_memory.hpp"
#include "wire/messages.hpp"
#include "wire/one_sided.hpp"

namespace {

using rankpool::link::PayloadView;
using rankpool::link::SharedLock;
using rankpool::link::Slice;
using rankpool::objects::Caller;
using rankpool::objects::Home;
using rankpool::objects::Lock;
using rankpool::objects::WindowMemory;
using rankpool::wire::Address;
using rankpool::wire::lock_free;
using rankpool::wire::lock_managed;
using rankpool::wire::LockOp;
using rankpool::wire::LockTaken;
using rankpool::wire::Pin;
using rankpool::wire::Status;

constexpr std::uint64_t place = 64;

/// The engine of the home, with one word in its window. Swaps happen in order, each at a moment of the test's choice,
/// and are answered later still.
class WordHome final : public support::SilentHome, public WindowMemory {
 public:
  struct Answer {
    Caller to;
    Status status;
    std::optional<LockTaken> taken{};  // of a lock that was given
  };

  bool can_swap() const { return !asked_.empty(); }
  bool can_answer() const { return !done_.empty(); }
  void swap_next() {
    done_.push_back(compare_exchange(asked_.front().expected, asked_.front().desired));
    asked_.pop_front();
  }
  void answer_next(Lock& lock) {
    const std::uint64_t before = done_.front();
    done_.pop_front();
    lock.word_swapped(before, *this);
  }
  std::uint64_t compare_exchange(std::uint64_t expected, std::uint64_t desired) {
    const std::uint64_t before = word;
    if (before == expected) word = desired;
    return before;
  }
  std::vector<Answer> take_answers() { return std::exchange(answers_, {}); }

  std::uint64_t word = lock_free;

 private:
  struct Swap {
    std::uint64_t expected;
    std::uint64_t desired;
  };

  void reply(const Caller& to, Status status, std::span<const std::byte> fixed, const PayloadView&) override {
    Answer answer{to, status};
    if (status == Status::ok && !fixed.empty()) answer.taken = rankpool::wire::take<LockTaken>(fixed);
    answers_.push_back(answer);
  }
  WindowMemory* window() override { return this; }
  bool one_sided() const override { return true; }
  void swap_word(std::uint64_t, std::uint64_t offset, std::uint64_t expected, std::uint64_t desired) override {
    EXPECT_EQ(offset, place);
    asked_.push_back({expected, desired});
  }
  std::optional<std::uint64_t> take_cells(std::uint32_t) override { return place; }
  void give_cells(std::uint64_t, std::uint32_t) override {}
  std::optional<std::uint64_t> take_data(std::uint64_t) override { return std::nullopt; }
  void give_data(std::uint64_t, std::uint64_t) override {}
  std::byte* at(std::uint64_t) override { return nullptr; }

  std::deque<Swap> asked_;
  std::deque<std::uint64_t> done_;
  std::vector<Answer> answers_;
};

/// Processes with two threads each, their engines, and the home; everything that takes time ends at a random moment.
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed), rest_(std::size_t{1} << (seed % 4 * 2)) {
    lock_.request({{0, 1}, 1, 1}, static_cast<std::uint32_t>(LockOp::where), {}, Slice{}, home_);
    home_.take_answers();
    for (std::size_t i = 0; i < processes_.size(); ++i) processes_[i] = {.address = {static_cast<int>(i), 2}};
  }

  void step() {
    Process& process = processes_[pick(processes_.size())];
    const auto number = pick(process.threads.size());
    Thread& thread = process.threads[number];
    switch (pick(8)) {
      case 0:
        if (thread.does == Does::nothing && !process.dead && pick(rest_) == 0)
          begin(thread, pick(4) == 0 ? LockOp::try_lock : LockOp::lock);
        break;
      case 1:
        if (thread.does == Does::holds && !process.dead) unlock(thread);
        break;
      case 2:
        if (thread.does == Does::waits && !process.dead && pick(4) == 0)
          process.sent.push_back({Message::What::withdraw, caller(process, number)});
        break;
      case 3:
        if (pick(30) == 0) process.dead = true;
        break;
      default:
        move(process, number);
    }
    if (pick(2) == 0) serve();
  }

  /// Nothing new begins, and everything under way ends: all must get what they wait for.
  void settle() {
    for (int i = 0; i < 10'000; ++i) {
      for (Process& process : processes_) {
        for (std::uint32_t n = 0; n < process.threads.size(); ++n) {
          if (process.threads[n].does == Does::holds && !process.dead) unlock(process.threads[n]);
          move(process, n);
        }
      }
      serve();
    }
    for (const Process& process : processes_) {
      EXPECT_FALSE(process.dead);
      EXPECT_TRUE(process.sent.empty());
      for (const Thread& thread : process.threads) EXPECT_EQ(static_cast<int>(thread.does), 0);
    }
    EXPECT_FALSE(home_.can_swap() || home_.can_answer());
    EXPECT_EQ(home_.word, holder_ ? lock_managed : lock_free);
    EXPECT_TRUE(!holder_ || holder_->buried) << "nobody was told of a dead owner";
  }

  int fast = 0;
  int slow = 0;
  int orphaned = 0;

 private:
  enum class Does { nothing, asks_word, waits, holds };
  struct Thread {
    Does does = Does::nothing;
    LockOp wants = LockOp::lock;
    std::uint64_t request = 0;
  };
  struct Message {
    enum class What { request, withdraw, died } what;
    Caller caller;
    LockOp operation = LockOp::end;
  };
  struct Process {
    Address address;
    std::array<Thread, 2> threads{};
    std::deque<Message> sent{};  // to the home, by its engine
    bool dead = false;
  };
  struct Holder {
    Address process;
    std::uint32_t thread;
    bool buried = false;  // it has died, and the home has been told
  };

  std::uint32_t pick(std::size_t count) { return static_cast<std::uint32_t>(random_() % count); }
  Caller caller(const Process& process, std::uint32_t number) const {
    return {process.address, number + 1, process.threads[number].request};
  }

  void begin(Thread& thread, LockOp operation) { thread = {Does::asks_word, operation, ++requests_}; }
  void unlock(Thread& thread) {
    holder_.reset();
    begin(thread, LockOp::unlock);
  }

  void granted(Address process, std::uint32_t number, bool told) {
    if (holder_) {
      ASSERT_TRUE(holder_->buried) << "two hold it";
    }
    ASSERT_EQ(told, holder_.has_value()) << "whether the owner before has died";
    orphaned += told ? 1 : 0;
    holder_ = Holder{process, number};
  }

  void move(Process& process, std::uint32_t number) {
    Thread& thread = process.threads[number];
    if (thread.does == Does::asks_word) return ask_word(process, number);
    if (!process.sent.empty()) return deliver(process);
    if (!process.dead) return;
    for (const Thread& other : process.threads)
      if (other.does == Does::asks_word) return;
    process.sent.push_back({Message::What::died, {process.address}});
  }

  void ask_word(Process& process, std::uint32_t number) {
    Thread& thread = process.threads[number];
    const auto owner = SharedLock::owner(SharedLock::process(process.address.rank, process.address.link), number + 1);
    const bool unlocks = thread.wants == LockOp::unlock;
    const std::uint64_t expected = unlocks ? owner : lock_free;
    const std::uint64_t before = home_.compare_exchange(expected, unlocks ? lock_free : owner);
    if (before == expected) {
      ++fast;
      thread.does = unlocks ? Does::nothing : Does::holds;
      if (!unlocks) granted(process.address, number, false);
    } else if (thread.wants == LockOp::try_lock && before != lock_managed) {
      thread.does = Does::nothing;
    } else {
      thread.does = Does::waits;
      process.sent.push_back({Message::What::request, caller(process, number), thread.wants});
    }
  }

  void deliver(Process& process) {
    const Message message = process.sent.front();
    process.sent.pop_front();
    switch (message.what) {
      case Message::What::request:
        lock_.request(message.caller, static_cast<std::uint32_t>(message.operation), {}, Slice{}, home_);
        break;
      case Message::What::withdraw:
        lock_.withdraw(message.caller, home_);
        break;
      case Message::What::died:
        lock_.died(process.address, {}, home_);
        if (holder_ && holder_->process == process.address) holder_->buried = true;
        process = {.address = {process.address.rank, process.address.link + 1}};
    }
    take_answers();
  }

  void serve() {
    if (home_.can_answer() && pick(2) == 0) {
      home_.answer_next(lock_);
      take_answers();
    } else if (home_.can_swap()) {
      home_.swap_next();
    }
  }

  void take_answers() {
    for (const WordHome::Answer& answer : home_.take_answers()) {
      ++slow;
      Process& process = processes_[static_cast<std::size_t>(answer.to.process.rank)];
      if (answer.taken) granted(answer.to.process, answer.to.thread - 1, answer.taken->orphaned != 0);
      if (process.address != answer.to.process) {  // it has died, and what it is given must go on
        if (answer.taken) holder_->buried = true;
        continue;
      }
      Thread& thread = process.threads[answer.to.thread - 1];
      ASSERT_EQ(thread.request, answer.to.request);
      ASSERT_TRUE(thread.does == Does::waits) << "answered twice";
      ASSERT_TRUE(answer.status == Status::ok || thread.wants != LockOp::unlock);
      thread.does = answer.taken ? Does::holds : Does::nothing;
    }
  }

  std::mt19937_64 random_;
  std::size_t rest_;  // the more, the less often two want it at the same time
  WordHome home_;
  Lock lock_{7};
  std::array<Process, 4> processes_;
  std::optional<Holder> holder_;
  std::uint64_t requests_ = 1;
};

class LockWord : public testing::Test {
 protected:
  LockWord() { ask(1, LockOp::where); }

  Caller ask(int process, LockOp operation) {
    const Caller caller{{process, 2}, 1, ++requests_};
    lock_.request(caller, static_cast<std::uint32_t>(operation), {}, Slice{}, home_);
    return caller;
  }
  void serve() {
    while (home_.can_swap() || home_.can_answer()) {
      while (home_.can_swap()) home_.swap_next();
      while (home_.can_answer()) home_.answer_next(lock_);
    }
  }
  static std::uint64_t owner(int process) { return SharedLock::owner(SharedLock::process(process, 2), 1); }

  WordHome home_;
  Lock lock_{7};
  std::uint64_t requests_ = 0;
};

TEST_F(LockWord, IsTakenFromWhoHoldsItAndGivenBackWhenNobodyWaits) {
  home_.take_answers();
  home_.word = owner(1);
  ask(2, LockOp::lock);
  serve();
  EXPECT_EQ(home_.word, lock_managed);
  EXPECT_TRUE(home_.take_answers().empty());
  ask(1, LockOp::unlock);
  auto answers = home_.take_answers();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1].to.process.rank, 2);
  ASSERT_TRUE(answers[1].taken);
  EXPECT_EQ(answers[1].taken->orphaned, 0u);
  ask(2, LockOp::unlock);
  serve();
  EXPECT_EQ(home_.word, lock_free);
}

TEST_F(LockWord, StaysAsItIsWhenAnotherThanItsOwnerDies) {
  home_.word = owner(1);
  lock_.died({2, 2}, {}, home_);
  lock_.died({1, 3}, {}, home_);
  serve();
  EXPECT_EQ(home_.word, owner(1));
}

TEST_F(LockWord, TakenAgainBeforeItIsKnownHereThatTheHandleBeforeHasGone) {
  home_.word = owner(1);
  lock_.left({1, 2}, home_);
  ask(2, LockOp::holder);
  serve();
  lock_.left({1, 2}, home_);
  home_.take_answers();
  ask(1, LockOp::unlock);
  const auto answers = home_.take_answers();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].status, Status::ok);
}

TEST_F(LockWord, GoesToTheNextWhenItsOwnerSaysThatItHasNoHandle) {
  home_.word = owner(1);
  ask(2, LockOp::lock);
  serve();
  home_.take_answers();
  ask(1, LockOp::abandon);
  lock_.left({1, 2}, home_);
  const auto answers = home_.take_answers();
  ASSERT_EQ(answers.size(), 1u);
  ASSERT_TRUE(answers[0].taken);
  EXPECT_EQ(answers[0].taken->orphaned, 1u);
}

TEST_F(LockWord, OfADeadOwnerIsKeptUntilTheNextKnows) {
  home_.word = owner(1);
  lock_.died({1, 2}, {}, home_);
  serve();
  EXPECT_EQ(home_.word, lock_managed);
  home_.take_answers();
  ask(2, LockOp::try_lock);
  const auto answers = home_.take_answers();
  ASSERT_EQ(answers.size(), 1u);
  ASSERT_TRUE(answers[0].taken);
  EXPECT_EQ(answers[0].taken->orphaned, 1u);
  ask(2, LockOp::unlock);
  serve();
  EXPECT_EQ(home_.word, lock_free);
}

TEST_F(LockWord, IsFreeForTheNextUserOfItsPlace) {
  ask(1, LockOp::lock);
  lock_.released(home_);  // while it is being taken over
  serve();
  EXPECT_EQ(home_.word, lock_free);
}

TEST(LockWordInAnyOrder, HasOneOwnerAndForgetsNobody) {
  int fast = 0, slow = 0, orphaned = 0;
  std::random_device device;
  for (int round = 0; round < 300; ++round) {
    const std::uint64_t seed = device();
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model model(seed);
    for (int i = 0; i < 5'000; ++i) {
      model.step();
      ASSERT_FALSE(testing::Test::HasFatalFailure());
    }
    model.settle();
    ASSERT_FALSE(testing::Test::HasFailure());
    fast += model.fast;
    slow += model.slow;
    orphaned += model.orphaned;
  }
  EXPECT_GT(fast, 1'000);
  EXPECT_GT(slow, 1'000);
  EXPECT_GT(orphaned, 10);
}

}  // namespace
