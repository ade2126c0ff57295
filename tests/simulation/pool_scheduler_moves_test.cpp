// Tasks that wait where others do not, and what comes back from a rank.
#include "scheduler_fixture.hpp"

namespace rankpool::scheduler {
namespace {

class Stuck : public Scheduler {
 protected:
  // Rank 1 has nothing to do, and rank 0 has five tasks for its worker.
  Stuck() {
    scheduler_.open_pool(pool, {1, 1});
    submit(job, 10, {5, 0});
    EXPECT_EQ(sent_tasks(), (Sent{{0, 5}, {1, 5}}));
    EXPECT_TRUE(scheduler_.finished(1, job, 5, 5, milliseconds(1)));
    EXPECT_TRUE(scheduler_.uneven());
    scheduler_.rebalance();
    EXPECT_TRUE(scheduler_.actions().empty()) << "they may end at once";
  }
  std::uint64_t asked() {
    scheduler_.rebalance();
    const std::vector<AskBack> questions = take<AskBack>();
    EXPECT_LE(questions.size(), 1U);
    if (questions.empty()) return 0;
    EXPECT_EQ(questions[0].rank, 0);
    EXPECT_EQ(questions[0].pool, pool);
    return questions[0].count;
  }
};

TEST_F(Stuck, what_waits_goes_to_who_is_idle) {
  EXPECT_EQ(asked(), 2U);
  EXPECT_EQ(asked(), 0U) << "it has not answered";
  EXPECT_FALSE(scheduler_.uneven());
  const std::vector<Tasks> back{{job, 1, 2}};
  EXPECT_EQ(scheduler_.returned(0, pool, back).size(), 1U);
  std::uint64_t sent = sent_tasks()[1];
  EXPECT_GE(sent, 1U);
  EXPECT_EQ(sent_tasks()[0], 0U) << "not back to where it waited";
  EXPECT_TRUE(scheduler_.finished(1, job, 1, 1, milliseconds(1)));
  sent += sent_tasks()[1];
  EXPECT_EQ(sent, 2U);
  EXPECT_TRUE(scheduler_.finished(1, job, 2, 1, milliseconds(1)));
  scheduler_.rebalance();
  EXPECT_EQ(asked(), 1U) << "once more";
}

TEST_F(Stuck, who_had_nothing_is_not_asked_again_until_something_happens) {
  EXPECT_EQ(asked(), 2U);
  EXPECT_TRUE(scheduler_.returned(0, pool, {}).empty());
  EXPECT_EQ(asked(), 0U);
  EXPECT_FALSE(scheduler_.uneven());
  EXPECT_TRUE(scheduler_.finished(0, job, 0, 1, milliseconds(1)));
  EXPECT_TRUE(scheduler_.uneven());
  EXPECT_EQ(asked(), 1U);
}

TEST_F(Stuck, only_what_is_under_way_there_can_be_returned) {
  EXPECT_EQ(asked(), 2U);
  submit(job + 1, 2, {1, 0});
  EXPECT_EQ(sent_tasks()[1], 1U);
  const std::vector<Tasks> back{{job, 4, 2}, {job, 5, 1}, {job + 7, 0, 1}, {job + 1, 0, 1}};
  EXPECT_TRUE(scheduler_.returned(0, pool, back).empty());
  EXPECT_TRUE(scheduler_.returned(7, pool, {{job, 1, 1}}).empty());
  EXPECT_TRUE(scheduler_.returned(0, pool + 1, {{job, 1, 1}}).empty());
  scheduler_.cancel(job);
  EXPECT_TRUE(scheduler_.returned(0, pool, {{job, 1, 2}}).empty());
}

TEST_F(Stuck, a_rank_that_goes_on_is_left_alone) {
  for (TaskIndex task = 0; task < 4; ++task) {
    EXPECT_TRUE(scheduler_.finished(0, job, task, 1, milliseconds(1)));
    submit(100 + task, 1);
    for (const SendRun& send : take<SendRun>()) {
      EXPECT_TRUE(scheduler_.finished(send.rank, send.run.job, 0, 1, milliseconds(1)));
    }
  }
  EXPECT_EQ(asked(), 0U);
  EXPECT_FALSE(scheduler_.uneven());
}

TEST_F(Stuck, a_question_about_a_returned_task_finds_it) {
  submit(job + 1, 1);
  submit(job + 2, 1);
  std::map<JobId, int> where;
  for (const SendRun& send : take<SendRun>()) where[send.run.job] = send.rank;
  for (const auto& [id, rank] : where) EXPECT_EQ(scheduler_.rank_of(id), rank);
  EXPECT_EQ(scheduler_.returned(where.at(job + 1), pool, {{job + 1, 0, 1}}).size(), 1U);
  std::optional<int> now;
  for (const SendRun& send : take<SendRun>()) now = send.rank;
  EXPECT_EQ(scheduler_.rank_of(job + 1), now);
}

TEST_F(Scheduler, a_pool_on_hold_sends_nothing_more) {
  scheduler_.open_pool(pool, {1, 1});
  submit(job, 40, {2, 0});
  const auto sent = take<SendRun>();
  ASSERT_GE(sent.size(), 2U);
  EXPECT_GT(scheduler_.under_way(pool), 0U);
  scheduler_.hold_pool(pool);
  const auto asked = take<AskBack>();
  ASSERT_EQ(asked.size(), 2U);
  for (const AskBack& ask : asked) EXPECT_EQ(ask.count, everything);
  // one task of each rank was begun and ends; the rest comes back
  std::uint64_t returned = 0;
  for (int rank = 0; rank < 2; ++rank) {
    std::vector<Tasks> back;
    std::optional<TaskIndex> begun;
    for (const SendRun& send : sent) {
      if (send.rank != rank) continue;
      Tasks rest = send.run;
      if (!begun) {
        begun = rest.first++;
        --rest.count;
      }
      if (rest.count > 0) back.push_back(rest);
    }
    for (const Tasks& run : scheduler_.returned(rank, pool, back)) returned += run.count;
    EXPECT_TRUE(scheduler_.finished(rank, job, begun.value(), 1, milliseconds(1)));
  }
  EXPECT_GT(returned, 0U);
  EXPECT_EQ(scheduler_.under_way(pool), 0U);
  submit(job + 1, 3);
  scheduler_.rebalance();
  EXPECT_TRUE(scheduler_.actions().empty());
  scheduler_.close_pool(pool);
  scheduler_.cancel(job);
  scheduler_.cancel(job + 1);
  EXPECT_EQ(take<EndPool>().size(), 1U);
  EXPECT_EQ(scheduler_.under_way(pool), 0U);
}

}  // namespace
}  // namespace rankpool::scheduler
