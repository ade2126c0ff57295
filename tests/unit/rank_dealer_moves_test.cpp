// Tasks that leave the worker or the rank to which they were dealt.
#include "dealer_fixture.hpp"

namespace rankpool::scheduler {
namespace {

TEST_F(Dealer, what_lies_behind_a_task_goes_to_who_is_free) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 10, 10});
  EXPECT_FALSE(dealer_.uneven());
  dealer_.add_worker(pool, 2);
  EXPECT_EQ(gives().size(), 1U);
  EXPECT_TRUE(dealer_.uneven());
  dealer_.rebalance();
  EXPECT_TRUE(dealer_.actions().empty()) << "it may end at once";
  dealer_.rebalance();
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  dealer_.recalled(1, 1);
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 1, 9, 10}}}));
  EXPECT_EQ(dealer_.busy(), 2);
  EXPECT_FALSE(dealer_.uneven() && (dealer_.rebalance(), dealer_.uneven())) << "nobody is free";
  dealer_.add_worker(pool, 3);
  EXPECT_TRUE(dealer_.uneven());
}

TEST_F(Dealer, nothing_is_recalled_from_who_goes_on) {
  dealer_.add_worker(pool, 1);
  dealer_.add_worker(pool, 2);
  for (TaskIndex task = 0; task < 30; task += 3) {
    dealer_.add_run(pool, Tasks{job, task, 3, 3});
    const std::vector<Give> given = gives();
    ASSERT_EQ(given.size(), 1U);
    const WorkerId worker = given.front().worker;
    EXPECT_TRUE(dealer_.uneven());
    dealer_.rebalance();
    EXPECT_TRUE(dealer_.finished(worker, job, task, 2, microseconds(1)));
    dealer_.rebalance();
    EXPECT_TRUE(dealer_.finished(worker, job, task + 2, 1, microseconds(1)));
    EXPECT_FALSE(dealer_.uneven());
  }
  EXPECT_TRUE(dealer_.actions().empty());
}

TEST_F(Dealer, a_worker_that_has_begun_all_is_left_alone) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 2, 2});
  dealer_.add_worker(pool, 2);
  gives();
  dealer_.rebalance();
  dealer_.rebalance();
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  dealer_.recalled(1, 2);  // its report of the first is on the way
  dealer_.rebalance();
  EXPECT_FALSE(dealer_.uneven());
  EXPECT_TRUE(dealer_.actions().empty());
}

TEST_F(Dealer, however_many_wait_the_last_task_is_begun) {
  constexpr WorkerId workers = 6;
  dealer_.add_worker(pool, 1);
  measure(job, Nanoseconds(10), 100);
  for (WorkerId worker = 2; worker <= workers; ++worker) dealer_.add_worker(pool, worker);
  dealer_.add_run(pool, Tasks{job, 0, 1'000, 1});
  std::map<WorkerId, std::uint64_t> waits_at;  // what the worker has begun in its life when it waits
  std::map<WorkerId, std::uint64_t> before;
  before[1] = 200;
  std::uint64_t rounds = 0;
  bool last_begun = false;
  std::map<WorkerId, std::vector<TaskIndex>> inside;
  const auto act = [&] {
    for (std::size_t next = 0; next < dealer_.actions().size(); ++next) {
      const DealerAction action = dealer_.actions()[next];
      if (const auto* give = std::get_if<Give>(&action)) {
        for (std::uint64_t i = 0; i < give->run.count; ++i) inside[give->worker].push_back(give->run.first + i);
      } else {
        const WorkerId worker = std::get<Recall>(action).worker;
        const std::uint64_t begun = waits_at.contains(worker) ? 1 : 0;
        inside[worker].resize(begun);
        dealer_.recalled(worker, before[worker] + begun);
      }
    }
    dealer_.actions().clear();
  };
  act();
  // Whatever comes first in five of them waits; the sixth works.
  for (; !last_begun && rounds < 10'000; ++rounds) {
    for (auto& [worker, tasks] : inside) {
      if (tasks.empty() || waits_at.contains(worker)) continue;
      last_begun = last_begun || tasks.front() == 999;
      if (waits_at.size() < workers - 1) {
        waits_at[worker] = before[worker] + 1;
        continue;
      }
      ASSERT_TRUE(dealer_.finished(worker, job, tasks.front(), 1, Nanoseconds(10)));
      ++before[worker];
      tasks.erase(tasks.begin());
      act();
      break;
    }
    dealer_.rebalance();
    act();
  }
  EXPECT_TRUE(last_begun);
  EXPECT_LT(rounds, 1'200U);
}

// --- tasks that are given back

TEST_F(Dealer, gives_back_from_the_queue_first) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 10, 2});
  gives();
  dealer_.prepare_give_back(pool, 3);
  EXPECT_TRUE(dealer_.actions().empty());
  EXPECT_EQ(dealer_.give_back(pool, 3), (std::vector<Tasks>{{job, 2, 3, 2}}));
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(2)));
  EXPECT_EQ(gives(), (std::vector<Give>{{1, {job, 5, 2, 2}}}));
}

