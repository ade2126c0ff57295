#include "scheduler/process_placement.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace rankpool::scheduler {
namespace {

std::vector<int> place_many(ProcessPlacement& placement, int count) {
  std::vector<int> ranks;
  for (int i = 0; i < count; ++i) ranks.push_back(placement.place({}));
  return ranks;
}

TEST(ProcessPlacement, most_room_first_and_the_lowest_among_equals) {
  ProcessPlacement placement({1, 3, 2});
  EXPECT_EQ(place_many(placement, 6), (std::vector<int>{1, 1, 2, 0, 1, 2}));
}

TEST(ProcessPlacement, goes_on_when_there_is_no_room) {
  ProcessPlacement placement({1, 1});
  EXPECT_EQ(place_many(placement, 6), (std::vector<int>{0, 1, 0, 1, 0, 1}));
}

TEST(ProcessPlacement, a_rank_that_only_masters_is_left_alone) {
  ProcessPlacement placement({0, 1, 1});
  EXPECT_EQ(place_many(placement, 5), (std::vector<int>{1, 2, 1, 2, 1}));
  EXPECT_EQ(placement.place(0), 0);
  EXPECT_EQ(placement.place({}), 2);
}

TEST(ProcessPlacement, an_end_makes_room) {
  ProcessPlacement placement({2, 2});
  EXPECT_EQ(place_many(placement, 4), (std::vector<int>{0, 1, 0, 1}));
  placement.ended(1);
  placement.ended(1);
  EXPECT_EQ(place_many(placement, 3), (std::vector<int>{1, 1, 0}));
}

TEST(ProcessPlacement, wishes_count_too) {
  ProcessPlacement placement({4, 4, 4});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(placement.place(0), 0);
  EXPECT_EQ(place_many(placement, 6), (std::vector<int>{1, 2, 1, 2, 1, 2}));
}

TEST(ProcessPlacement, a_rank_that_is_lost) {
  ProcessPlacement placement({0, 4, 1});
  placement.lose(1);
  EXPECT_EQ(place_many(placement, 3), (std::vector<int>{2, 2, 2}));
  placement.lose(2);
  EXPECT_EQ(placement.place({}), 0) << "the rank that is never lost";
}

TEST(ProcessPlacement, a_rank_that_does_not_exist) {
  ProcessPlacement placement({1, 1});
  EXPECT_THROW(placement.place(2), std::out_of_range);
  EXPECT_THROW(placement.place(-1), std::out_of_range);
  EXPECT_THROW(placement.ended(7), std::out_of_range);
}

}  // namespace
}  // namespace rankpool::scheduler
