// The part of a frame that varies in length: bytes in line, or a slice of a segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "link/segment.hpp"

namespace rankpool::link {

/// Bytes that somebody else keeps (`bytes`), or a slice that keeps itself.
struct PayloadView {
  std::span<const std::byte> bytes;
  Slice slice;

  std::uint64_t size() const noexcept { return slice ? slice.length : bytes.size(); }
  std::span<const std::byte> read() const { return slice ? slice.bytes() : bytes; }
};

/// A payload that is kept for later.
class Payload {
 public:
  Payload() = default;
  explicit Payload(const PayloadView& view) : slice_(view.slice) {
    if (!slice_) bytes_.assign(view.bytes.begin(), view.bytes.end());
  }
  PayloadView view() const { return {bytes_, slice_}; }

 private:
  std::vector<std::byte> bytes_;
  Slice slice_;
};

}  // namespace rankpool::link
