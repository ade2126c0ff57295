// What is said about shared values.
#pragma once

#include <cstdint>
#include <span>

#include "wire/messages.hpp"
#include "wire/objects.hpp"

namespace rankpool::wire {

/// object_request of a shared value.
enum class SharedOp : std::uint32_t {
  put,  ///< the value: comes once, from its maker, right behind object_make
};

/// All that engines say to each other about a replica.
struct SharedHome {
  std::int32_t rank = 0;
  std::uint32_t reserved = 0;
};
/// shared_get and shared_withdraw, behind an ObjectRequest. A process that was given the value is sent an object_note
/// when the value has gone: until then it may keep what it has made of it, whether or not it has a handle.
struct SharedGet {
  SharedHome home{};
  std::uint64_t note_token = 0;
};

/// The end of a value as it travels: behind its bytes are the handles in it, as Pins (not aligned), then this.
struct SharedTail {
  std::uint64_t value = 0;    ///< bytes
  std::uint64_t handles = 0;  ///< Pins
};

/// A value in place.
struct SharedView {
  std::span<const std::byte> value;
  std::span<const std::byte> handles;
};

/// @throws BadFrame
inline SharedView view_shared(std::span<const std::byte> all) {
  if (all.size() < sizeof(SharedTail)) throw BadFrame("a shared value is shorter than its tail");
  const std::size_t rest = all.size() - sizeof(SharedTail);
  auto end = all.subspan(rest);
  const auto tail = take<SharedTail>(end);
  if (tail.value > rest || tail.handles != (rest - tail.value) / sizeof(Pin) || (rest - tail.value) % sizeof(Pin) != 0)
    throw BadFrame("a shared value is not as long as its tail says");
  const auto bytes = static_cast<std::size_t>(tail.value);
  return {all.first(bytes), all.subspan(bytes, rest - bytes)};
}

}  // namespace rankpool::wire
