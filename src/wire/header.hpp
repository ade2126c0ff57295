// The head of every frame, as it lies in rings and packets.
#pragma once

#include <cstdint>

#include "wire/kind.hpp"

namespace rankpool::wire {

/// Where a frame goes or comes from: a link of a rank, or (link 0) the engine of that rank itself.
struct Address {
  std::int32_t rank = 0;
  std::uint32_t link = 0;
  friend bool operator==(const Address&, const Address&) = default;
};

/// A frame is this header, `body` bytes in line behind it, and possibly a segment slice beside it.
struct Header {
  std::uint64_t body = 0;     ///< bytes in line
  std::uint64_t segment = 0;  ///< bytes of the slice that travels beside the frame; 0: none
  Address to{};
  Address from{};
  std::uint64_t token = 0;  ///< whom it concerns at the receiver: a job, a pool, a request
  Kind kind = Kind::none;
  std::uint32_t flags = 0;  ///< meaning depends on the kind
};
static_assert(sizeof(Header) == 48);

/// No frame carries more than this in line; larger payloads go into a segment.
inline constexpr std::uint64_t max_body = 64 * 1024;

}  // namespace rankpool::wire
