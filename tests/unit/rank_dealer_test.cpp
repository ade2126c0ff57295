// How tasks are dealt to the workers of a rank.
#include "dealer_fixture.hpp"

namespace rankpool::scheduler {
namespace {

TEST_F(Dealer, a_run_waits_for_a_worker) {
  dealer_.add_run(pool, Tasks{job, 0, 1, 1});
  EXPECT_TRUE(gives().empty());
  dealer_.add_worker(pool + 1, 7);
  EXPECT_TRUE(gives().empty());
  dealer_.add_worker(pool, 8);
  EXPECT_EQ(gives(), (std::vector<Give>{{8, {job, 0, 1, 1}}}));
  EXPECT_EQ(dealer_.busy(), 1);
  EXPECT_TRUE(dealer_.finished(8, job, 0, 1, microseconds(1)));
  EXPECT_EQ(dealer_.busy(), 0);
}

TEST_F(Dealer, unknown_tasks_one_chunk_each) {
  for (WorkerId worker = 1; worker <= 3; ++worker) dealer_.add_worker(pool, worker);
  dealer_.add_run(pool, Tasks{job, 0, 100, 4});
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 0, 4, 4}}, {2, {job, 4, 4, 4}}, {3, {job, 8, 4, 4}}}));
  EXPECT_EQ(dealer_.busy(), 3);
}

TEST_F(Dealer, long_tasks_never_queue_in_a_worker) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 10, 1});
  for (TaskIndex task = 0; task < 10; ++task) {
    EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, task, 1, 1}}}));
    EXPECT_TRUE(dealer_.finished(1, job, task, 1, milliseconds(2)));
  }
  EXPECT_TRUE(gives().empty());
}

TEST_F(Dealer, chunks_stay_whole_while_they_are_reported_in_parts) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 8, 4});
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 0, 4, 4}}}));
  EXPECT_TRUE(dealer_.finished(1, job, 0, 3, milliseconds(6)));
  EXPECT_TRUE(gives().empty());
  EXPECT_TRUE(dealer_.finished(1, job, 3, 1, milliseconds(2)));
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 4, 4, 4}}}));
}

TEST_F(Dealer, gives_of_short_tasks_double_up_to_100_us) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 1'000'000, 1});
  std::uint64_t largest = 0;
  std::uint64_t inside = 0;
  std::uint64_t before = 0;
  for (TaskIndex done = 0; done < 20'000;) {
    for (const Give& give : gives()) {
      inside += give.run.count;
      EXPECT_LE(give.run.count, std::max<std::uint64_t>(1, 4 * largest)) << "at " << done;
      largest = std::max(largest, give.run.count);
      EXPECT_TRUE(before > 0 || give.run.count == 1);
      before = give.run.count;
    }
    ASSERT_GT(inside, 0U);
    const std::uint64_t part = std::min<std::uint64_t>(inside, 50);
    ASSERT_TRUE(dealer_.finished(1, job, done, part, part * microseconds(1)));
    done += part;
    inside -= part;
    EXPECT_LE(inside, 200U);
  }
  EXPECT_EQ(largest, 100U);
}

TEST_F(Dealer, nobody_takes_more_than_a_share) {
  dealer_.add_worker(pool, 1);
  measure(job, Nanoseconds(100), 100);
  for (WorkerId worker = 2; worker <= 4; ++worker) dealer_.add_worker(pool, worker);
  dealer_.add_run(pool, Tasks{job, 0, 40, 1});
  std::map<WorkerId, std::uint64_t> tasks;
  for (const Give& give : gives()) tasks[give.worker] += give.run.count;
  EXPECT_EQ(tasks.size(), 4U);
  for (const auto& [worker, count] : tasks) EXPECT_LE(count, 20U);
}

TEST_F(Dealer, never_more_than_2048_at_once) {
  dealer_.add_worker(pool, 1);
  measure(job, Nanoseconds(1), 100);
  dealer_.add_run(pool, Tasks{job, 0, 100'000, 1});
  for (const Give& give : gives()) EXPECT_LE(give.run.count, 2048U);
}

TEST_F(Dealer, the_worker_with_least_is_first) {
  dealer_.add_worker(pool, 1);
  measure(job, microseconds(10), 50);
  dealer_.add_worker(pool, 2);
  dealer_.add_run(pool, Tasks{job, 0, 6, 6});
  dealer_.add_run(pool, Tasks{job, 6, 3, 3});
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 0, 6, 6}}, {2, {job, 6, 3, 3}}}));
  dealer_.add_run(pool, Tasks{job, 9, 10, 1});
  const std::vector<Give> more = gives();
  ASSERT_FALSE(more.empty());
  EXPECT_EQ(more.front().worker, 2U);
}

