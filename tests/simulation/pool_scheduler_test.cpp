// What the scheduler does, step by step.
#include "scheduler/pool_scheduler.hpp"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "scheduler/ledger.hpp"

namespace rankpool::scheduler {
namespace {

using std::chrono::milliseconds;

constexpr PoolId pool = 1;
constexpr JobId job = 10;

using Tasks = Run;  // testing::Test has a Run of its own

class Scheduler : public testing::Test {
 protected:
  void submit(JobId id, std::uint64_t tasks, JobOptions options = {}) {
    scheduler_.submit(id, pool, options);
    scheduler_.add_items(id, tasks);
    scheduler_.end_items(id);
  }
  template <class Kind>
  std::vector<Kind> take() {
    std::vector<Kind> result;
    std::vector<Action> others;
    for (const Action& action : std::exchange(scheduler_.actions(), {})) {
      if (const auto* kind = std::get_if<Kind>(&action)) {
        result.push_back(*kind);
      } else {
        others.push_back(action);
      }
    }
    scheduler_.actions() = others;
    return result;
  }
  std::map<int, std::uint64_t> sent_tasks() {
    std::map<int, std::uint64_t> tasks;
    for (const SendRun& send : take<SendRun>()) tasks[send.rank] += send.run.count;
    return tasks;
  }
  using Sent = std::map<int, std::uint64_t>;

  PoolScheduler scheduler_;
};

TEST_F(Scheduler, few_tasks_go_to_one_rank_each) {
  scheduler_.open_pool(pool, {1, 1, 1});
  submit(job, 3, {1, 0});
  EXPECT_EQ(sent_tasks(), (Sent{{0, 1}, {1, 1}, {2, 1}}));
}

TEST_F(Scheduler, ranks_with_more_free_workers_come_first) {
  scheduler_.open_pool(pool, {0, 4, 2, 1});
  submit(job, 2, {1, 0});
  EXPECT_EQ(sent_tasks(), (Sent{{1, 2}}));
  submit(job + 1, 3, {1, 0});
  EXPECT_EQ(sent_tasks(), (Sent{{1, 1}, {2, 1}, {3, 1}}));
}

TEST_F(Scheduler, equal_ranks_take_turns) {
  scheduler_.open_pool(pool, {2, 2, 2});
  std::map<int, int> first;
  for (JobId id = 1; id <= 30; ++id) {
    submit(id, 1);
    const auto sent = take<SendRun>();
    ASSERT_EQ(sent.size(), 1U);
    ++first[sent[0].rank];
    EXPECT_TRUE(scheduler_.finished(sent[0].rank, id, 0, 1, milliseconds(1)));
    EXPECT_EQ(take<EndJob>().size(), 1U);
  }
  EXPECT_EQ(first, (std::map<int, int>{{0, 10}, {1, 10}, {2, 10}}));
}

TEST_F(Scheduler, many_chunks_for_one_rank_are_one_run) {
  scheduler_.open_pool(pool, {8, 8});
  submit(job, 32, {4, 0});
  const auto sent = take<SendRun>();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].run, (Tasks{job, 0, 16, 4}));
  EXPECT_EQ(sent[1].run, (Tasks{job, 16, 16, 4}));
}

TEST_F(Scheduler, runs_end_with_their_block) {
  scheduler_.open_pool(pool, {8});
  scheduler_.submit(job, pool, {2, 0});
  for (const std::uint64_t count : {3U, 1U, 4U}) scheduler_.add_items(job, count);
  std::vector<Tasks> runs;
  for (const SendRun& send : take<SendRun>()) runs.push_back(send.run);
  EXPECT_EQ(runs, (std::vector<Tasks>{{job, 0, 3, 2}, {job, 3, 1, 1}, {job, 4, 4, 2}}));
}

