// How long jobs take on a virtual cluster, against the ideal of work / workers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>
#include <random>

#include "virtual_cluster.hpp"

namespace rankpool::simulation {
namespace {

constexpr std::int64_t microsecond = 1'000;
constexpr std::int64_t millisecond = 1'000'000;

const ClusterOptions two_workers{.workers = {1, 1}};
const ClusterOptions twelve_workers{.workers = {0, 4, 4, 4}};

// One job, run to its end.
std::unique_ptr<VirtualCluster> run(const ClusterOptions& options, std::uint64_t tasks, std::uint64_t chunksize,
                                    const std::function<std::int64_t(TaskIndex)>& duration,
                                    std::uint64_t block = ~std::uint64_t{0}) {
  auto cluster =
      std::make_unique<VirtualCluster>(options, [duration](JobId, TaskIndex task) { return duration(task); });
  cluster->scheduler().submit(1, 1, {chunksize, 0});
  for (std::uint64_t left = tasks; left > 0; left -= std::min(left, block)) {
    cluster->scheduler().add_items(1, std::min(left, block));
  }
  cluster->scheduler().end_items(1);
  cluster->run();
  EXPECT_EQ(cluster->finished(), tasks);
  EXPECT_EQ(cluster->jobs_ended(), 1U);
  return cluster;
}

// Jobs of one task each, run to their end.
void run_single_tasks(VirtualCluster& cluster, JobId jobs) {
  for (JobId job = 1; job <= jobs; ++job) {
    cluster.scheduler().submit(job, 1, {});
    cluster.scheduler().add_items(job, 1);
    cluster.scheduler().end_items(job);
  }
  cluster.run();
  EXPECT_EQ(cluster.jobs_ended(), jobs);
}

TEST(Makespan, skewed_tasks_leave_no_worker_idle) {
  double sum = 0;
  double worst = 0;
  constexpr int seeds = 100;
  for (int seed = 0; seed < seeds; ++seed) {
    std::mt19937_64 random(static_cast<std::uint64_t>(seed));
    std::lognormal_distribution<double> length(std::log(2.0 * millisecond) - 0.5, 1.0);
    std::vector<std::int64_t> lengths(400);
    for (std::int64_t& task : lengths) task = static_cast<std::int64_t>(std::min(25.0 * millisecond, length(random)));
    const double ratio = run(two_workers, 400, 1, [&](TaskIndex task) { return lengths[task]; })->ratio();
    sum += ratio;
    worst = std::max(worst, ratio);
  }
  std::cout << "400 lognormal tasks on 2 ranks: makespan / ideal " << sum / seeds << ", worst of 100 " << worst << '\n';
  EXPECT_LE(sum / seeds, 1.015);
  EXPECT_LE(worst, 1.03);
}

TEST(Makespan, short_tasks_do_not_wait_for_messages) {
  for (const ClusterOptions& options : {two_workers, twelve_workers}) {
    for (const std::uint64_t chunksize : {0U, 1U}) {
      const auto cluster = run(options, 1'000'000, chunksize, [](TaskIndex) { return 100; });
      EXPECT_LE(cluster->ratio(), 1.05) << chunksize;
      EXPECT_LE(cluster->runs_sent(), 2'000U) << chunksize;
      EXPECT_LE(cluster->gives(), 10'000U) << chunksize;
    }
  }
}

TEST(Makespan, tasks_of_every_length) {
  for (const ClusterOptions& options : {two_workers, twelve_workers}) {
    for (const std::uint64_t chunksize : {0U, 1U}) {
      for (const std::int64_t length : {microsecond, 10 * microsecond, 100 * microsecond, millisecond}) {
        const auto tasks = static_cast<std::uint64_t>(300 * millisecond / length);
        const auto cluster = run(options, tasks, chunksize, [length](TaskIndex) { return length; });
        EXPECT_LE(cluster->ratio(), 1.05) << length << " ns, chunksize " << chunksize;
      }
    }
  }
}

TEST(Makespan, tasks_that_grow_and_shrink) {
  const auto growing = [](TaskIndex task) { return 10 + 20 * static_cast<std::int64_t>(task); };
  const auto shrinking = [](TaskIndex task) { return 10 + 20 * static_cast<std::int64_t>(10'000 - task); };
  for (const ClusterOptions& options : {two_workers, twelve_workers}) {
    for (const std::uint64_t chunksize : {0U, 1U}) {
      EXPECT_LE(run(options, 10'000, chunksize, growing)->ratio(), 1.03) << chunksize;
      EXPECT_LE(run(options, 10'000, chunksize, shrinking)->ratio(), 1.03) << chunksize;
    }
  }
}

TEST(Makespan, a_few_long_tasks_among_many_short_ones) {
  const auto length = [](TaskIndex task) { return task * 7919 % 100 == 5 ? 10 * millisecond : microsecond; };
  EXPECT_LE(run(two_workers, 10'000, 1, length)->ratio(), 1.15);
  EXPECT_LE(run(twelve_workers, 10'000, 0, length)->ratio(), 1.25);
}

TEST(Makespan, a_slow_first_task_does_not_stop_the_short_ones) {
  const auto cluster = run(two_workers, 1'000'000, 1, [](TaskIndex task) { return task < 2 ? 10 * millisecond : 100; });
  EXPECT_LE(cluster->ratio(), 1.2);
}

TEST(Makespan, short_tasks_do_not_wait_for_a_long_one) {
  constexpr std::int64_t second = 1'000 * millisecond;
  for (const ClusterOptions& options : {two_workers, twelve_workers, ClusterOptions{.workers = {4}}}) {
    const std::int64_t workers = std::accumulate(options.workers.begin(), options.workers.end(), 0);
    for (const std::uint64_t chunksize : {0U, 1U, 1'000U}) {
      // wherever it is: first of all, in the middle, and when all that is left has been sent
      for (const TaskIndex long_one : {0U, 15'000U, 29'000U, 29'990U}) {
        const auto cluster = run(options, 30'000, chunksize,
                                 [long_one](TaskIndex task) { return task == long_one ? second : 10 * microsecond; });
        EXPECT_LE(cluster->makespan(), second + 400 * millisecond / workers);
        EXPECT_LE(cluster->shorts_end(), 400 * millisecond / (workers - 1) + 60 * millisecond)
            << chunksize << ", " << long_one;
      }
    }
  }
}

// As if the long ones waited for what all others do: one worker is enough for these, wherever they have been sent.
TEST(Makespan, one_worker_that_does_not_wait_is_enough) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    ClusterOptions options{.workers = {}};
    for (std::uint64_t rank = 0; rank <= random() % 4; ++rank)
      options.workers.push_back(static_cast<int>(random() % 5));
    options.workers.push_back(1);
    const int workers = std::accumulate(options.workers.begin(), options.workers.end(), 0);
    constexpr std::uint64_t tasks = 3'000;
    std::vector<std::int64_t> lengths(tasks, 1 + static_cast<std::int64_t>(random() % 20) * microsecond);
    for (int waiting = 1; waiting < workers; ++waiting)
      lengths[random() % (seed % 2 == 0 ? 30 : tasks)] = 10'000 * millisecond;
    const std::uint64_t chunksize = seed % 3 == 0 ? 0 : 1 + random() % 500;
    const auto cluster = run(options, tasks, chunksize, [&lengths](TaskIndex task) { return lengths[task]; });
    EXPECT_LE(cluster->shorts_end(), 1'000 * millisecond) << seed;
  }
}

TEST(Makespan, what_was_believed_to_be_short) {
  for (const ClusterOptions& options : {two_workers, twelve_workers}) {
    VirtualCluster cluster(options, [](JobId job, TaskIndex) { return job <= 5'000 ? microsecond : 5 * millisecond; });
    constexpr JobId jobs = 6'000;
    run_single_tasks(cluster, jobs);
    EXPECT_LE(cluster.ratio(), 1.05);
  }
}

TEST(Makespan, nothing_is_given_back_where_tasks_are_alike) {
  for (const ClusterOptions& options : {two_workers, twelve_workers}) {
    for (const std::int64_t length : {microsecond, 100 * microsecond}) {
      const auto cluster = run(options, 100'000, 1, [length](TaskIndex) { return length; });
      EXPECT_EQ(cluster->returned(), 0U) << length;
    }
  }
}

TEST(Makespan, blocks_of_one_item) {
  EXPECT_LE(run(
                twelve_workers, 20'000, 0, [](TaskIndex) { return microsecond; }, 1)
                ->ratio(),
            1.3);
}

TEST(Makespan, jobs_of_one_task) {
  for (const std::int64_t length : {microsecond, 100 * microsecond, 5 * millisecond}) {
    VirtualCluster cluster(twelve_workers, [length](JobId, TaskIndex) { return length; });
    constexpr JobId jobs = 5'000;
    run_single_tasks(cluster, jobs);
    EXPECT_LE(cluster.ratio(), length > microsecond ? 1.02 : 1.6) << length;
  }
}

TEST(Makespan, a_hundred_thousand_slots) {
  ClusterOptions options{.workers = std::vector<int>(1001, 100)};
  options.workers[0] = 0;
  constexpr std::uint64_t tasks = 400'000;
  const auto cluster = run(options, tasks, 1, [](TaskIndex task) {
    return 50 * millisecond + static_cast<std::int64_t>(task * 7919 % 1000) * 20 * microsecond;
  });
  std::cout << "1000 ranks x 100 workers, " << tasks << " tasks: makespan / ideal " << cluster->ratio() << ", "
            << cluster->runs_sent() << " runs\n";
  EXPECT_LE(cluster->ratio(), 1.25);
  EXPECT_LE(cluster->runs_sent(), tasks * 6 / 10);
}

}  // namespace
}  // namespace rankpool::simulation