TEST_F(Dealer, many_runs_of_one_short_task_fill_a_worker) {
  dealer_.add_worker(pool, 1);
  for (JobId id = 100; id < 400; ++id) dealer_.add_run(pool, Tasks{id, 0, 1, 1});
  std::uint64_t most = 0;
  std::uint64_t inside = 0;
  for (JobId id = 100; id < 400; ++id) {
    for (const Give& give : gives()) inside += give.run.count;
    most = std::max(most, inside);
    ASSERT_TRUE(dealer_.finished(1, id, 0, 1, microseconds(1)));
    --inside;
  }
  EXPECT_GT(most, 50U);
}

TEST_F(Dealer, damaged_reports_are_refused) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 5, 3, 3});
  EXPECT_FALSE(dealer_.finished(2, job, 5, 1, microseconds(1)));
  EXPECT_FALSE(dealer_.finished(1, job + 1, 5, 1, microseconds(1)));
  EXPECT_FALSE(dealer_.finished(1, job, 6, 1, microseconds(1)));
  EXPECT_FALSE(dealer_.finished(1, job, 5, 0, microseconds(1)));
  EXPECT_FALSE(dealer_.finished(1, job, 5, 4, microseconds(1)));
  EXPECT_TRUE(dealer_.finished(1, job, 5, 2, microseconds(1)));
  EXPECT_FALSE(dealer_.finished(1, job, 5, 1, microseconds(1)));
  EXPECT_TRUE(dealer_.finished(1, job, 7, 1, microseconds(1)));
  EXPECT_FALSE(dealer_.finished(1, job, 8, 1, microseconds(1)));
}

TEST_F(Dealer, a_report_may_cover_several_gives) {
  dealer_.add_worker(pool, 1);
  measure(job, microseconds(10), 50);
  dealer_.add_run(pool, Tasks{job, 0, 2, 2});
  dealer_.add_run(pool, Tasks{job, 2, 2, 2});
  EXPECT_EQ(gives().size(), 2U);
  EXPECT_TRUE(dealer_.finished(1, job, 0, 3, microseconds(30)));
  EXPECT_EQ(dealer_.busy(), 1);
  EXPECT_TRUE(dealer_.finished(1, job, 3, 1, microseconds(10)));
  EXPECT_EQ(dealer_.busy(), 0);
}

TEST_F(Dealer, the_begun_task_dies_and_the_others_go_first) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 8, 4});
  dealer_.actions().clear();
  EXPECT_TRUE(dealer_.finished(1, job, 0, 1, milliseconds(1)));
  dealer_.remove_worker(1, 2);
  ASSERT_EQ(dealer_.actions().size(), 1U);
  const auto died = std::get<TaskDied>(dealer_.actions().front());
  EXPECT_EQ(died.job, job);
  EXPECT_EQ(died.task, 1U);
  EXPECT_EQ(dealer_.busy(), 0);
  dealer_.actions().clear();
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 2, 2, 4}}}));
}

TEST_F(Dealer, nothing_dies_in_a_worker_that_had_begun_nothing) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 2, 2});
  dealer_.actions().clear();
  dealer_.remove_worker(1, 0);
  EXPECT_TRUE(dealer_.actions().empty());
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 0, 2, 2}}}));
  EXPECT_TRUE(dealer_.finished(2, job, 0, 2, milliseconds(1)));
  dealer_.remove_worker(2, 2);
  EXPECT_TRUE(dealer_.actions().empty());
}

TEST_F(Dealer, a_worker_retires_after_its_share) {
  dealer_.add_worker(pool, 1, 3);
  dealer_.add_run(pool, Tasks{job, 0, 10, 2});
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 0, 2, 2}}}));
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(3)));
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 2, 1, 2}}}));
  EXPECT_TRUE(dealer_.finished(1, job, 2, 1, milliseconds(3)));
  ASSERT_EQ(dealer_.actions().size(), 1U);
  EXPECT_EQ(std::get<Retire>(dealer_.actions().front()).worker, 1U);
  dealer_.actions().clear();
  dealer_.remove_worker(1, 3);
  EXPECT_TRUE(dealer_.actions().empty());
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 3, 1, 2}}}));
  EXPECT_TRUE(dealer_.finished(2, job, 3, 1, milliseconds(3)));
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 4, 2, 2}}}));
}

