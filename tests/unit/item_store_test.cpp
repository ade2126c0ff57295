#include "engine/item_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "wire/bad_frame.hpp"

namespace rankpool::engine {
namespace {

using Bytes = std::vector<std::byte>;

/// The item of a task, with its length in front.
void append_item(Bytes& bytes, std::uint64_t task) {
  const std::string text = "item " + std::to_string(task) + std::string(task % 7, '.');
  const std::uint64_t length = text.size();
  const auto put = [&](const void* from, std::size_t count) {
    const auto* const first = static_cast<const std::byte*>(from);
    bytes.insert(bytes.end(), first, first + count);
  };
  put(&length, sizeof length);
  put(text.data(), text.size());
}

Bytes items_of(std::uint64_t first, std::uint64_t count) {
  Bytes bytes;
  for (std::uint64_t task = first; task < first + count; ++task) append_item(bytes, task);
  return bytes;
}

Bytes numbers(std::uint64_t first, std::uint64_t count) {
  std::vector<std::uint32_t> all(count);
  for (std::uint64_t i = 0; i < count; ++i) all[i] = static_cast<std::uint32_t>(first + i);
  Bytes bytes(count * sizeof(std::uint32_t));
  std::memcpy(bytes.data(), all.data(), bytes.size());
  return bytes;
}

Bytes copy(const link::PayloadView& view) {
  const auto bytes = view.read();
  return {bytes.begin(), bytes.end()};
}

TEST(ItemStore, CutsRunsOutOfBlocks) {
  ItemStore of_any_size(0);
  of_any_size.add(0, 10, {items_of(0, 10), {}});
  of_any_size.add(10, 5, {items_of(10, 5), {}});
  EXPECT_EQ(copy(of_any_size.items(3, 4)), items_of(3, 4));
  EXPECT_EQ(copy(of_any_size.items(0, 10)), items_of(0, 10));
  EXPECT_EQ(copy(of_any_size.items(2, 1)), items_of(2, 1));  // back behind the last look
  EXPECT_EQ(copy(of_any_size.items(14, 1)), items_of(14, 1));

  ItemStore of_one_size(sizeof(std::uint32_t));
  of_one_size.add(0, 100, {numbers(0, 100), {}});
  EXPECT_EQ(copy(of_one_size.items(20, 30)), numbers(20, 30));
}

TEST(ItemStore, KnowsWhatCameTogether) {
  ItemStore store(0);
  store.add(0, 5, {items_of(0, 5), {}});
  store.add(5, 10, {items_of(5, 10), {}});
  EXPECT_EQ(store.together(0, 15), 5u);
  EXPECT_EQ(store.together(2, 2), 2u);
  EXPECT_EQ(store.together(5, 100), 10u);
  store.ended(8, 1);
  EXPECT_EQ(store.together(6, 100), 2u);
  EXPECT_EQ(store.together(9, 100), 6u);
  EXPECT_THROW(store.together(8, 1), std::logic_error);
  EXPECT_THROW(store.together(15, 1), std::logic_error);
}

TEST(ItemStore, PassesLargeRunsOnByReference) {
  constexpr std::uint64_t count = 100'000;
  detail::Buffer buffer;
  const Bytes all = numbers(0, count);
  buffer.append(all.data(), all.size());
  const link::Slice slice = link::take_slice(buffer);
  ASSERT_TRUE(slice);
  ItemStore store(sizeof(std::uint32_t));
  store.add(0, count, {{}, slice});
  const link::PayloadView large = store.items(1000, 50'000);
  EXPECT_EQ(large.slice.segment, slice.segment);
  EXPECT_EQ(copy(large), numbers(1000, 50'000));
  const link::PayloadView small = store.items(7, 10);
  EXPECT_FALSE(small.slice);
  EXPECT_EQ(copy(small), numbers(7, 10));
}

TEST(ItemStore, RefusesWhatDoesNotFit) {
  ItemStore of_one_size(sizeof(std::uint32_t));
  EXPECT_THROW(of_one_size.add(0, 3, {numbers(0, 2), {}}), wire::BadFrame);
  of_one_size.add(0, 2, {numbers(0, 2), {}});
  EXPECT_THROW(of_one_size.add(0, 2, {numbers(0, 2), {}}), wire::BadFrame);
  EXPECT_THROW(of_one_size.items(1, 2), std::logic_error);
  EXPECT_THROW(of_one_size.items(5, 1), std::logic_error);

  Bytes cut = items_of(0, 3);
  cut.resize(cut.size() - 1);
  ItemStore of_any_size(0);
  of_any_size.add(0, 4, {cut, {}});
  EXPECT_EQ(copy(of_any_size.items(0, 2)), items_of(0, 2));
  EXPECT_THROW(of_any_size.items(0, 3), wire::BadFrame);
}

TEST(ItemStore, TakesALostTaskBackWhileItsBlockIsStillHere) {
  ItemStore store(0);
  store.add(5, 10, {items_of(5, 10), {}});
  store.ended(5, 1);  // it died here, and comes once more
  store.add(5, 1, {items_of(5, 1), {}});
  EXPECT_EQ(copy(store.items(5, 1)), items_of(5, 1));
  EXPECT_EQ(copy(store.items(6, 9)), items_of(6, 9));
  store.ended(5, 10);
  EXPECT_TRUE(store.empty());
}

TEST(ItemStore, AgreesWithASetOfTasksInAnyOrderOfEnds) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
  };
  for (int round = 0; round < 200; ++round) {
    ItemStore store(0);
    std::vector<std::uint64_t> block_end;  // of the block of each task
    std::vector<bool> live;
    for (std::uint64_t blocks = 1 + below(4); blocks > 0; --blocks) {
      const std::uint64_t first = live.size();
      const std::uint64_t count = 1 + below(30);
      store.add(first, count, {items_of(first, count), {}});
      live.insert(live.end(), count, true);
      block_end.insert(block_end.end(), count, first + count);
    }
    while (std::find(live.begin(), live.end(), true) != live.end()) {
      EXPECT_FALSE(store.empty());
      const std::uint64_t first = below(live.size());
      const std::uint64_t count = 1 + below(live.size() - first);
      const auto begin = live.begin() + static_cast<std::ptrdiff_t>(first);
      const auto end = begin + static_cast<std::ptrdiff_t>(count);
      if (std::find(begin, end, false) == end && first + count <= block_end[first]) {
        EXPECT_EQ(copy(store.items(first, count)), items_of(first, count));
      } else {
        EXPECT_THROW(store.items(first, count), std::logic_error);
      }
      if (below(2) == 0) {
        store.ended(first, count);  // of which some have ended before
        std::fill(begin, end, false);
      }
    }
    EXPECT_TRUE(store.empty());
  }
}

}  // namespace
}  // namespace rankpool::engine
