// Pool::insights: the numbers against what was really done.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <numeric>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/scratch.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

std::vector<int> count_to(int n) {
  std::vector<int> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}
int nap(int) {
  std::this_thread::sleep_for(2ms);
  return 1;
}
void expect_sums(const rp::Insights& seen) {
  EXPECT_EQ(seen.submitted, seen.done + seen.failed + seen.cancelled + seen.waiting + seen.running) << seen;
  int workers = 0;
  std::uint64_t tasks = 0;
  auto working = 0ns;
  for (const rp::RankInsights& rank : seen.ranks) {
    workers += rank.workers;
    tasks += rank.tasks;
    working += rank.working;
    EXPECT_FALSE(rank.host.empty());
  }
  EXPECT_EQ(workers, seen.workers);
  EXPECT_LE(tasks, seen.done + seen.failed);
  EXPECT_EQ(working, seen.working);
  EXPECT_GE(seen.longest, seen.mean);
}

}  // namespace

TEST(Insights, of_a_new_pool) {
  rp::Pool pool(3);
  const rp::Insights seen = pool.insights();
  EXPECT_EQ(seen.submitted, 0u);
  EXPECT_EQ(seen.workers, 3);
  EXPECT_LE(seen.workers_started, 3u);
  EXPECT_EQ(seen.working, 0ns);
  EXPECT_EQ(seen.mean, 0ns);
  EXPECT_EQ(seen.utilisation, 0.0);
  EXPECT_GT(seen.elapsed, 0ns);
  expect_sums(seen);
}

TEST(Insights, of_a_map) {
  rp::Pool pool;
  pool.map(nap, std::vector<int>(60));
  const rp::Insights seen = pool.insights();
  EXPECT_EQ(seen.submitted, 60u);
  EXPECT_EQ(seen.done, 60u);
  EXPECT_EQ(seen.failed + seen.lost + seen.retried + seen.waiting + seen.running + seen.cancelled, 0u) << seen;
  EXPECT_EQ(seen.workers, pool.processes());
  EXPECT_GE(seen.workers_started, 1u);
  EXPECT_LE(seen.workers_started, static_cast<std::uint64_t>(pool.processes()));
  EXPECT_GE(seen.working, 120ms);
  EXPECT_GE(seen.mean, 2ms);
  EXPECT_GT(seen.utilisation, 0.0);
  EXPECT_LE(seen.utilisation, 1.05);
  const auto tasks = std::accumulate(seen.ranks.begin(), seen.ranks.end(), std::uint64_t{0},
                                     [](std::uint64_t sum, const auto& rank) { return sum + rank.tasks; });
  EXPECT_EQ(tasks, 60u);
  std::set<int> ranks;
  for (const auto& rank : seen.ranks) ranks.insert(rank.rank);
  EXPECT_EQ(ranks.size(), seen.ranks.size());
  EXPECT_LT(*ranks.rbegin(), rp::rank_count());
  expect_sums(seen);
  pool.map(nap, std::vector<int>(40));
  EXPECT_EQ(pool.insights().done, 100u);
}

TEST(Insights, count_errors_losses_and_retries) {
  support::Scratch scratch;
  rp::Pool pool(rp::PoolOptions{.processes = 3, .retries = 2});
  // of 30 tasks: 5 throw, 3 die each time, 4 die once
  const auto work = [](const std::string& folder, int i) {
    if (i % 6 == 1) throw std::domain_error("on purpose");
    if (i % 10 == 0) support::die(support::Death::kill);
    if (i % 10 == 4 || i == 29) {
      const std::string mark = folder + "/" + std::to_string(i);
      if (!support::exists(mark)) {
        support::add_line(mark, "once");
        support::die(support::Death::underscore_exit);
      }
    }
    return i;
  };
  const std::string folder = scratch.file("");
  EXPECT_ANY_THROW(pool.map(rp::partial(work, folder), count_to(30), {.chunksize = 2}));
  const rp::Insights seen = pool.insights(20s);
  EXPECT_EQ(seen.submitted, 30u) << seen;
  EXPECT_EQ(seen.failed, 8u) << seen;
  EXPECT_EQ(seen.done, 22u) << seen;
  EXPECT_EQ(seen.lost, 3u * 3 + 4) << seen;
  EXPECT_EQ(seen.retried, 3u * 2 + 4) << seen;
  EXPECT_EQ(seen.waiting + seen.running + seen.cancelled, 0u) << seen;
  expect_sums(seen);
  EXPECT_TRUE(support::eventually([&] { return pool.insights().workers_started == 3u + seen.lost; }))
      << pool.insights();
}

