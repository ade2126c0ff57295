// Damaged frames are refused by whoever reads them.
#include "frames.hpp"

#include <gtest/gtest.h>

namespace fuzz {
namespace {

constexpr int rounds = 120'000;

TEST(FrameFuzz, DamagedFrames) {
  run_damaged(frames(), rounds, decode_frame);
  EXPECT_LT(largest_allocation(), most_allocated);
}

/// The undamaged ones are taken to their end: else the damage would be tried on nothing.
TEST(FrameFuzz, SeedsAreWhole) {
  const std::vector<Bytes> all = frames();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto content = std::span<const std::byte>(all[i]).subspan(1);
    EXPECT_NO_THROW(frame_decoders[i](content)) << "decoder " << i;
  }
}

TEST(FrameFuzz, ResultsOfTasksThatWereNeverSent) {
  Bytes done;
  append(done, wire::RunDone{std::uint64_t{1} << 40, 1, 1000});
  append(done, 5);
  Bytes all;
  detail::add_frame(all, 0, done);
  EXPECT_THROW(read_results<rp::detail::ManyResults<int>>(all), wire::BadFrame);
}

TEST(FrameFuzz, MoreResultsThanBytes) {
  Bytes done;
  append(done, wire::RunDone{0, 100, 1000});
  append(done, 5);
  Bytes all;
  detail::add_frame(all, 0, done);
  EXPECT_THROW(read_results<rp::detail::ManyResults<int>>(all), rp::SerializationError);
  EXPECT_THROW(read_results<rp::detail::ManyResults<std::string>>(all), rp::SerializationError);
}

/// Found by libFuzzer: it was written before the first outcome.
TEST(FrameFuzz, AnOutcomeOfNoTask) {
  Bytes lost;
  append(lost,
         wire::TaskLost{
             .task = wire::no_task, .wait_status = 9, .pid = 7, .rank = 1, .attempts = 1, .host = {}, .timed_out = 0});
  Bytes all;
  detail::add_frame(all, 2, lost);
  EXPECT_THROW(read_results<rp::detail::ManyOutcomes<std::string>>(all), rp::SerializationError);
}

TEST(FrameFuzz, MoreItemsThanBytes) {
  const Bytes items(24, std::byte{0});  // three empty ones
  rp::engine::ItemStore with_lengths(0);
  EXPECT_THROW(with_lengths.add(0, 4, {items, {}}), wire::BadFrame);
  EXPECT_THROW(with_lengths.add(~std::uint64_t{0}, 3, {items, {}}), wire::BadFrame) << "the last would be task 1";
  EXPECT_NO_THROW(with_lengths.add(0, 3, {items, {}}));
}

TEST(FrameFuzz, AHandleOfARankThatDoesNotExist) {
  Bytes bytes = detail::handles();
  const std::int32_t rank = 2;
  std::memcpy(bytes.data() + 8, &rank, sizeof rank);
  EXPECT_THROW(read_handles(bytes), rp::SerializationError);
}

}  // namespace
}  // namespace fuzz
