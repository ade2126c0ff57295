// What the scheduler does, step by step.
#include "scheduler_fixture.hpp"

namespace rankpool::scheduler {
namespace {

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

TEST_F(Scheduler, skipped_tasks_are_numbered_and_never_sent) {
  scheduler_.open_pool(pool, {8});
  scheduler_.submit(job, pool, {2, 0});
  scheduler_.skip_items(job, 5);
  EXPECT_TRUE(take<SendRun>().empty());
  scheduler_.add_items(job, 3);
  scheduler_.skip_items(job, 1);
  scheduler_.skip_items(job, 10);
  scheduler_.add_items(job, 1);
  scheduler_.add_items(job, 4);
  scheduler_.skip_items(job, 2);
  std::vector<Tasks> runs;
  for (const SendRun& send : take<SendRun>()) runs.push_back(send.run);
  EXPECT_EQ(runs, (std::vector<Tasks>{{job, 5, 3, 2}, {job, 19, 1, 1}, {job, 20, 4, 2}}));
  scheduler_.end_items(job);
  scheduler_.skip_items(job, 1);
  EXPECT_FALSE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  EXPECT_FALSE(scheduler_.finished(0, job, 7, 2, milliseconds(1)));
  EXPECT_TRUE(scheduler_.finished(0, job, 5, 3, milliseconds(1)));
  EXPECT_TRUE(scheduler_.finished(0, job, 19, 5, milliseconds(1)));
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

TEST_F(Scheduler, skips_between_blocks_that_wait) {
  scheduler_.open_pool(pool, {1});
  scheduler_.submit(job, pool, {1, 0});
  std::uint64_t first = 0;
  std::vector<TaskIndex> expected;
  for (std::uint64_t i = 0; i < 20; ++i) {
    scheduler_.add_items(job, 2);
    expected.push_back(first);
    expected.push_back(first + 1);
    scheduler_.skip_items(job, i % 3);
    first += 2 + i % 3;
  }
  scheduler_.end_items(job);
  std::vector<TaskIndex> sent;
  for (auto runs = take<SendRun>(); !runs.empty(); runs = take<SendRun>()) {
    for (const SendRun& send : runs) {
      for (TaskIndex task = send.run.first; task < send.run.first + send.run.count; ++task) sent.push_back(task);
      EXPECT_TRUE(scheduler_.finished(send.rank, job, send.run.first, send.run.count, milliseconds(1)));
    }
  }
  EXPECT_EQ(sent, expected);
  EXPECT_EQ(take<EndJob>().size(), 1U);
}

TEST_F(Scheduler, a_job_of_nothing_but_skipped_tasks_ends_when_all_is_said) {
  scheduler_.open_pool(pool, {2});
  scheduler_.submit(job, pool, {1, 0});
  scheduler_.skip_items(job, 1000);
  scheduler_.skip_items(job + 1, 5);
  EXPECT_TRUE(scheduler_.actions().empty());
  scheduler_.close_pool(pool);
  scheduler_.end_items(job);
  ASSERT_EQ(scheduler_.actions().size(), 2U);
  EXPECT_TRUE(std::holds_alternative<EndJob>(scheduler_.actions()[0]));
  EXPECT_TRUE(std::holds_alternative<EndPool>(scheduler_.actions()[1]));
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
  EXPECT_EQ(sent[0].run, (Tasks{job, 1, 1, 1, 1}));
}

TEST_F(Scheduler, a_task_is_told_how_often_it_was_lost) {
  scheduler_.open_pool(pool, {1, 1});
  submit(job, 1, {0, 5});
  for (int attempt = 0; attempt < 4; ++attempt) {
    const auto sent = take<SendRun>();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].run.attempt, attempt);
    EXPECT_TRUE(scheduler_.lost(sent[0].rank, job, 0, {}));
  }
  const int lost_rank = take<SendRun>().at(0).rank;
  scheduler_.lose_rank(lost_rank);
  const auto sent = take<SendRun>();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].run.attempt, 4) << "it is not to blame for the rank";
}

TEST_F(Scheduler, higher_priority_first_then_order_of_submission) {
  scheduler_.open_pool(pool, {1});
  submit(1, 1);
  EXPECT_EQ(take<SendRun>().size(), 1U);
  // of the lowest priority under way, so that all of these wait here
  for (const auto& [id, priority] : std::vector<std::pair<JobId, int>>{{2, -5}, {3, -1}, {4, -5}, {5, -1}, {6, -9}}) {
    submit(id, 1, {.priority = priority});
  }
  std::vector<JobId> sent{1};
  for (std::size_t next = 0; next < sent.size(); ++next) {
    EXPECT_TRUE(scheduler_.finished(0, sent[next], 0, 1, milliseconds(5)));
    for (const SendRun& send : take<SendRun>()) sent.push_back(send.run.job);
  }
  EXPECT_EQ(sent, (std::vector<JobId>{1, 3, 5, 2, 4, 6}));
}

