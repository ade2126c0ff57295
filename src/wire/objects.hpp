// What user processes and the homes of objects say to each other.
#pragma once

#include <cstdint>

#include <rankpool/detail/object_type.hpp>

#include "wire/header.hpp"

namespace rankpool::wire {

using detail::ObjectType;

/// An object of the job: the rank that is its home, and its number there (the maker's link in the high half, so that
/// makers need not ask for one).
struct ObjectId {
  std::int32_t rank = 0;
  std::uint32_t reserved = 0;
  std::uint64_t number = 0;
  friend bool operator==(const ObjectId&, const ObjectId&) = default;
};

/// How a request ended.
enum class Status : std::uint32_t {
  ok,
  withdrawn,  ///< taken back by its caller before it could be served
  gone,       ///< there is no such object (any more)
  refused,    ///< misuse: the answer is a sentence that says why
  no,         ///< not now, and it was asked not to wait: the queue is empty, the lock is held, the key is missing
  full,
  closed,
  broken,
  lost,  ///< its home has died with its rank
};

/// object_make; then what the object wants to know. The maker has a handle: no object_hold follows.
struct ObjectMake {
  ObjectType type{};
  std::uint32_t reserved = 0;
  std::uint64_t note_token = 0;  ///< as in ObjectHold
};
/// object_request and object_withdraw; then what the operation wants.
struct ObjectRequest {
  std::uint64_t request = 0;  ///< token of the reply; 0: none is wanted
  std::uint32_t operation = 0;
  std::uint32_t thread = 0;  ///< of the caller: a number that is its own in its process
};
/// object_hold.
struct ObjectHold {
  std::uint64_t note_token = 0;  ///< where the process takes notes about this object
};
/// A handle inside a message: the object, and a number that is this handle's own in the job.
struct Pin {
  ObjectId object{};
  std::uint64_t number = 0;
};
/// object_pin.
struct ObjectPin {
  std::uint64_t number = 0;
  std::int32_t change = 0;  ///< +1: it is under way; -1: it has arrived, or was dropped
  std::uint32_t reserved = 0;
};
/// Numbers for the pins that one process (link 0: an engine) announces.
constexpr std::uint64_t pin_number(Address process, std::uint64_t count) noexcept {
  return static_cast<std::uint64_t>(process.rank & 0xffff) << 48 | (std::uint64_t{process.link} & 0xffffff) << 24 |
         (count & 0xffffff);
}

/// window_map; token: that of the reply.
struct WindowMap {
  std::int32_t rank = 0;  ///< whose
};

/// Where something lies in the window of its home.
struct Place {
  std::uint64_t cell = 0;
  std::uint64_t data = 0;
};

}  // namespace rankpool::wire
