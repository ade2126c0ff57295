#include "objects/window_space.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace {

using rankpool::objects::WindowSpace;

TEST(WindowSpace, DealsOutGranules) {
  WindowSpace space(128, 128 + 4 * 64);
  EXPECT_EQ(space.take(1), 128u);
  EXPECT_EQ(space.take(64), 192u);
  EXPECT_EQ(space.take(65), 256u);
  EXPECT_EQ(space.top(), 384u);
  EXPECT_FALSE(space.take(1));
  space.give(192, 64);
  EXPECT_FALSE(space.take(65));
  EXPECT_EQ(space.take(0), 192u);
}

TEST(WindowSpace, JoinsWhatIsGivenBack) {
  WindowSpace space(0, 1024);
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(space.take(64));
  space.give(64, 64);
  space.give(192, 64);
  space.give(128, 64);
  EXPECT_EQ(space.take(192), 64u);
  for (std::uint64_t i = 0; i < 1024; i += 64) space.give(i, 64);
  EXPECT_EQ(space.top(), 0u);
  EXPECT_EQ(space.take(1024), 0u);
}

TEST(WindowSpace, RefusesWhatIsTooLarge) {
  WindowSpace space(64, 1 << 20);
  EXPECT_FALSE(space.take(~std::uint64_t{0}));
  EXPECT_FALSE(space.take(~std::uint64_t{0} - 62));
  EXPECT_FALSE(space.take(1 << 20));
  EXPECT_TRUE(space.take((1 << 20) - 64));
}

TEST(WindowSpace, PiecesNeverOverlapInAnyOrder) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::uint64_t begin = 640;
  constexpr std::uint64_t end = begin + 64 * 500;
  WindowSpace space(begin, end);
  std::map<std::uint64_t, std::uint64_t> taken;
  std::uint64_t sum = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      const std::uint64_t bytes = random() % (random() % 8 == 0 ? 5000 : 200);
      const auto offset = space.take(bytes);
      if (!offset) continue;
      const std::uint64_t size = WindowSpace::rounded(bytes);
      ASSERT_EQ(*offset % 64, 0u);
      ASSERT_GE(*offset, begin);
      ASSERT_LE(*offset + size, space.top());
      ASSERT_LE(space.top(), end);
      const auto next = taken.lower_bound(*offset);
      ASSERT_TRUE(next == taken.end() || *offset + size <= next->first);
      ASSERT_TRUE(next == taken.begin() || std::prev(next)->first + std::prev(next)->second <= *offset);
      taken.emplace(*offset, size);
      sum += size;
    } else if (!taken.empty()) {
      const auto piece = std::next(taken.begin(), static_cast<std::ptrdiff_t>(random() % taken.size()));
      space.give(piece->first, piece->second);
      sum -= piece->second;
      taken.erase(piece);
    }
    if (taken.empty()) {
      ASSERT_EQ(space.top(), begin);
    }
  }
  for (const auto& [offset, size] : taken) space.give(offset, size);
  EXPECT_EQ(space.top(), begin);
  EXPECT_TRUE(space.take(end - begin));
}

}  // namespace