TEST_F(Scheduler, a_higher_priority_is_sent_to_ranks_that_are_full) {
  scheduler_.open_pool(pool, {2, 2});
  submit(job, 1000, {1, 0});
  EXPECT_FALSE(sent_tasks().empty());
  submit(job + 1, 1, {.priority = 5});
  submit(job + 2, 2, {.chunksize = 1, .priority = 9});
  const auto sent = take<SendRun>();
  std::map<JobId, std::uint64_t> tasks;
  std::map<int, std::uint64_t> by_rank;
  for (const SendRun& send : sent) {
    EXPECT_EQ(send.run.priority, send.run.job == job + 1 ? 5 : 9);
    tasks[send.run.job] += send.run.count;
    by_rank[send.rank] += send.run.count;
  }
  EXPECT_EQ(tasks, (std::map<JobId, std::uint64_t>{{job + 1, 1}, {job + 2, 2}}));
  EXPECT_EQ(by_rank.size(), 2U) << "on both ranks";
}

TEST_F(Scheduler, a_higher_priority_does_not_flood_a_rank) {
  scheduler_.open_pool(pool, {2, 2});
  submit(job, 100, {1, 0});
  sent_tasks();
  submit(job + 1, 1000, {.chunksize = 1, .priority = 1});
  for (const auto& [rank, tasks] : sent_tasks()) EXPECT_LE(tasks, 8U) << rank;
  scheduler_.open_pool(pool + 1, {0, 1});
  scheduler_.submit(job + 2, pool + 1, {});
  scheduler_.add_items(job + 2, 1);
  sent_tasks();
  scheduler_.submit(job + 3, pool + 1, {.chunksize = 1, .priority = 1});
  scheduler_.add_items(job + 3, 100'000);
  EXPECT_EQ(sent_tasks(), (Sent{{1, 8192}})) << "but the only one gets all it can order by itself";
}

TEST_F(Scheduler, knows_where_the_task_of_a_job_is) {
  scheduler_.open_pool(pool, {1, 1});
  EXPECT_EQ(scheduler_.rank_of(77), std::nullopt);
  for (JobId id = 1; id <= 9; ++id) submit(id, 1, {0, 1});
  std::map<JobId, int> ranks;
  for (const SendRun& send : take<SendRun>()) ranks[send.run.job] = send.rank;
  for (JobId id = 1; id <= 9; ++id) {
    EXPECT_EQ(scheduler_.rank_of(id), ranks.contains(id) ? std::optional(ranks[id]) : std::nullopt) << id;
  }
  EXPECT_TRUE(scheduler_.lost(ranks.at(1), 1, 0, {}));
  std::optional<int> now;
  for (const SendRun& send : take<SendRun>()) now = send.run.job == 1 ? send.rank : now;
  EXPECT_EQ(scheduler_.rank_of(1), now) << "wherever that is";
  scheduler_.cancel(1);
  EXPECT_EQ(scheduler_.rank_of(1), std::nullopt);
}

TEST_F(Scheduler, equal_priorities_are_as_none) {
  std::vector<std::vector<Tasks>> runs;
  for (const int priority : {0, 7}) {
    PoolScheduler scheduler;
    scheduler.open_pool(pool, {3, 2, 1});
    std::vector<Tasks> sent;
    for (JobId id = 1; id <= 40; ++id) {
      scheduler.submit(id, pool, {.chunksize = id % 3, .priority = priority});
      scheduler.add_items(id, id % 7);
      scheduler.end_items(id);
    }
    for (std::size_t next = 0; next < scheduler.actions().size(); ++next) {
      const Action action = scheduler.actions()[next];
      const auto* send = std::get_if<SendRun>(&action);
      if (send == nullptr) continue;
      sent.push_back(Tasks{send->run.job, send->run.first, send->run.count, send->run.chunk});
      EXPECT_TRUE(scheduler.finished(send->rank, send->run.job, send->run.first, send->run.count, milliseconds(1)));
    }
    runs.push_back(sent);
  }
  EXPECT_EQ(runs[0], runs[1]);
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

}  // namespace
}  // namespace rankpool::scheduler
