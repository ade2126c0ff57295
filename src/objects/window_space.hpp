// Which pieces of a window are taken.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace rankpool::objects {

/// Deals out pieces of [begin, end) by best fit, the lowest of equals. Whoever has taken a piece knows its size.
class WindowSpace {
 public:
  static constexpr std::uint64_t granule = 64;

  /// Both are multiples of the granule.
  WindowSpace(std::uint64_t begin, std::uint64_t end) noexcept : end_(end), top_(begin) {}

  /// The offset of a piece of at least `bytes` bytes (and at least one), a multiple of the granule; none if there is no
  /// room.
  std::optional<std::uint64_t> take(std::uint64_t bytes);
  /// Takes a piece back; `bytes` as in `take`.
  void give(std::uint64_t offset, std::uint64_t bytes);

  /// Everything that is taken lies below this offset.
  std::uint64_t top() const noexcept { return top_; }
  /// Of a piece with `bytes` bytes; 0 if there can be no such piece.
  static std::uint64_t rounded(std::uint64_t bytes) noexcept {
    return bytes == 0 ? granule : (bytes + granule - 1) / granule * granule;
  }

 private:
  void add_free(std::uint64_t offset, std::uint64_t bytes);
  void remove_free(std::map<std::uint64_t, std::uint64_t>::iterator piece);

  std::uint64_t end_;
  std::uint64_t top_;
  std::map<std::uint64_t, std::uint64_t> free_;                  // size by offset; all below the top, none touch
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_{};  // the same: size, offset
};

}  // namespace rankpool::objects
