// The operations of Lock and RLock, and of what has one inside.
#pragma once

#include <cstdint>
#include <string>

#include "wire/header.hpp"

namespace rankpool::wire {

enum class LockOp : std::uint32_t {
  where,     ///< the answer is a Place; `full`: there is no room
  lock,      ///< ok with a LockTaken once it is the caller's
  try_lock,  ///< the same now, or no
  unlock,    ///< refused if the caller does not hold it
  holder,    ///< ok with a LockHolder, or no
  abandon,   ///< the process has lost its last handle while it held the lock: it will not unlock it
  end,       ///< operations of objects with a lock begin here
};

struct LockTaken {
  std::uint32_t orphaned = 0;  ///< the owner before has died
};
struct LockHolder {
  Address process{};
  std::uint32_t thread = 0;
};

/// For messages: "thread 1 of process 3 of rank 2".
inline std::string text_of(const LockHolder& holder) {
  const Address& process = holder.process;
  const std::string whose =
      process == Address{0, 1} ? "the main program"
                               : "process " + std::to_string(process.link) + " of rank " + std::to_string(process.rank);
  return "thread " + std::to_string(holder.thread) + " of " + whose;
}

/// Why an unlock was refused. `owner` is null if nobody holds the lock.
inline std::string unlock_refusal(const LockHolder& caller, const LockHolder* owner) {
  return "unlock() by " + text_of(caller) + ", but " +
         (owner == nullptr ? "nobody holds it: each unlock() needs a lock() before"
                           : text_of(*owner) + " holds it: only who has locked it may unlock it");
}

}  // namespace rankpool::wire
