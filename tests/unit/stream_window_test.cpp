// How far ahead a stream draws.
#include <gtest/gtest.h>

#include <rankpool/detail/stream_window.hpp>

#include <cstdint>
#include <limits>

using rankpool::detail::StreamWindow;

TEST(StreamWindow, starts_with_two_items_a_worker) {
  const StreamWindow window(0, 0, 3);
  EXPECT_EQ(window.bound(), 6u);
  EXPECT_EQ(window.refill(0), 6u);
  EXPECT_EQ(window.refill(5), 1u);
  EXPECT_EQ(window.refill(6), 0u);
  EXPECT_EQ(window.refill(100), 0u);
}

TEST(StreamWindow, whole_chunks_of_a_given_size) {
  const StreamWindow window(10, 0, 3);
  EXPECT_EQ(window.bound(), 60u);
  EXPECT_EQ(window.refill(0), 60u);
  EXPECT_EQ(window.refill(31), 20u);
  EXPECT_EQ(window.refill(51), 0u);
}

TEST(StreamWindow, a_given_bound_is_at_least_a_chunk) {
  EXPECT_EQ(StreamWindow(10, 4, 3).bound(), 10u);
  EXPECT_EQ(StreamWindow(10, 25, 3).refill(0), 20u);
  EXPECT_EQ(StreamWindow(0, 1, 3).refill(0), 1u);
  EXPECT_EQ(StreamWindow(0, 1, 3).refill(1), 0u);
}

TEST(StreamWindow, absurd_sizes_do_not_overflow) {
  constexpr std::uint64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_GT(StreamWindow(huge / 8, 0, 1000).bound(), std::uint64_t{1} << 59);
  EXPECT_EQ(StreamWindow(0, huge, 1000).bound(), huge);
  EXPECT_EQ(StreamWindow(huge, huge, 1000).refill(0), huge);
}

TEST(StreamWindow, grows_by_doubling_as_results_are_yielded) {
  StreamWindow window(0, 0, 2);
  window.computed(100, 100'000);  // 1 us each: 1000 make a millisecond
  window.adapt(0);
  EXPECT_EQ(window.bound(), 4u) << "nobody takes results";
  std::uint64_t yielded = 0;
  for (std::uint64_t chunk = 2; chunk < 1000; chunk *= 2) {
    yielded += chunk / 2;
    window.adapt(yielded);
    EXPECT_EQ(window.bound(), 4 * chunk);
    window.adapt(yielded);
    EXPECT_EQ(window.bound(), 4 * chunk) << "once for each chunk";
  }
  window.adapt(yielded += 512);
  EXPECT_EQ(window.bound(), 4000u);
  window.adapt(yielded += 100'000);
  EXPECT_EQ(window.bound(), 4000u);
}

TEST(StreamWindow, shrinks_at_once_when_tasks_get_longer) {
  StreamWindow window(0, 0, 2);
  window.computed(100, 100'000);
  for (std::uint64_t yielded = 0; yielded < 100'000; yielded += 5000) window.adapt(yielded);
  ASSERT_EQ(window.bound(), 4000u);
  window.computed(10, 100'000'000);
  window.adapt(100'000);
  EXPECT_LE(window.bound(), 8u);
}

TEST(StreamWindow, counts_bytes_of_items_and_of_results) {
  for (const bool results : {false, true}) {
    StreamWindow window(0, 0, 2);
    window.computed(100, 100);
    (results ? void(window.received(10, 10 * 64 * 1024)) : void(window.drawn(10, 10 * 64 * 1024)));
    for (std::uint64_t yielded = 0; yielded < 10'000; yielded += 100) window.adapt(yielded);
    EXPECT_EQ(window.bound(), 4u * 4) << "256 KiB a chunk";
  }
}

TEST(StreamWindow, stays_affordable_with_many_workers) {
  StreamWindow window(0, 0, 10'000);
  window.computed(100, 100);
  for (std::uint64_t yielded = 0; yielded < 100'000'000; yielded += 100'000) window.adapt(yielded);
  EXPECT_LE(window.bound(), 128u * 1024);
}

TEST(StreamWindow, short_tasks_are_drawn_in_batches_and_long_ones_singly) {
  StreamWindow window(0, 100, 2);
  EXPECT_EQ(window.refill(99 - 2), 3u);
  window.computed(1000, 1'000'000);
  for (std::uint64_t yielded = 0; yielded < 10'000; yielded += 100) window.adapt(yielded);
  EXPECT_EQ(window.refill(60), 0u);
  EXPECT_EQ(window.refill(50), 50u);
  window.computed(1000, 10'000'000'000);
  window.adapt(10'000);
  EXPECT_EQ(window.refill(97), 3u);
}
