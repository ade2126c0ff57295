// What the state machines cost: figures are printed, and only gross failures are errors.
#include <gtest/gtest.h>

#include <time.h>

#include <algorithm>
#include <deque>
#include <iostream>

#include "scheduler/pool_scheduler.hpp"
#include "scheduler/rank_dealer.hpp"

namespace rankpool::scheduler {
namespace {

using Tasks = Run;  // testing::Test has a Run of its own

// Of this thread, so that a busy machine does not spoil the figures.
double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

struct Load {
  std::uint64_t tasks;
  std::uint64_t part;  // tasks in a report
  std::int64_t each;   // ns a task takes, as reported
  std::vector<int> workers;
};

// Ranks that report in the order in which they were sent runs.
double cost_per_task(const Load& load) {
  PoolScheduler scheduler;
  scheduler.open_pool(1, load.workers);
  const double start = cpu_ns();
  scheduler.submit(1, 1, {1, 0});
  scheduler.add_items(1, load.tasks);
  scheduler.end_items(1);
  std::deque<SendRun> under_way;
  std::uint64_t done = 0;
  for (;;) {
    for (const Action& action : scheduler.actions()) {
      if (const auto* send = std::get_if<SendRun>(&action)) under_way.push_back(*send);
    }
    scheduler.actions().clear();
    if (under_way.empty()) break;
    SendRun& send = under_way.front();
    const std::uint64_t count = std::min(load.part, send.run.count);
    const Nanoseconds work(load.each * static_cast<std::int64_t>(count));
    if (!scheduler.finished(send.rank, 1, send.run.first, count, work)) break;
    done += count;
    send.run.first += count;
    send.run.count -= count;
    if (send.run.count == 0) under_way.pop_front();
  }
  EXPECT_EQ(done, load.tasks);
  return (cpu_ns() - start) / static_cast<double>(load.tasks);
}

TEST(Scale, scheduler_cost_of_short_tasks) {
  const double alone = cost_per_task({2'000'000, 1, 100, {1, 1, 1, 1}});
  const double batched = cost_per_task({10'000'000, 100, 100, {1, 1, 1, 1}});
  std::cout << "chunksize 1, no-op tasks: " << alone << " ns per task reported alone, " << batched
            << " ns per task in reports of 100\n";
  EXPECT_LT(alone, 3'000);
  EXPECT_LT(batched, 300);
}

TEST(Scale, scheduler_cost_with_a_hundred_thousand_slots) {
  const double cost = cost_per_task({2'000'000, 1, 50'000'000, std::vector<int>(1000, 100)});
  std::cout << "1000 ranks x 100 workers: " << cost << " ns per task reported alone\n";
  EXPECT_LT(cost, 10'000);
}

TEST(Scale, dealer_cost_of_short_tasks) {
  RankDealer dealer;
  for (WorkerId worker = 0; worker < 4; ++worker) dealer.add_worker(1, worker);
  constexpr std::uint64_t tasks = 2'000'000;
  const double start = cpu_ns();
  dealer.add_run(1, Tasks{1, 0, tasks, 1});
  std::deque<Give> given;
  std::uint64_t done = 0;
  for (;;) {
    for (const DealerAction& action : dealer.actions()) given.push_back(std::get<Give>(action));
    dealer.actions().clear();
    if (given.empty()) break;
    Give& give = given.front();
    ASSERT_TRUE(dealer.finished(give.worker, 1, give.run.first, 1, Nanoseconds(100)));
    ++done;
    ++give.run.first;
    if (--give.run.count == 0) given.pop_front();
  }
  EXPECT_EQ(done, tasks);
  const double cost = (cpu_ns() - start) / static_cast<double>(tasks);
  std::cout << "dealer: " << cost << " ns per task reported alone\n";
  EXPECT_LT(cost, 3'000);
}

TEST(Scale, a_hundred_thousand_jobs_of_one_task) {
  PoolScheduler scheduler;
  scheduler.open_pool(1, std::vector<int>(8, 4));
  constexpr JobId jobs = 100'000;
  double start = cpu_ns();
  for (JobId job = 1; job <= jobs; ++job) {
    scheduler.submit(job, 1, {});
    scheduler.add_items(job, 1);
    scheduler.end_items(job);
  }
  const double submitted = (cpu_ns() - start) / static_cast<double>(jobs);
  start = cpu_ns();
  std::uint64_t ended = 0;
  std::vector<Action> now;
  std::size_t next = 0;
  for (;;) {
    now.insert(now.end(), scheduler.actions().begin(), scheduler.actions().end());
    scheduler.actions().clear();
    if (next == now.size()) break;
    if (const auto* send = std::get_if<SendRun>(&now[next])) {
      EXPECT_TRUE(scheduler.finished(send->rank, send->run.job, 0, 1, Nanoseconds(1'000)));
    } else {
      ++ended;
    }
    ++next;
  }
  const double served = (cpu_ns() - start) / static_cast<double>(jobs);
  EXPECT_EQ(ended, jobs);
  std::cout << "jobs of one task, 100 000 at once: " << submitted << " ns to submit, " << served << " ns to serve\n";
  EXPECT_LT(submitted + served, 50'000);
}

TEST(Scale, a_hundred_thousand_waiting_jobs_can_be_cancelled) {
  PoolScheduler scheduler;
  scheduler.open_pool(1, std::vector<int>(1000, 4));
  constexpr JobId jobs = 100'000;
  for (JobId job = 1; job <= jobs; ++job) {
    scheduler.submit(job, 1, {});
    scheduler.add_items(job, 1);
    scheduler.end_items(job);
  }
  const double start = cpu_ns();
  for (JobId job = 0; job < jobs; ++job) scheduler.cancel(1 + job * 7919 % jobs);
  const double cost = (cpu_ns() - start) / static_cast<double>(jobs);
  std::cout << "cancel in any order: " << cost << " ns per job\n";
  scheduler.actions().clear();
  scheduler.close_pool(1);
  EXPECT_EQ(scheduler.actions().size(), 1U);
  EXPECT_LT(cost, 100'000);
}

}  // namespace
}  // namespace rankpool::scheduler
