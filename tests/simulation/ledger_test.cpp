#include "scheduler/ledger.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <utility>

namespace rankpool::scheduler {
namespace {

using Tasks = Run;  // testing::Test has a Run of its own

// The ledger against a map with an entry for every task.
TEST(LedgerModel, agrees_with_a_naive_one) {
  std::uint64_t state = 12345;
  const auto random = [&](std::uint64_t below) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (state >> 33) % below;
  };
  for (int round = 0; round < 200; ++round) {
    Ledger ledger;
    std::map<std::pair<std::uint64_t, TaskIndex>, std::pair<int, std::uint64_t>> naive;  // -> run, chunk number
    std::map<int, std::uint64_t> chunk_of_run;
    for (int step = 0; step < 300; ++step) {
      const std::uint64_t number = random(3);
      const TaskIndex first = random(60);
      const std::uint64_t count = 1 + random(8);
      bool none = true;
      bool all = true;
      for (TaskIndex task = first; task < first + count; ++task) {
        const bool here = naive.contains({number, task});
        none = none && !here;
        all = all && here;
      }
      if (none && random(2) == 0) {
        const std::uint64_t chunk = 1 + random(4);
        ledger.add(number, Tasks{1, first, count, chunk});
        chunk_of_run[step] = chunk;
        for (std::uint64_t task = 0; task < count; ++task) naive[{number, first + task}] = {step, task / chunk};
      } else if (random(50) == 0) {
        ledger.forget(number);
        std::erase_if(naive, [&](const auto& entry) { return entry.first.first == number; });
      } else {
        const auto taken = ledger.take(number, first, count);
        ASSERT_EQ(taken.has_value(), all);
        if (all) {
          const int run = naive[{number, first}].first;
          ASSERT_EQ(*taken, chunk_of_run[run]);
          for (TaskIndex task = first; task < first + count; ++task) naive.erase({number, task});
        }
      }
      // A chunk that was taken apart in its middle counts as two.
      std::uint64_t chunks = 0;
      std::optional<std::pair<std::pair<std::uint64_t, TaskIndex>, std::pair<int, std::uint64_t>>> before;
      for (const auto& [key, chunk] : naive) {
        const bool goes_on = before && before->second == chunk && before->first.first == key.first &&
                             before->first.second + 1 == key.second;
        if (!goes_on) ++chunks;
        before = {key, chunk};
      }
      ASSERT_EQ(ledger.chunks(), chunks);
    }
  }
}

}  // namespace
}  // namespace rankpool::scheduler
