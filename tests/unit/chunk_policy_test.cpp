#include "scheduler/chunk_policy.hpp"

#include <gtest/gtest.h>

namespace rankpool::scheduler {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::uint64_t plenty = 1'000'000'000;

// A policy that was told of `reports` reports, each of one chunk of its size.
ChunkPolicy measured(Nanoseconds task, int reports, const Timing& timing = {}) {
  ChunkPolicy policy(0);
  for (int report = 0; report < reports; ++report) {
    const std::uint64_t chunk = policy.chunk(plenty, 1);
    policy.measured(chunk, chunk, static_cast<std::int64_t>(chunk) * task, timing);
  }
  return policy;
}

TEST(ChunkPolicy, given_size_is_kept) {
  ChunkPolicy policy(7);
  EXPECT_EQ(policy.chunk(plenty, 1), 7U);
  EXPECT_EQ(policy.chunk(3, 100), 7U);
  policy.measured(7, 7, milliseconds(100), {});
  EXPECT_EQ(policy.chunk(plenty, 1), 7U);
}

TEST(ChunkPolicy, starts_with_one_and_at_most_doubles) {
  std::uint64_t before = ChunkPolicy(0).chunk(plenty, 1);
  EXPECT_EQ(before, 1U);
  for (int reports = 1; reports < 20; ++reports) {
    const std::uint64_t now = measured(microseconds(1), reports).chunk(plenty, 1);
    EXPECT_LE(now, 2 * before);
    EXPECT_GE(now, before);
    before = now;
  }
}

TEST(ChunkPolicy, aims_at_a_millisecond_or_fifty_round_trips) {
  EXPECT_NEAR(static_cast<double>(measured(microseconds(1), 30).chunk(plenty, 1)), 1000, 1);
  EXPECT_NEAR(static_cast<double>(measured(microseconds(300), 30).chunk(plenty, 1)), 3, 1);
  EXPECT_EQ(measured(milliseconds(2), 30).chunk(plenty, 1), 1U);
  Timing slow;
  slow.set_round_trip(microseconds(200));
  EXPECT_NEAR(static_cast<double>(measured(microseconds(1), 30, slow).chunk(plenty, 1)), 10'000, 10);
}

TEST(ChunkPolicy, drops_at_once) {
  ChunkPolicy policy = measured(microseconds(1), 30);
  policy.measured(500, 1000, 500 * microseconds(100), {});
  EXPECT_LT(policy.chunk(plenty, 1), 20U);
}

TEST(ChunkPolicy, leaves_four_chunks_for_every_worker) {
  const ChunkPolicy policy = measured(microseconds(1), 30);
  EXPECT_EQ(policy.chunk(4000, 10), 100U);
  EXPECT_EQ(policy.chunk(39, 10), 1U);
  EXPECT_EQ(policy.chunk(1, 10), 1U);
  EXPECT_GE(policy.chunk(1000, 0), 1U);
}

TEST(ChunkPolicy, survives_work_of_nothing) {
  ChunkPolicy policy(0);
  for (int report = 0; report < 100; ++report) policy.measured(1, 1, Nanoseconds(0), {});
  EXPECT_GE(policy.chunk(plenty, 1), 1U);
  policy.measured(1, 1, Nanoseconds(-5), {});
  EXPECT_GE(policy.chunk(plenty, 1), 1U);
}

TEST(Pace, mean_follows) {
  Pace pace;
  EXPECT_FALSE(pace.known());
  pace.measured(1, 1, microseconds(10));
  EXPECT_DOUBLE_EQ(pace.task_ns(), 10'000);
  for (int task = 0; task < 2000; ++task) pace.measured(1, 1, microseconds(30));
  EXPECT_NEAR(pace.task_ns(), 30'000, 10);
}

TEST(Pace, longest_chunk_fades_only_if_told) {
  Pace keeps;
  Pace forgets(true);
  for (Pace* pace : {&keeps, &forgets}) {
    pace->measured(1, 1, milliseconds(50));
    for (int task = 0; task < 5000; ++task) pace->measured(1, 1, microseconds(10));
  }
  EXPECT_DOUBLE_EQ(keeps.longest_chunk_ns(), 50e6);
  EXPECT_LT(forgets.longest_chunk_ns(), 11e3);
}

Pace steady(Nanoseconds task, int tasks = 100'000) {
  Pace pace;
  for (int done = 0; done < tasks; done += 100) pace.measured(100, 1, 100 * task);
  return pace;
}

TEST(Window, two_chunks_while_chunks_are_long_and_many) {
  EXPECT_EQ(window_chunks(steady(milliseconds(2)), 1, {1000, 2}, {}), 2U);
}

TEST(Window, nothing_is_sent_ahead_of_long_chunks_near_the_end) {
  Pace pace = steady(milliseconds(2));
  pace.measured(1, 1, milliseconds(25));
  EXPECT_EQ(window_chunks(pace, 1, {60, 2}, {}), 2U);
  EXPECT_EQ(window_chunks(pace, 1, {40, 2}, {}), 1U);
}

TEST(Window, short_tasks_are_worth_400_us) {
  EXPECT_EQ(window_chunks(steady(microseconds(1)), 1, {plenty, 2}, {}), 400U);
  EXPECT_EQ(window_chunks(steady(microseconds(1)), 100, {plenty, 2}, {}), 4U);
  EXPECT_EQ(window_chunks(steady(Nanoseconds(1)), 1, {plenty, 2}, {}), 8192U);
  EXPECT_GE(window_chunks(steady(Nanoseconds(1)), 100'000, {plenty, 2}, {}), 2U);
}

TEST(Window, is_not_trusted_to_a_few_reports) {
  EXPECT_LE(window_chunks(steady(Nanoseconds(100), 100), 1, {plenty, 2}, {}), 200U);
}

TEST(Window, one_hiccup_does_not_stop_short_tasks) {
  Pace pace = steady(Nanoseconds(100));
  pace.measured(1, 1, milliseconds(4));
  for (int report = 0; report < 20; ++report) pace.measured(100, 1, microseconds(10));
  EXPECT_GE(window_chunks(pace, 1, {1000, 2}, {}), 300U);
}

TEST(Window, unknown_tasks_are_sent_ahead_only_if_there_are_many) {
  EXPECT_EQ(window_chunks(Pace(), 1, {8, 2}, {}), 1U);
  EXPECT_EQ(window_chunks(Pace(), 1, {100, 2}, {}), 2U);
}

}  // namespace
}  // namespace rankpool::scheduler
