#include "engine/item_store.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <string>

#include "wire/bad_frame.hpp"

namespace rankpool::engine {
namespace {

/// Steps over one item that has its length in front. @throws wire::BadFrame
std::uint64_t after_item(std::span<const std::byte> bytes, std::uint64_t offset) {
  std::uint64_t length = 0;
  if (bytes.size() - offset < sizeof length) throw wire::BadFrame("the items of a run are shorter than it says");
  std::memcpy(&length, bytes.data() + offset, sizeof length);
  if (length > bytes.size() - offset - sizeof length)
    throw wire::BadFrame("an item is longer than the items of its run");
  return offset + sizeof length + length;
}

}  // namespace

void ItemStore::add(std::uint64_t first, std::uint64_t count, const link::PayloadView& items) {
  if (count == 0) return;
  const std::uint64_t least = item_bytes_ != 0 ? item_bytes_ : sizeof(std::uint64_t);  // its length
  if (items.size() / least < count || first + count < first) throw wire::BadFrame("a run has fewer items than it says");
  if (!live_.emplace(first, Live{count, std::make_shared<Block>(Block{first, count, link::Payload(items)})}).second)
    throw wire::BadFrame("the items of a task came twice");
}

std::uint64_t ItemStore::offset_of(Block& block, std::uint64_t index) const {
  if (item_bytes_ != 0) return index * item_bytes_;
  // neither end needs a look at the items: a large one is passed on without being mapped here
  if (index == 0) return 0;
  if (index == block.count) return block.payload.view().size();
  const std::span<const std::byte> bytes = block.payload.view().read();
  if (index < block.cursor_index) block.cursor_index = block.cursor_offset = 0;
  for (; block.cursor_index < index; ++block.cursor_index) block.cursor_offset = after_item(bytes, block.cursor_offset);
  return block.cursor_offset;
}

link::PayloadView ItemStore::items(std::uint64_t first, std::uint64_t count) {
  auto live = live_.upper_bound(first);
  if (live == live_.begin() || first + count > std::prev(live)->first + std::prev(live)->second.count)
    throw std::logic_error("the items of task " + std::to_string(first) + " are not here");
  Block& block = *std::prev(live)->second.block;
  link::PayloadView all = block.payload.view();
  const std::uint64_t begin = offset_of(block, first - block.first);
  const std::uint64_t end = offset_of(block, first - block.first + count);
  if (!all.slice) return {all.bytes.subspan(begin, end - begin), {}};
  if (end - begin < detail::Buffer::segment_threshold) return {all.slice.bytes().subspan(begin, end - begin), {}};
  return {{}, {all.slice.segment, all.slice.offset + begin, end - begin}};
}

std::uint64_t ItemStore::together(std::uint64_t first, std::uint64_t count) const {
  const auto next = live_.upper_bound(first);
  if (next == live_.begin() || std::prev(next)->first + std::prev(next)->second.count <= first)
    throw std::logic_error("the items of task " + std::to_string(first) + " are not here");
  return std::min(count, std::prev(next)->first + std::prev(next)->second.count - first);
}

void ItemStore::ended(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t end = first + count;
  auto live = live_.upper_bound(first);
  if (live != live_.begin()) --live;
  while (live != live_.end() && live->first < end) {
    const std::uint64_t live_end = live->first + live->second.count;
    if (live_end <= first) {
      ++live;
      continue;
    }
    if (live_end > end) live_.emplace(end, Live{live_end - end, live->second.block});
    if (live->first < first) {
      live->second.count = first - live->first;
      ++live;
    } else {
      live = live_.erase(live);
    }
  }
}

}  // namespace rankpool::engine
