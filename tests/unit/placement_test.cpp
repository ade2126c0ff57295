#include "scheduler/placement.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

namespace rankpool::scheduler {
namespace {

std::vector<RankPlace> one_host(std::size_t ranks, int cores) { return std::vector<RankPlace>(ranks, {"a", cores}); }

using Slots = std::vector<int>;

TEST(DealSlots, one_host) {
  EXPECT_EQ(deal_slots(one_host(1, 4)), (Slots{4}));
  EXPECT_EQ(deal_slots(one_host(4, 4)), (Slots{1, 1, 1, 1}));
  EXPECT_EQ(deal_slots(one_host(5, 4)), (Slots{0, 1, 1, 1, 1}));
  EXPECT_EQ(deal_slots(one_host(3, 2)), (Slots{0, 1, 1}));
  EXPECT_EQ(deal_slots(one_host(2, 2)), (Slots{1, 1}));
  EXPECT_EQ(deal_slots(one_host(7, 2)), (Slots{0, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(deal_slots(one_host(2, 4)), (Slots{2, 2}));
  EXPECT_EQ(deal_slots(one_host(3, 4)), (Slots{1, 2, 1}));
  EXPECT_EQ(deal_slots(one_host(2, 1)), (Slots{0, 1}));
  EXPECT_EQ(deal_slots(one_host(1, 0)), (Slots{1}));
  EXPECT_TRUE(deal_slots({}).empty());
}

TEST(DealSlots, each_host_deals_its_own_cores) {
  const std::vector<RankPlace> ranks{{"a", 2}, {"b", 4}, {"a", 2}, {"b", 4}, {"c", 3}};
  EXPECT_EQ(deal_slots(ranks), (Slots{1, 2, 1, 2, 3}));
}

TEST(DealSlots, the_largest_count_of_a_host_holds) {
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 1}, {"a", 4}}), (Slots{2, 2}));
}

TEST(DealSlots, rank_0_only_masters_in_large_jobs) {
  EXPECT_EQ(deal_slots(one_host(2, 32)), (Slots{16, 16}));
  EXPECT_EQ(deal_slots(one_host(2, 33)), (Slots{0, 33}));
  EXPECT_EQ(deal_slots(one_host(1, 64)), (Slots{64}));
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 16}, {"b", 16}, {"c", 16}}), (Slots{0, 16, 16}));
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 16}, {"a", 16}, {"b", 20}}), (Slots{0, 16, 20}));
}

TEST(DealSlots, overrides_come_last) {
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 4, 0}, {"a", 4}}), (Slots{0, 2}));
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 4}, {"a", 4, 7}}), (Slots{2, 7}));
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 4, 3}}), (Slots{3}));
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 64, 5}, {"a", 64}}), (Slots{5, 64}));
  EXPECT_EQ(deal_slots(std::vector<RankPlace>{{"a", 4}, {"b", 4, 100}}), (Slots{0, 100}));
}

TEST(DealSlots, refuses_what_makes_no_sense) {
  EXPECT_THROW(deal_slots(std::vector<RankPlace>{{"a", 4, 0}}), std::invalid_argument);
  EXPECT_THROW(deal_slots(std::vector<RankPlace>{{"a", 4, -1}, {"a", 4}}), std::invalid_argument);
  EXPECT_THROW(deal_slots(std::vector<RankPlace>{{"a", 4}, {"a", 4, -2}}), std::invalid_argument);
  EXPECT_THROW(deal_slots(std::vector<RankPlace>{{"a", 4}, {"a", 4, 0}}), std::invalid_argument);
}

TEST(DealSlots, never_more_than_the_cores_unless_a_rank_would_have_none) {
  for (std::size_t ranks = 1; ranks < 40; ++ranks) {
    for (int cores = 1; cores < 80; ++cores) {
      const Slots slots = deal_slots(one_host(ranks, cores));
      const int total = std::accumulate(slots.begin(), slots.end(), 0);
      EXPECT_EQ(total, std::max(cores, static_cast<int>(ranks) - 1)) << ranks << " ranks, " << cores << " cores";
      for (std::size_t rank = 1; rank < ranks; ++rank) EXPECT_GE(slots[rank], 1);
    }
  }
}

TEST(PlaceWorkers, one_per_slot) {
  EXPECT_EQ(place_workers(Slots{0, 3, 2}, std::nullopt), (Slots{0, 3, 2}));
  EXPECT_EQ(place_workers(Slots{0, 3, 2}, 5), (Slots{0, 3, 2}));
}

TEST(PlaceWorkers, spread_evenly_with_rank_0_last) {
  EXPECT_EQ(place_workers(Slots{1, 1, 1}, 1), (Slots{0, 1, 0}));
  EXPECT_EQ(place_workers(Slots{1, 1, 1}, 2), (Slots{0, 1, 1}));
  EXPECT_EQ(place_workers(Slots{4, 4}, 2), (Slots{1, 1}));
  EXPECT_EQ(place_workers(Slots{0, 4, 8}, 6), (Slots{0, 2, 4}));
  EXPECT_EQ(place_workers(Slots{2}, 1), (Slots{1}));
}

TEST(PlaceWorkers, more_than_slots) {
  EXPECT_EQ(place_workers(Slots{0, 1, 1}, 5), (Slots{0, 3, 2}));
  EXPECT_EQ(place_workers(Slots{1, 1}, 3), (Slots{1, 2}));
  EXPECT_EQ(place_workers(Slots{1}, 1000), (Slots{1000}));
}

TEST(PlaceWorkers, refuses_what_makes_no_sense) {
  EXPECT_THROW(place_workers(Slots{1, 1}, 0), std::invalid_argument);
  EXPECT_THROW(place_workers(Slots{1, 1}, -3), std::invalid_argument);
  EXPECT_THROW(place_workers(Slots{0, 0}, std::nullopt), std::invalid_argument);
  EXPECT_THROW(place_workers(Slots{}, 1), std::invalid_argument);
}

}  // namespace
}  // namespace rankpool::scheduler