TEST(Insights, count_what_waits_and_what_runs) {
  support::Scratch scratch;
  const std::string go = scratch.file("go");
  rp::Pool pool(2);
  auto first = pool.map_async(rp::partial([](const std::string& file, int) { support::wait_for_file(file); }, go),
                              count_to(20), {.chunksize = 1});
  EXPECT_TRUE(support::eventually([&] { return pool.insights().running == 2; }));
  const rp::Insights seen = pool.insights();
  EXPECT_EQ(seen.submitted, 20u);
  EXPECT_EQ(seen.waiting, 18u);
  EXPECT_EQ(seen.done, 0u);
  expect_sums(seen);
  support::add_line(go, "");
  first.get();
  EXPECT_EQ(pool.insights().done, 20u);
  EXPECT_EQ(pool.insights().running, 0u);
}

TEST(Insights, count_replacements) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .max_tasks_per_child = 2});
  pool.map(nap, count_to(12), {.chunksize = 1});
  EXPECT_TRUE(support::eventually([&] { return pool.insights().workers_started >= 6; })) << pool.insights();
  EXPECT_EQ(pool.insights().lost, 0u);
}

TEST(Insights, are_kept_when_the_pool_has_ended) {
  rp::Pool pool(2);
  pool.map(nap, count_to(10));
  pool.close();
  EXPECT_EQ(pool.insights().done, 10u);
  pool.join();
  const rp::Insights last = pool.insights();
  EXPECT_EQ(last.done, 10u);
  EXPECT_EQ(last.workers_started, 2u);
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(pool.insights().elapsed, last.elapsed);
  EXPECT_EQ(pool.insights(0s).done, 10u);
}

TEST(Insights, of_a_terminated_pool) {
  rp::Pool pool(2);
  pool.map(nap, count_to(5));
  auto never = pool.map_async(support::sleep_for_ever, count_to(7));
  pool.terminate();
  EXPECT_THROW(never.get(), rp::CancelledError);
  EXPECT_EQ(pool.insights().cancelled, 7u);
  pool.join();
  const rp::Insights last = pool.insights();
  EXPECT_EQ(last.submitted, 12u);
  EXPECT_EQ(last.done, 5u);
  EXPECT_EQ(last.cancelled, 7u);
  EXPECT_EQ(last.running + last.waiting, 0u);
  expect_sums(last);
}

TEST(Insights, give_up_in_time) {
  rp::Pool pool(1);
  pool.map(nap, count_to(2));
  try {
    EXPECT_EQ(pool.insights(-1s).done, 2u);
  } catch (const rp::TimeoutError&) {
  }
  EXPECT_EQ(pool.insights(20s).done, 2u);
}

TEST(Insights, of_a_pool_in_a_task) {
  const auto outer = [](int) {
    rp::Pool inner(2);
    inner.map(support::square, std::vector<long>(9));
    return inner.insights().done;
  };
  rp::Pool pool(2);
  EXPECT_EQ(pool.map(outer, count_to(2)), (std::vector<std::uint64_t>{9, 9}));
  EXPECT_EQ(pool.insights().done, 2u);
}

TEST(Insights, print_a_table) {
  rp::Pool pool(2);
  pool.map(nap, count_to(10));
  const rp::Insights seen = pool.insights();
  std::ostringstream out;
  out << seen;
  const std::string text = out.str();
  EXPECT_EQ(text, rp::to_string(seen));
  EXPECT_NE(text.find("10 submitted, 10 done, 0 failed\n"), std::string::npos) << text;
  for (const auto& rank : seen.ranks) EXPECT_NE(text.find(rank.host), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4 + static_cast<int>(seen.ranks.size())) << text;
}

TEST(Insights, print_what_is_given_to_them) {
  rp::Insights made;
  made.submitted = 12345;
  made.done = 12000;
  made.failed = 5;
  made.waiting = 340;
  made.lost = 7;
  made.workers = 4;
  made.workers_started = 6;
  made.elapsed = 10s;
  made.working = 30s;
  made.mean = 2'500us;
  made.longest = 90s;
  made.utilisation = 0.75;
  made.ranks = {{3, "node07", 4, 12005, 30s}};
  EXPECT_EQ(rp::to_string(made),
            "tasks:   12345 submitted, 12000 done, 5 failed, 340 waiting, 7 attempts lost\n"
            "workers: 4, 6 started\n"
            "time:    10 s elapsed, 30 s working, 75 % used; a task takes 2.5 ms, the longest 1.5 min\n"
            "   rank  workers       tasks     working   used  host\n"
            "      3        4       12005        30 s   75 %  node07\n");
}