TEST_F(Dealer, a_forgotten_job_leaves_the_queue_and_does_not_come_back) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 4, 2});
  dealer_.add_run(pool, Tasks{job + 1, 0, 1, 1});
  dealer_.actions().clear();
  dealer_.forget_job(job);
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  EXPECT_TRUE(dealer_.finished(1, job, 0, 1, milliseconds(3)));
  dealer_.remove_worker(1, 1);
  EXPECT_TRUE(dealer_.actions().empty());
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job + 1, 0, 1, 1}}}));
}

TEST_F(Dealer, a_forgotten_pool_is_silent) {
  dealer_.add_worker(pool, 1, 1);
  dealer_.add_worker(pool, 2);
  dealer_.add_worker(pool + 1, 3);
  dealer_.add_run(pool, Tasks{job, 0, 6, 2});
  dealer_.actions().clear();
  dealer_.forget_pool(pool);
  EXPECT_TRUE(dealer_.finished(1, job, 0, 1, milliseconds(3)));
  dealer_.remove_worker(1, 1);
  dealer_.remove_worker(2, 1);
  EXPECT_TRUE(dealer_.actions().empty());
  EXPECT_EQ(dealer_.busy(), 0);
  dealer_.add_run(pool + 1, Tasks{job + 1, 0, 1, 1});
  EXPECT_EQ(gives(), (std::vector<Give>{{3, {job + 1, 0, 1, 1}}}));
}

TEST_F(Dealer, pools_do_not_mix) {
  dealer_.add_worker(pool, 1);
  dealer_.add_worker(pool + 1, 2);
  dealer_.add_run(pool + 1, Tasks{job, 0, 3, 1});
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 0, 1, 1}}}));
  dealer_.remove_worker(2, 0);
  EXPECT_TRUE(gives().empty());
}

// --- priority

TEST_F(Dealer, higher_priorities_are_dealt_first_and_equal_ones_in_order) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, of(0, 50));
  dealer_.actions().clear();
  for (const auto& [priority, id] : std::vector<std::pair<int, JobId>>{{0, 1}, {5, 2}, {1, 3}, {10, 4}, {5, 5}}) {
    dealer_.add_run(pool, of(priority, id));
  }
  const JobId order[] = {50, 4, 2, 5, 3, 1};
  for (std::size_t next = 0; next < 5; ++next) {
    EXPECT_TRUE(dealer_.actions().empty() || std::holds_alternative<Recall>(dealer_.actions().front()));
    dealer_.actions().clear();
    dealer_.recalled(1, next + 1);  // the shell finds all begun
    EXPECT_TRUE(gives().empty());
    ASSERT_TRUE(dealer_.finished(1, order[next], 0, 1, milliseconds(2)));
    const auto given = gives();
    ASSERT_EQ(given.size(), 1U);
    EXPECT_EQ(given[0].run.job, order[next + 1]);
  }
}

TEST_F(Dealer, takes_back_what_is_lower_and_not_begun) {
  dealer_.add_worker(pool, 1);
  measure(job, microseconds(1), 100);
  dealer_.add_run(pool, Tasks{job, 0, 60, 1});
  std::uint64_t given = 0;
  for (const Give& give : gives()) given += give.run.count;
  ASSERT_GT(given, 10U);
  dealer_.add_run(pool, of(3, 77, 2));
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  const std::uint64_t before = dealer_.last_given(1) - given;
  dealer_.recalled(1, before + 2);
  EXPECT_EQ(dealer_.last_given(1), before + 2);
  EXPECT_TRUE(gives().empty()) << "not behind the two it has begun";
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, microseconds(2)));
  const auto next = gives();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].run.job, 77U);
  EXPECT_EQ(next[0].run.count, 1U) << "nothing is known of these";
  EXPECT_EQ(dealer_.last_given(1), before + 3);
}

TEST_F(Dealer, takes_nothing_back_for_equals) {
  dealer_.add_worker(pool, 1);
  measure(job, microseconds(1), 100);
  dealer_.add_run(pool, Tasks{job, 0, 60, 1});
  EXPECT_FALSE(gives().empty());
  dealer_.add_run(pool, of(0, 77));
  dealer_.add_run(pool, of(-1, 78));
  for (const Give& give : gives()) EXPECT_NE(give.run.job, 78U);
}

TEST_F(Dealer, takes_nothing_back_where_a_worker_is_free) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 4, 4});
  EXPECT_EQ(gives().size(), 1U);
  dealer_.add_worker(pool, 2);
  dealer_.add_run(pool, of(9, 78));
  EXPECT_EQ(gives(), (std::vector<Give>{{2, of(9, 78)}}));
}