TEST_F(Dealer, gives_back_what_a_worker_has_not_begun) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 5, 5});
  dealer_.add_run(pool, Tasks{job, 5, 2, 2});
  gives();
  dealer_.prepare_give_back(pool, 100);
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  dealer_.recalled(1, 2);
  EXPECT_TRUE(gives().empty());
  EXPECT_EQ(dealer_.give_back(pool, 100), (std::vector<Tasks>{{job, 2, 3, 5}, {job, 5, 2, 2}}));
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(1)));
  EXPECT_TRUE(gives().empty());
  EXPECT_EQ(dealer_.busy(), 0);
}

TEST_F(Dealer, keeps_what_somebody_here_can_begin) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 5, 5});
  dealer_.add_worker(pool, 2);
  gives();
  dealer_.prepare_give_back(pool, 5);
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  dealer_.recalled(1, 1);
  EXPECT_EQ(dealer_.give_back(pool, 2), (std::vector<Tasks>{{job, 2, 2, 5}}));
  const std::vector<Give> given = gives();
  ASSERT_EQ(given.size(), 1U);
  EXPECT_EQ(given[0], (Give{2, {job, 1, 1, 5}}));
  EXPECT_TRUE(dealer_.finished(2, job, 1, 1, milliseconds(2)));
  EXPECT_EQ(gives(), (std::vector<Give>{{2, {job, 4, 1, 5}}}));
}

TEST_F(Dealer, gives_everything_back_if_that_is_asked) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 1, 1});
  dealer_.add_worker(pool, 2);
  dealer_.add_run(pool, Tasks{job, 1, 5, 5});
  gives();
  dealer_.prepare_give_back(pool, everything);
  EXPECT_EQ(recalls(), (std::vector<WorkerId>{1, 2})) << "also where it is the first task";
  dealer_.recalled(1, 0);
  dealer_.recalled(2, 1);
  EXPECT_EQ(dealer_.give_back(pool, everything), (std::vector<Tasks>{{job, 2, 4, 5}, {job, 0, 1, 1}}));
  EXPECT_TRUE(gives().empty());
}

TEST_F(Dealer, deals_nothing_once_it_was_stopped) {
  dealer_.add_worker(pool, 1);
  dealer_.add_worker(pool, 2);
  dealer_.add_run(pool, Tasks{job, 0, 5, 5});
  gives();
  dealer_.stop();
  EXPECT_EQ(recalls(), std::vector<WorkerId>{1});
  dealer_.recalled(1, 2);
  EXPECT_EQ(dealer_.job_of(1, 2), job);
  EXPECT_TRUE(dealer_.finished(1, job, 0, 2, milliseconds(2)));
  EXPECT_EQ(dealer_.job_of(1, 2), std::nullopt);
  dealer_.add_run(pool, Tasks{job, 5, 1, 1});
  dealer_.add_worker(pool, 3);
  EXPECT_TRUE(gives().empty());
  EXPECT_EQ(dealer_.busy(), 0);
}

TEST_F(Dealer, gives_back_the_higher_priorities_first) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, of(5, 1));
  dealer_.add_run(pool, of(0, 2));
  dealer_.add_run(pool, of(3, 3, 2));
  gives();
  dealer_.prepare_give_back(pool, 3);
  const std::vector<Tasks> back = dealer_.give_back(pool, 3);
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].job, 3U);
  EXPECT_EQ(back[0].count, 2U);
  EXPECT_EQ(back[1].job, 2U);
}

TEST_F(Dealer, keeps_what_nobody_else_knows) {
  dealer_.add_worker(pool, 1);
  dealer_.add_run(pool, Tasks{job, 0, 1, 1});
  dealer_.add_run(pool, Tasks{job, 1, 4, 1}, true);
  gives();
  dealer_.prepare_give_back(pool, 9);
  EXPECT_TRUE(dealer_.give_back(pool, 9).empty());
  dealer_.prepare_give_back(pool + 1, 9);
  EXPECT_TRUE(dealer_.give_back(pool + 1, 9).empty());
}

}  // namespace
}  // namespace rankpool::scheduler
