// The lock at its home.
#include "objects/lock.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "../support/fake_home.hpp"

namespace {

using rankpool::link::Slice;
using rankpool::objects::Caller;
using rankpool::objects::Lock;
using rankpool::wire::LockHolder;
using rankpool::wire::LockOp;
using rankpool::wire::LockTaken;
using rankpool::wire::Place;
using rankpool::wire::Status;
using support::FakeHome;

class LockAtHome : public testing::Test {
 protected:
  Caller ask(int process, std::uint32_t thread, LockOp operation) {
    const Caller caller{{process, 2}, thread, ++requests_};
    lock_.request(caller, static_cast<std::uint32_t>(operation), {}, Slice{}, home_);
    return caller;
  }
  Status status(const Caller& caller) {
    const auto answer = home_.take(caller);
    return answer ? answer->status : Status::broken;
  }
  bool waits(const Caller& caller) { return !home_.take(caller); }

  FakeHome home_;
  Lock lock_{1};
  std::uint64_t requests_ = 0;
};

TEST_F(LockAtHome, IsGivenInOrder) {
  EXPECT_EQ(status(ask(1, 1, LockOp::holder)), Status::no);
  EXPECT_EQ(status(ask(1, 1, LockOp::lock)), Status::ok);
  const Caller second = ask(2, 1, LockOp::lock);
  const Caller third = ask(1, 2, LockOp::lock);
  EXPECT_EQ(status(ask(3, 1, LockOp::try_lock)), Status::no);
  EXPECT_TRUE(waits(second) && waits(third));
  EXPECT_EQ(status(ask(1, 1, LockOp::unlock)), Status::ok);
  EXPECT_EQ(status(second), Status::ok);
  EXPECT_TRUE(waits(third));
  EXPECT_EQ(status(ask(2, 1, LockOp::unlock)), Status::ok);
  EXPECT_EQ(status(third), Status::ok);
  const auto holder = home_.take(ask(2, 1, LockOp::holder));
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->as<LockHolder>().process.rank, 1);
  EXPECT_EQ(holder->as<LockHolder>().thread, 2u);
}

TEST_F(LockAtHome, RefusesTheUnlockOfAStranger) {
  EXPECT_EQ(status(ask(1, 1, LockOp::unlock)), Status::refused);
  ask(1, 1, LockOp::lock);
  EXPECT_EQ(status(ask(1, 2, LockOp::unlock)), Status::refused);
  const auto answer = home_.take(ask(2, 1, LockOp::unlock));
  ASSERT_TRUE(answer);
  const std::string text(reinterpret_cast<const char*>(answer->bytes.data()), answer->bytes.size());
  EXPECT_NE(text.find("thread 1 of process 2 of rank 2"), std::string::npos) << text;
  EXPECT_NE(text.find("thread 1 of process 2 of rank 1 holds it"), std::string::npos) << text;
}

TEST_F(LockAtHome, SaysThatItsOwnerDied) {
  ask(1, 1, LockOp::lock);
  const Caller second = ask(2, 1, LockOp::lock);
  lock_.left({1, 2}, home_);
  EXPECT_EQ(home_.take(second)->as<LockTaken>().orphaned, 1u);
  ask(2, 1, LockOp::unlock);
  EXPECT_EQ(home_.take(ask(3, 1, LockOp::lock))->as<LockTaken>().orphaned, 0u);
  lock_.left({3, 2}, home_);
  EXPECT_EQ(status(ask(1, 1, LockOp::holder)), Status::no);
  EXPECT_EQ(home_.take(ask(1, 1, LockOp::try_lock))->as<LockTaken>().orphaned, 1u);
}

TEST_F(LockAtHome, TakesItsPlaceInTheWindowOnceAndGivesItBack) {
  const auto first = home_.take(ask(1, 1, LockOp::where));
  const auto second = home_.take(ask(2, 1, LockOp::where));
  EXPECT_EQ(first->as<Place>().cell, second->as<Place>().cell);
  EXPECT_EQ(home_.taken(), 64u);
  lock_.released(home_);
  EXPECT_EQ(home_.taken(), 0u);
}

/// Against a model: the owner and a queue.
TEST(LockAtHomeInAnyOrder, HasOneOwnerAndForgetsNobody) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  FakeHome home;
  Lock lock(1);
  std::optional<Caller> owner;
  std::deque<Caller> queue;
  std::uint64_t requests = 0;
  bool orphaned = false;
  const auto expect_granted = [&](const Caller& caller) {
    const auto answer = home.take(caller);
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->status, Status::ok);
    ASSERT_EQ(answer->as<LockTaken>().orphaned, orphaned ? 1u : 0u);
    owner = caller;
  };
  const auto pass_on = [&] {
    owner.reset();
    if (queue.empty()) return;
    const Caller next = queue.front();
    queue.pop_front();
    expect_granted(next);
  };
  const auto ask = [&](Caller caller, LockOp operation) {
    caller.request = ++requests;
    lock.request(caller, static_cast<std::uint32_t>(operation), {}, Slice{}, home);
    return caller;
  };
  for (int step = 0; step < 20'000; ++step) {
    const Caller someone{{static_cast<int>(random() % 4), 2}, static_cast<std::uint32_t>(random() % 2 + 1), 0};
    switch (random() % 6) {
      case 0:
      case 1: {
        const Caller caller = ask(someone, LockOp::lock);
        if (!owner) {
          expect_granted(caller);
        } else {
          ASSERT_FALSE(home.take(caller));
          queue.push_back(caller);
        }
        break;
      }
      case 2: {
        const Caller caller = ask(someone, LockOp::try_lock);
        if (!owner) {
          expect_granted(caller);
        } else {
          ASSERT_EQ(home.take(caller)->status, Status::no);
        }
        break;
      }
      case 3: {
        if (!owner) break;
        const Caller caller = ask(*owner, LockOp::unlock);
        ASSERT_EQ(home.take(caller)->status, Status::ok);
        orphaned = false;
        pass_on();
        break;
      }
      case 4: {
        if (queue.empty()) break;
        const auto at = queue.begin() + static_cast<std::ptrdiff_t>(random() % queue.size());
        const Caller caller = *at;
        queue.erase(at);
        lock.withdraw(caller, home);
        ASSERT_EQ(home.take(caller)->status, Status::withdrawn);
        lock.withdraw(caller, home);  // too late: nothing happens
        break;
      }
      default: {
        if (random() % 4 != 0) break;
        std::erase_if(queue, [&](const Caller& one) { return one.process == someone.process; });
        const bool owned = owner && owner->process == someone.process;
        lock.left(someone.process, home);
        if (owned) {
          orphaned = true;
          pass_on();
        }
      }
    }
    ASSERT_TRUE(home.empty());
    ASSERT_EQ(home.answered_twice(), 0);
  }
}

}  // namespace
