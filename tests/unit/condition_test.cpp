// The home side of conditions.
#include "objects/condition.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "../support/recording_home.hpp"
#include "wire/bad_frame.hpp"
#include "wire/condition.hpp"

namespace {

using namespace rankpool;
using objects::Caller;
using support::RecordingHome;
using wire::ConditionOp;
using wire::ConditionTicket;
using wire::Status;

class ConditionHome : public testing::Test {
 protected:
  template <class Message = ConditionTicket>
  Caller ask(ConditionOp operation, std::uint32_t process, const Message& message = {}) {
    const Caller caller = home.caller(process);
    condition.request(caller, static_cast<std::uint32_t>(operation), wire::bytes_of(message), {}, home);
    return caller;
  }
  ConditionTicket enter(std::uint32_t process) {
    return home.answer(ask(ConditionOp::enter, process)).as<ConditionTicket>();
  }
  Caller await(std::uint32_t process, ConditionTicket ticket) { return ask(ConditionOp::await, process, ticket); }
  Caller wait(std::uint32_t process) { return await(process, enter(process)); }
  void notify(std::uint64_t count) {
    EXPECT_EQ(status(ask(ConditionOp::notify, 90, wire::ConditionNotify{count})), Status::ok);
  }
  Status status(const Caller& caller) { return home.answer(caller).status; }

  RecordingHome home;
  objects::Condition condition;
};

TEST_F(ConditionHome, wakes_those_who_wait_longest) {
  const Caller first = wait(1);
  const Caller second = wait(2);
  const Caller third = wait(1);
  notify(1);
  EXPECT_EQ(status(first), Status::ok);
  EXPECT_FALSE(home.answered(second));
  notify(5);
  EXPECT_EQ(status(second), Status::ok);
  EXPECT_EQ(status(third), Status::ok);
  EXPECT_FALSE(home.answered(wait(1)));  // what was too much is forgotten
}

TEST_F(ConditionHome, counts_a_notification_between_the_two_questions) {
  const ConditionTicket early = enter(1);
  const ConditionTicket late = enter(2);
  notify(1);
  EXPECT_FALSE(home.answered(await(2, late)));
  EXPECT_EQ(status(await(1, early)), Status::ok);
}

TEST_F(ConditionHome, forgets_who_gives_up) {
  const Caller first = wait(1);
  const Caller second = wait(2);
  condition.withdraw(first, home);
  EXPECT_EQ(status(first), Status::withdrawn);
  notify(1);
  EXPECT_EQ(status(second), Status::ok);
  condition.withdraw(second, home);  // too late: RecordingHome would complain of a second answer
}

TEST_F(ConditionHome, the_dead_do_not_swallow_notifications) {
  const Caller dead = wait(1);
  const Caller alive = wait(2);
  condition.left({0, 1}, home);
  notify(1);
  EXPECT_EQ(status(alive), Status::ok);
  EXPECT_FALSE(home.answered(dead));

  enter(1);
  const Caller next = wait(2);
  notify(1);  // for the first, who dies before asking
  condition.left({0, 1}, home);
  EXPECT_EQ(status(next), Status::ok);
}

TEST_F(ConditionHome, whoever_leaves_passes_its_notification_on) {
  const ConditionTicket first = enter(1);
  const Caller second = wait(2);
  notify(1);
  ask(ConditionOp::leave, 1, first);
  EXPECT_EQ(status(second), Status::ok);
}

TEST_F(ConditionHome, refuses_damaged_requests) {
  EXPECT_THROW(condition.request(home.caller(1), 77, {}, {}, home), wire::BadFrame);
  EXPECT_THROW(await(1, {12345}), wire::BadFrame);
  EXPECT_THROW(condition.request(home.caller(1), static_cast<std::uint32_t>(ConditionOp::notify), {}, {}, home),
               wire::BadFrame);
}

// Against a list in order of waiting.
TEST_F(ConditionHome, keeps_its_order_in_any_order_of_events) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return random() % n; };
  struct Waiter {
    std::uint32_t process;
    ConditionTicket ticket;
    std::optional<Caller> caller;
    bool told = false;
  };
  std::deque<Waiter> line;  // told ones stay until they have asked
  const auto tell = [&](std::uint64_t count) {
    for (Waiter& waiter : line) {
      if (count == 0) break;
      if (waiter.told) continue;
      waiter.told = true;
      --count;
    }
  };
  for (int step = 0; step < 20'000; ++step) {
    const std::size_t at = line.empty() ? 0 : below(line.size());
    switch (below(8)) {
      case 0:
      case 1: {
        const auto process = static_cast<std::uint32_t>(1 + below(5));
        line.push_back({process, enter(process), {}});
        break;
      }
      case 2:
      case 3:
        if (line.empty() || line[at].caller) break;
        line[at].caller = await(line[at].process, line[at].ticket);
        break;
      case 4: {
        const std::uint64_t count = below(3);
        notify(count);
        tell(count);
        break;
      }
      case 5:
        if (line.empty() || !line[at].caller) break;
        condition.withdraw(*line[at].caller, home);
        EXPECT_EQ(status(*line[at].caller), Status::withdrawn);
        line.erase(line.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 6: {
        if (line.empty() || line[at].caller) break;
        const Waiter gone = line[at];
        line.erase(line.begin() + static_cast<std::ptrdiff_t>(at));
        ask(ConditionOp::leave, gone.process, gone.ticket);
        if (gone.told) tell(1);
        break;
      }
      default: {
        if (below(4) != 0) break;
        const auto process = static_cast<std::uint32_t>(1 + below(5));
        const auto passed_on = static_cast<std::uint64_t>(std::count_if(
            line.begin(), line.end(), [&](const Waiter& one) { return one.process == process && one.told; }));
        std::erase_if(line, [&](const Waiter& one) { return one.process == process; });
        condition.left({0, process}, home);
        tell(passed_on);
      }
    }
    std::erase_if(line, [&](const Waiter& waiter) {
      if (!waiter.caller) return false;
      EXPECT_EQ(home.answered(*waiter.caller), waiter.told);
      return waiter.told;
    });
    if (HasFailure()) return;
  }
}

}  // namespace