TEST_F(Scheduler, a_job_ends_once_and_only_when_all_is_said) {
  scheduler_.open_pool(pool, {2});
  scheduler_.submit(job, pool, {1, 0});
  scheduler_.add_items(job, 2);
  EXPECT_TRUE(scheduler_.finished(0, job, 0, 2, milliseconds(1)));
  EXPECT_TRUE(take<EndJob>().empty());
  scheduler_.add_items(job, 1);
  scheduler_.end_items(job);
  EXPECT_TRUE(take<EndJob>().empty());
  EXPECT_TRUE(scheduler_.finished(0, job, 2, 1, milliseconds(1)));
  EXPECT_EQ(take<EndJob>().size(), 1U);
  EXPECT_FALSE(scheduler_.finished(0, job, 2, 1, milliseconds(1)));
  scheduler_.end_items(job);
  EXPECT_TRUE(take<EndJob>().empty());
}

TEST_F(Scheduler, an_empty_job_ends_at_once) {
  scheduler_.open_pool(pool, {2});
  submit(job, 0);
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

TEST_F(Scheduler, false_reports_change_nothing) {
  scheduler_.open_pool(pool, {1, 1});
  submit(job, 4, {2, 0});
  EXPECT_EQ(sent_tasks(), (Sent{{0, 2}, {1, 2}}));
  EXPECT_FALSE(scheduler_.finished(0, job, 2, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job, 0, 4, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job, 1, 2, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job, 0, 0, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job, 1, ~std::uint64_t{0}, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(5, job, 0, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(-1, job, 0, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job + 1, 0, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.lost(1, job, 0, {}));
  EXPECT_TRUE(scheduler_.finished(0, job, 1, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job, 0, 2, milliseconds(1)));
  EXPECT_FALSE(scheduler_.lost(0, job, 1, {}));
  EXPECT_TRUE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  EXPECT_TRUE(scheduler_.finished(1, job, 2, 2, milliseconds(1)));
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

TEST_F(Scheduler, a_lost_task_is_first_and_alone) {
  scheduler_.open_pool(pool, {1});
  submit(job, 8, {4, 1});
  EXPECT_EQ(take<SendRun>().size(), 1U);
  EXPECT_TRUE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  EXPECT_TRUE(scheduler_.lost(0, job, 1, {}));
  EXPECT_TRUE(scheduler_.finished(0, job, 2, 2, milliseconds(2)));
  const auto sent = take<SendRun>();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].run, (Tasks{job, 1, 1, 1}));
}

TEST_F(Scheduler, a_task_fails_after_its_retries) {
  scheduler_.open_pool(pool, {1, 1});
  submit(job, 1, {0, 2});
  for (int attempt = 1; attempt <= 3; ++attempt) {
    const auto sent = take<SendRun>();
    ASSERT_EQ(sent.size(), 1U) << attempt;
    EXPECT_TRUE(take<FailTask>().empty());
    EXPECT_TRUE(scheduler_.lost(sent[0].rank, job, 0, Loss{11, 99}));
  }
  const auto failed = take<FailTask>();
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].attempts, 3);
  EXPECT_EQ(failed[0].loss, (Loss{11, 99}));
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

TEST_F(Scheduler, jobs_are_served_in_order) {
  scheduler_.open_pool(pool, {1});
  scheduler_.submit(job, pool, {1, 0});
  scheduler_.submit(job - 1, pool, {1, 0});
  scheduler_.add_items(job - 1, 3);
  scheduler_.add_items(job, 2);
  EXPECT_EQ(take<SendRun>().size(), 1U);
  EXPECT_TRUE(scheduler_.finished(0, job - 1, 0, 1, milliseconds(1)));
  const auto sent = take<SendRun>();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].run.job, job);
}

TEST_F(Scheduler, a_cancelled_job_is_forgotten) {
  scheduler_.open_pool(pool, {1});
  submit(job, 5, {1, 0});
  submit(job + 1, 1, {1, 0});
  EXPECT_EQ(take<SendRun>().size(), 1U);
  scheduler_.cancel(job);
  const auto sent = take<SendRun>();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].run.job, job + 1);
  EXPECT_FALSE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.lost(0, job, 0, {}));
  EXPECT_TRUE(take<EndJob>().empty());
}

