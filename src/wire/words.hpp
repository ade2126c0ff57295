// The operations of Value and Array. Offsets count from the start of the object.
#pragma once

#include <cstdint>

#include "wire/lock.hpp"

namespace rankpool::wire {

/// After those of LockOp, since each value and array has a lock.
enum class WordsOp : std::uint32_t {
  word = static_cast<std::uint32_t>(LockOp::end),  ///< WordRequest; ok with a WordResult, or no: compared unequal
  read,                                            ///< WordsRange; ok with the bytes
  write,                                           ///< WordsRange, then the bytes
  exchange,                                        ///< WordsRange, then the bytes; ok with those before
  compare_exchange,  ///< WordsRange, then the bytes expected, then those wanted; ok, or no with those found
};

/// After object_make.
struct WordsMake {
  std::uint64_t bytes = 0;
  std::uint32_t cells = 0;  ///< for locks, side by side
  std::uint32_t reserved = 0;
};
struct WordResult {
  std::uint64_t before = 0;
};
struct WordsRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

}  // namespace rankpool::wire
