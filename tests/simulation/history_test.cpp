// Ten thousand random histories: whatever happens, every task ends exactly once and nothing is ever stuck.
#include "history.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>

namespace rankpool::simulation {
namespace {

// HISTORY_SEED=n repeats one history, HISTORY_COUNT=n runs more of them.
std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::stoull(text) : otherwise;
}

TEST(History, every_task_ends_exactly_once) {
  const std::uint64_t first = from_environment("HISTORY_SEED", 1);
  const bool only_one = std::getenv("HISTORY_SEED") != nullptr;
  const std::uint64_t count = only_one ? 1 : from_environment("HISTORY_COUNT", 10'000);
  History::Counts total;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    History history(seed);
    const std::string failure = history.run();
    ASSERT_EQ(failure, "") << "repeat with HISTORY_SEED=" << seed;
    const History::Counts& counts = history.counts();
    total.tasks += counts.tasks;
    total.deaths += counts.deaths;
    total.failed += counts.failed;
    total.cancelled += counts.cancelled;
    total.terminated += counts.terminated;
    total.retired += counts.retired;
    total.ranks_lost += counts.ranks_lost;
    total.refused += counts.refused;
    total.recalls += counts.recalls;
    total.taken_back += counts.taken_back;
    total.asked += counts.asked;
    total.asked_again += counts.asked_again;
    total.innocent += counts.innocent;
    total.asked_back += counts.asked_back;
    total.returned += counts.returned;
    total.skipped += counts.skipped;
    total.run_again += counts.run_again;
  }
  std::cout << "seeds " << first << " to " << first + count - 1 << ": " << total.tasks << " tasks, " << total.deaths
            << " deaths, " << total.failed << " failed tasks, " << total.cancelled << " cancelled jobs, "
            << total.terminated << " terminated pools, " << total.retired << " retired workers, " << total.ranks_lost
            << " lost ranks, " << total.run_again << " tasks whose values were there, " << total.refused
            << " refused reports, " << total.recalls << " recalls of " << total.taken_back << " tasks, " << total.asked
            << " questions, " << total.asked_again << " again, " << total.innocent << " innocent tasks, "
            << total.asked_back << " ranks asked for " << total.returned << " tasks\n";
  if (only_one) return;
  // A generator that no longer makes these would prove nothing.
  EXPECT_GT(total.tasks, 20 * count);
  EXPECT_GT(total.deaths, count);
  EXPECT_GT(total.failed, count / 20);
  EXPECT_GT(total.cancelled, count / 20);
  EXPECT_GT(total.terminated, count / 200);
  EXPECT_GT(total.retired, count / 4);
  EXPECT_GT(total.ranks_lost, count / 10);
  EXPECT_GT(total.run_again, count / 20);
  EXPECT_GT(total.refused, count / 100);
  EXPECT_GT(total.recalls, count / 20);
  EXPECT_GT(total.taken_back, total.recalls);
  EXPECT_GT(total.asked, count / 20);
  EXPECT_GT(total.asked_again, count / 1000);
  EXPECT_GT(total.innocent, count / 10);
  EXPECT_GT(total.asked_back, count / 20);
  EXPECT_GT(total.returned, count / 20);
  EXPECT_GT(total.skipped, 5 * count);
}

}  // namespace
}  // namespace rankpool::simulation