TEST_F(Scheduler, a_closed_pool_ends_after_its_jobs) {
  scheduler_.open_pool(pool, {1});
  scheduler_.open_pool(pool + 1, {1});
  scheduler_.close_pool(pool + 1);
  EXPECT_EQ(take<EndPool>().size(), 1U);
  scheduler_.submit(job, pool, {});
  scheduler_.close_pool(pool);
  scheduler_.submit(job + 1, pool, {});
  scheduler_.add_items(job + 1, 1);
  EXPECT_TRUE(take<SendRun>().empty());
  scheduler_.add_items(job, 1);
  scheduler_.end_items(job);
  EXPECT_TRUE(take<EndPool>().empty());
  EXPECT_TRUE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  EXPECT_EQ(take<EndPool>().size(), 1U);
}

TEST_F(Scheduler, a_closed_pool_ends_when_its_last_job_is_cancelled) {
  scheduler_.open_pool(pool, {1});
  submit(job, 5, {});
  scheduler_.close_pool(pool);
  EXPECT_TRUE(take<EndPool>().empty());
  scheduler_.cancel(job);
  EXPECT_EQ(take<EndPool>().size(), 1U);
}

TEST_F(Scheduler, a_terminated_pool_is_silent) {
  scheduler_.open_pool(pool, {1});
  submit(job, 5, {});
  scheduler_.actions().clear();
  scheduler_.terminate_pool(pool);
  EXPECT_FALSE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  scheduler_.close_pool(pool);
  scheduler_.cancel(job);
  EXPECT_TRUE(scheduler_.actions().empty());
}

TEST_F(Scheduler, a_rank_without_workers_gets_nothing_until_it_has_some) {
  scheduler_.open_pool(pool, {1, 1});
  scheduler_.set_workers(pool, 1, 0);
  submit(job, 4, {1, 0});
  EXPECT_EQ(sent_tasks().count(1), 0U);
  scheduler_.set_workers(pool, 1, 2);
  EXPECT_EQ(sent_tasks()[1], 2U);
}

TEST_F(Scheduler, what_a_lost_rank_had_goes_to_the_others) {
  scheduler_.open_pool(pool, {2, 2});
  submit(job, 4, {1, 0});
  EXPECT_EQ(sent_tasks(), (Sent{{0, 2}, {1, 2}}));
  scheduler_.lose_rank(1);
  EXPECT_FALSE(scheduler_.finished(1, job, 2, 1, milliseconds(1)));
  EXPECT_TRUE(scheduler_.finished(0, job, 0, 2, milliseconds(1)));
  EXPECT_EQ(sent_tasks(), (Sent{{0, 2}}));
  EXPECT_TRUE(scheduler_.finished(0, job, 2, 2, milliseconds(1)));
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

TEST_F(Scheduler, the_last_long_tasks_are_not_sent_ahead) {
  scheduler_.open_pool(pool, {1, 1});
  submit(job, 40, {1, 0});
  std::map<int, std::vector<TaskIndex>> under_way;
  std::uint64_t left = 40;
  while (left > 0) {
    for (const SendRun& send : take<SendRun>()) {
      for (std::uint64_t task = 0; task < send.run.count; ++task) under_way[send.rank].push_back(send.run.first + task);
    }
    if (left < 7) {
      for (const auto& [rank, tasks] : under_way) EXPECT_LE(tasks.size(), 1U) << left << " left";
    }
    const int rank = under_way[0].size() >= under_way[1].size() ? 0 : 1;
    ASSERT_FALSE(under_way[rank].empty());
    ASSERT_TRUE(scheduler_.finished(rank, job, under_way[rank].front(), 1, milliseconds(3)));
    under_way[rank].erase(under_way[rank].begin());
    --left;
  }
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

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