// --- recall

TEST_F(Dealer, what_is_taken_back_is_dealt_again_in_order) {
  dealer_.add_worker(pool, 1, 20);
  dealer_.add_run(pool, Tasks{job, 0, 8, 8});
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 0, 8, 8}}}));
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(1)));
  EXPECT_TRUE(gives().empty());
  dealer_.recalled(1, 4);
  EXPECT_EQ(dealer_.last_given(1), 4U);
  EXPECT_EQ(dealer_.busy(), 1);
  EXPECT_TRUE(gives().empty()) << "it has two that it has begun";
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 4, 4, 8}}}));
  EXPECT_TRUE(dealer_.finished(1, job, 2, 2, milliseconds(1)));
  EXPECT_EQ(dealer_.busy(), 1);
  dealer_.recalled(2, 0);
  EXPECT_EQ(gives().size(), 1U) << "to one of the two that are free";
  EXPECT_EQ(dealer_.busy(), 1);
}

TEST_F(Dealer, a_worker_that_had_its_share_gets_what_was_taken_back) {
  dealer_.add_worker(pool, 1, 2);
  dealer_.add_run(pool, Tasks{job, 0, 2, 2});
  EXPECT_EQ(gives().size(), 1U);
  dealer_.recalled(1, 0);
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 0, 2, 2}}}));
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(1)));
  ASSERT_EQ(dealer_.actions().size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Retire>(dealer_.actions().front()));
}

TEST_F(Dealer, finds_a_task_and_drops_it) {
  dealer_.add_worker(pool, 1);
  for (JobId id = 1; id <= 3; ++id) dealer_.add_run(pool, of(0, id));
  EXPECT_EQ(gives(), (std::vector<Give>{{1, of(0, 1)}}));
  EXPECT_EQ(dealer_.find(pool, 1), (RankDealer::Place{1, 1}));
  EXPECT_EQ(dealer_.find(pool, 2), (RankDealer::Place{0, 0}));
  EXPECT_EQ(dealer_.find(pool, 4), std::nullopt);
  EXPECT_EQ(dealer_.find(pool + 1, 1), std::nullopt);
  EXPECT_EQ(dealer_.job_of(1, 1), std::optional<JobId>(1));
  EXPECT_EQ(dealer_.job_of(1, 2), std::nullopt);
  dealer_.forget_job(2);
  EXPECT_EQ(dealer_.find(pool, 2), std::nullopt);
  dealer_.recalled(1, 0, 1);
  EXPECT_EQ(gives(), (std::vector<Give>{{1, of(0, 3)}}));
  EXPECT_EQ(dealer_.find(pool, 1), std::nullopt);
  EXPECT_EQ(dealer_.find(pool, 3), (RankDealer::Place{1, 1}));
  dealer_.recalled(1, 1, 3);
  EXPECT_EQ(dealer_.find(pool, 3), (RankDealer::Place{1, 1})) << "it has begun";
}

TEST_F(Dealer, nothing_is_given_between_recall_and_answer) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 4, 4});
  EXPECT_EQ(gives().size(), 1U);
  dealer_.forget_job(job);
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  dealer_.add_run(pool, of(0, 77));
  EXPECT_TRUE(gives().empty());
  dealer_.recalled(1, 1);
  EXPECT_TRUE(gives().empty());
  EXPECT_TRUE(dealer_.finished(1, job, 0, 1, milliseconds(2)));
  EXPECT_EQ(gives(), (std::vector<Give>{{1, of(0, 77)}}));
}

// --- blame

TEST_F(Dealer, the_task_begun_last_is_to_blame) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 8, 8});
  EXPECT_EQ(gives().size(), 1U);
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(1)));
  dealer_.remove_worker(1, 5);
  ASSERT_EQ(dealer_.actions().size(), 1U);
  EXPECT_EQ(std::get<TaskDied>(dealer_.actions().front()).task, 4U);
  dealer_.actions().clear();
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 2, 2, 8}}}));
  EXPECT_TRUE(dealer_.finished(2, job, 2, 2, milliseconds(1)));
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 5, 3, 8}}}));
}

TEST_F(Dealer, an_innocent_task_is_dealt_again) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 2, 2});
  EXPECT_EQ(gives().size(), 1U);
  dealer_.remove_worker(1, 1, false);
  EXPECT_TRUE(gives().empty());
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 0, 2, 2}}}));
}

}  // namespace
}  // namespace rankpool::scheduler
