// The home side of barriers.
#include "objects/barrier.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "../support/recording_home.hpp"
#include "wire/bad_frame.hpp"
#include "wire/barrier.hpp"

namespace {

using namespace rankpool;
using objects::Caller;
using support::RecordingHome;
using wire::BarrierOp;
using wire::Status;

class BarrierHome : public testing::Test {
 protected:
  Caller ask(objects::Barrier& barrier, BarrierOp operation, std::uint32_t process) {
    const Caller caller = home.caller(process);
    barrier.request(caller, static_cast<std::uint32_t>(operation), {}, {}, home);
    return caller;
  }
  wire::BarrierState state(objects::Barrier& barrier) {
    return home.answer(ask(barrier, BarrierOp::state, 99)).as<wire::BarrierState>();
  }
  Status status(const Caller& caller) { return home.answer(caller).status; }
  int place(const Caller& caller) { return home.answer(caller).as<wire::BarrierPlace>().place; }

  RecordingHome home;
};

TEST_F(BarrierHome, lets_all_go_together_again_and_again) {
  objects::Barrier barrier(3);
  for (int round = 0; round < 3; ++round) {
    const Caller first = ask(barrier, BarrierOp::wait, 1);
    const Caller second = ask(barrier, BarrierOp::wait, 2);
    EXPECT_FALSE(home.answered(first));
    EXPECT_EQ(state(barrier).waiting, 2);
    const Caller third = ask(barrier, BarrierOp::wait, 1);
    EXPECT_EQ(place(first), 0);
    EXPECT_EQ(place(second), 1);
    EXPECT_EQ(place(third), 2);
    EXPECT_EQ(state(barrier).waiting, 0);
    EXPECT_EQ(state(barrier).broken, 0u);
    EXPECT_EQ(state(barrier).parties, 3);
  }
}

TEST_F(BarrierHome, breaks_when_one_gives_up) {
  objects::Barrier barrier(3);
  const Caller first = ask(barrier, BarrierOp::wait, 1);
  const Caller second = ask(barrier, BarrierOp::wait, 2);
  barrier.withdraw(first, home);
  EXPECT_EQ(status(first), Status::withdrawn);
  EXPECT_EQ(status(second), Status::broken);
  EXPECT_EQ(status(ask(barrier, BarrierOp::wait, 3)), Status::broken);
  EXPECT_EQ(state(barrier).broken, 1u);
}

TEST_F(BarrierHome, does_not_break_when_the_answer_was_faster) {
  objects::Barrier barrier(1);
  const Caller first = ask(barrier, BarrierOp::wait, 1);
  barrier.withdraw(first, home);
  EXPECT_EQ(place(first), 0);
  EXPECT_EQ(state(barrier).broken, 0u);
}

TEST_F(BarrierHome, breaks_when_one_dies_and_only_then) {
  objects::Barrier barrier(3);
  const Caller first = ask(barrier, BarrierOp::wait, 1);
  barrier.left({0, 2}, home);
  EXPECT_FALSE(home.answered(first));
  ask(barrier, BarrierOp::wait, 2);
  barrier.left({0, 2}, home);
  EXPECT_EQ(status(first), Status::broken);
  ask(barrier, BarrierOp::reset, 1);
  EXPECT_EQ(state(barrier).broken, 0u);
}

TEST_F(BarrierHome, reset_sends_away_and_abort_keeps_away) {
  objects::Barrier barrier(2);
  const Caller first = ask(barrier, BarrierOp::wait, 1);
  EXPECT_EQ(status(ask(barrier, BarrierOp::reset, 2)), Status::ok);
  EXPECT_EQ(status(first), Status::broken);
  const Caller second = ask(barrier, BarrierOp::wait, 1);
  EXPECT_EQ(status(ask(barrier, BarrierOp::abort, 2)), Status::ok);
  EXPECT_EQ(status(second), Status::broken);
  EXPECT_EQ(status(ask(barrier, BarrierOp::wait, 1)), Status::broken);
  ask(barrier, BarrierOp::reset, 2);
  const Caller third = ask(barrier, BarrierOp::wait, 1);
  const Caller fourth = ask(barrier, BarrierOp::wait, 2);
  EXPECT_EQ(place(third), 0);
  EXPECT_EQ(place(fourth), 1);
}

TEST_F(BarrierHome, refuses_what_it_does_not_know) {
  objects::Barrier barrier(2);
  EXPECT_THROW(barrier.request(home.caller(1), 77, {}, {}, home), wire::BadFrame);
}

// Against the rules of a barrier, told once more: places go to full groups only, and nobody is forgotten.
TEST_F(BarrierHome, keeps_its_rules_in_any_order_of_events) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return random() % n; };
  for (int round = 0; round < 200; ++round) {
    const std::size_t parties = 1 + below(4);
    objects::Barrier barrier(static_cast<std::int32_t>(parties));
    std::vector<Caller> waiting;
    bool broken = false;
    const auto all_broke = [&] {
      for (const Caller& one : waiting) EXPECT_EQ(status(one), Status::broken);
      waiting.clear();
    };
    for (int step = 0; step < 60; ++step) {
      switch (below(8)) {
        case 0:
          ask(barrier, BarrierOp::abort, 1);
          broken = true;
          all_broke();
          break;
        case 1:
          ask(barrier, BarrierOp::reset, 1);
          broken = false;
          all_broke();
          break;
        case 2: {
          if (waiting.empty()) break;
          const Caller one = waiting[below(waiting.size())];
          std::erase_if(waiting, [&](const Caller& other) { return same_request(one, other); });
          barrier.withdraw(one, home);
          EXPECT_EQ(status(one), Status::withdrawn);
          broken = true;
          all_broke();
          break;
        }
        case 3: {
          const wire::Address dead{0, static_cast<std::uint32_t>(1 + below(6))};
          barrier.left(dead, home);
          std::vector<Caller> dying;
          std::erase_if(waiting, [&](const Caller& one) {
            if (one.process != dead) return false;
            dying.push_back(one);
            return true;
          });
          for (const Caller& one : dying) EXPECT_FALSE(home.answered(one));
          if (dying.empty()) break;
          broken = true;
          all_broke();
          break;
        }
        default: {
          const Caller one = ask(barrier, BarrierOp::wait, static_cast<std::uint32_t>(1 + below(6)));
          if (broken) {
            EXPECT_EQ(status(one), Status::broken);
            break;
          }
          waiting.push_back(one);
          if (waiting.size() < parties) break;
          std::set<int> places;
          for (const Caller& other : waiting) places.insert(place(other));
          EXPECT_EQ(places.size(), parties);
          EXPECT_EQ(*places.begin(), 0);
          EXPECT_EQ(*places.rbegin(), static_cast<int>(parties) - 1);
          waiting.clear();
        }
      }
      for (const Caller& one : waiting) EXPECT_FALSE(home.answered(one));
      EXPECT_EQ(state(barrier).waiting, static_cast<int>(waiting.size()));
      EXPECT_EQ(state(barrier).broken, broken ? 1u : 0u);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
