// The counting of what a pool does.
#include "engine/pool_stats.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <rankpool/detail/buffer.hpp>

#include "wire/insights.hpp"
#include "wire/messages.hpp"

namespace {

using namespace rankpool;
using engine::JobStats;
using engine::PoolStats;

struct Written {
  wire::PoolInsights sums;
  std::vector<wire::RankInsights> ranks;
};

Written written(const PoolStats& stats) {
  detail::Buffer buffer;
  stats.write(buffer, {"one", "two", "three"});
  std::span<const std::byte> bytes(buffer.data(), buffer.size());
  Written all{wire::take<wire::PoolInsights>(bytes), {}};
  for (std::uint64_t i = 0; i < all.sums.ranks; ++i) all.ranks.push_back(wire::take<wire::RankInsights>(bytes));
  EXPECT_TRUE(bytes.empty());
  return all;
}

TEST(PoolStats, count_what_each_rank_does) {
  PoolStats stats({0, 2, 3});
  JobStats job;
  stats.worker_started();
  stats.submitted(job, 10);
  stats.sent(job, 6);
  stats.sent(job, 4);
  stats.done(job, 1, 4, 4000);
  stats.done(job, 2, 1, 2000);
  stats.failed(job, 2, 30);
  const Written all = written(stats);
  EXPECT_EQ(all.sums.submitted, 10u);
  EXPECT_EQ(all.sums.done, 5u);
  EXPECT_EQ(all.sums.failed, 1u);
  EXPECT_EQ(all.sums.under_way, 4u);
  EXPECT_EQ(all.sums.longest, 2000u);
  EXPECT_EQ(all.sums.workers_started, 1u);
  ASSERT_EQ(all.ranks.size(), 2u);
  EXPECT_EQ(all.ranks[0].rank, 1);
  EXPECT_EQ(all.ranks[0].workers, 2);
  EXPECT_EQ(all.ranks[0].tasks, 4u);
  EXPECT_EQ(wire::text_of(all.ranks[1].host), "three");
  EXPECT_EQ(all.ranks[1].working, 2030u);
}

TEST(PoolStats, tell_a_retry_from_a_loss) {
  PoolStats stats({1});
  JobStats job;
  stats.submitted(job, 2);
  stats.sent(job, 2);
  stats.lost(job);
  stats.sent(job, 1);
  stats.lost(job);
  stats.lost_for_good(job);
  stats.done(job, 0, 1, 5);
  stats.forget(job);
  const wire::PoolInsights sums = written(stats).sums;
  EXPECT_EQ(sums.lost, 2u);
  EXPECT_EQ(sums.lost_for_good, 1u);
  EXPECT_EQ(sums.done, 1u);
  EXPECT_EQ(sums.failed, 1u);
  EXPECT_EQ(sums.under_way, 0u);
  EXPECT_EQ(sums.cancelled, 0u);
}

TEST(PoolStats, count_what_is_left_of_a_forgotten_job_as_cancelled) {
  PoolStats stats({2});
  JobStats kept, dropped;
  stats.submitted(kept, 5);
  stats.sent(kept, 3);
  stats.submitted(dropped, 7);
  stats.sent(dropped, 4);
  stats.done(dropped, 0, 1, 10);
  stats.lost(dropped);
  stats.forget(dropped);
  const wire::PoolInsights sums = written(stats).sums;
  EXPECT_EQ(sums.cancelled, 6u);
  EXPECT_EQ(sums.under_way, 3u);
  EXPECT_EQ(sums.submitted, 12u);
}

}  // namespace
