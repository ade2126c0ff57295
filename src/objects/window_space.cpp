#include "objects/window_space.hpp"

#include <iterator>

namespace rankpool::objects {

std::optional<std::uint64_t> WindowSpace::take(std::uint64_t bytes) {
  if (bytes > end_) return std::nullopt;
  const std::uint64_t size = rounded(bytes);
  if (const auto fit = by_size_.lower_bound({size, 0}); fit != by_size_.end()) {
    const auto [found, offset] = *fit;
    remove_free(free_.find(offset));
    if (found > size) add_free(offset + size, found - size);
    return offset;
  }
  if (size > end_ - top_) return std::nullopt;
  const std::uint64_t offset = top_;
  top_ += size;
  return offset;
}

void WindowSpace::give(std::uint64_t offset, std::uint64_t bytes) {
  std::uint64_t size = rounded(bytes);
  const auto next = free_.lower_bound(offset);
  if (next != free_.begin()) {
    if (const auto before = std::prev(next); before->first + before->second == offset) {
      offset = before->first;
      size += before->second;
      remove_free(before);
    }
  }
  if (next != free_.end() && offset + size == next->first) {
    size += next->second;
    remove_free(next);
  }
  if (offset + size == top_) {
    top_ = offset;
  } else {
    add_free(offset, size);
  }
}

void WindowSpace::add_free(std::uint64_t offset, std::uint64_t bytes) {
  free_.emplace(offset, bytes);
  by_size_.emplace(bytes, offset);
}

void WindowSpace::remove_free(std::map<std::uint64_t, std::uint64_t>::iterator piece) {
  by_size_.erase({piece->second, piece->first});
  free_.erase(piece);
}

}  // namespace rankpool::objects
