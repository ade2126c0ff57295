// What is done about which signal, and when.
#include "engine/stop_policy.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace rankpool::engine {
namespace {

using Action = StopPolicy::Action;
using std::chrono::milliseconds;

class Policy : public testing::Test {
 protected:
  static StopPolicy::Time at(int ms) { return StopPolicy::Time(std::chrono::hours(5)) + milliseconds(ms); }
  StopPolicy policy_{3};
};

TEST_F(Policy, does_nothing_without_a_signal) {
  EXPECT_EQ(policy_.look(at(0), true), Action::none);
  EXPECT_EQ(policy_.next(), StopPolicy::Time::max());
  EXPECT_EQ(policy_.stop_signal(), 0);
  EXPECT_FALSE(policy_.draining());
}

TEST_F(Policy, gives_results_their_time) {
  EXPECT_EQ(policy_.signalled(1, SIGTERM, at(0)), Action::stop);
  EXPECT_EQ(policy_.stop_signal(), SIGTERM);
  EXPECT_EQ(policy_.next(), at(0) + StopPolicy::results_until);
  EXPECT_EQ(policy_.look(policy_.next() - milliseconds(1), false), Action::none);
  EXPECT_EQ(policy_.look(policy_.next(), false), Action::tell);
  EXPECT_EQ(policy_.look(at(300), false), Action::none) << "once";
  EXPECT_EQ(policy_.next(), StopPolicy::Time::max());
  EXPECT_EQ(policy_.stop_signal(), SIGTERM);
}

TEST_F(Policy, waits_for_nothing_when_nothing_runs) {
  EXPECT_EQ(policy_.signalled(0, SIGINT, at(0)), Action::stop);
  EXPECT_EQ(policy_.look(at(1), true), Action::tell);
}

TEST_F(Policy, one_signal_for_every_rank_is_one) {
  EXPECT_EQ(policy_.signalled(0, SIGTERM, at(0)), Action::stop);
  EXPECT_EQ(policy_.signalled(1, SIGTERM, at(5)), Action::none);
  EXPECT_EQ(policy_.signalled(2, SIGTERM, at(300)), Action::none) << "it was slow";
  EXPECT_EQ(policy_.signalled(0, SIGTERM, at(20)), Action::none) << "some launchers send it twice";
}

TEST_F(Policy, the_second_one_ends_at_once) {
  policy_.signalled(1, SIGINT, at(0));
  EXPECT_EQ(policy_.signalled(1, SIGINT, at(0) + StopPolicy::apart), Action::end);
  EXPECT_EQ(policy_.signalled(1, SIGINT, at(400)), Action::none);
  EXPECT_EQ(policy_.look(at(400), true), Action::none);
  EXPECT_EQ(policy_.stop_signal(), SIGINT);
}

TEST_F(Policy, another_signal_is_a_second_one_too) {
  policy_.signalled(0, SIGINT, at(0));
  EXPECT_EQ(policy_.look(at(10), true), Action::tell);
  EXPECT_EQ(policy_.signalled(0, SIGTERM, at(200)), Action::end);
  EXPECT_EQ(policy_.stop_signal(), SIGINT) << "that is what the job ends by";
}

TEST_F(Policy, sigusr1_begins_nothing_new) {
  EXPECT_EQ(policy_.signalled(2, SIGUSR1, at(0)), Action::drain);
  EXPECT_TRUE(policy_.draining());
  EXPECT_EQ(policy_.stop_signal(), 0);
  EXPECT_EQ(policy_.signalled(2, SIGUSR1, at(500)), Action::none);
  EXPECT_EQ(policy_.signalled(0, SIGUSR1, at(500)), Action::none);
  EXPECT_EQ(policy_.look(at(1000), true), Action::none);
}

TEST_F(Policy, sigterm_after_sigusr1_stops) {
  policy_.signalled(0, SIGUSR1, at(0));
  EXPECT_EQ(policy_.signalled(0, SIGTERM, at(500)), Action::stop);
  EXPECT_FALSE(policy_.draining());
  EXPECT_EQ(policy_.signalled(1, SIGUSR1, at(510)), Action::none);
  EXPECT_EQ(policy_.look(at(500) + StopPolicy::results_until, false), Action::tell);
}

}  // namespace
}  // namespace rankpool::engine
