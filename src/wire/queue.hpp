// The operations of a Queue.
#pragma once

#include <cstdint>

#include "wire/objects.hpp"

namespace rankpool::wire {

enum class QueueOp : std::uint32_t {
  put,            ///< QueuePut, then the item; ok, full or closed
  get,            ///< QueueGet; an item, no or closed
  look,           ///< QueueState
  watch,          ///< ok as soon as a get would not have to wait; takes nothing
  shut_down,      ///< what is in the queue can still be taken
  shut_down_now,  ///< what is in the queue is dropped
  task_done,      ///< ok, or refused: too many
  join,           ///< ok once everything that was put is done
  lease_back,     ///< QueueLeaseBack, without an answer: the caller takes no more from its lease
};

/// What the home tells all processes that have a handle.
enum class QueueNote : std::uint32_t { shut_down };

/// Behind an item, in line or at the end of its slice: one for each handle in it.
using QueueCargo = Pin;

/// After ObjectMake.
struct QueueMake {
  std::uint64_t maxsize = 0;  ///< 0: no limit
};
/// Then the item and its cargo.
struct QueuePut {
  std::uint32_t no_wait = 0;
  std::uint32_t cargo = 0;  ///< how many
};
struct QueueGet {
  std::uint64_t generation = 0;  ///< the number of the lease that can be given with the answer; 0: none can
  std::uint64_t last = 0;        ///< what the caller's word said at the end of the lease before: link::LeaseState
  std::uint32_t slot = 0;        ///< the caller's word for it
  std::uint32_t no_wait = 0;
};
/// The answer to a get, unless it is a slice, which is just the item: then the item, or, if there are leased ones, that
/// and the leased ones, each with its length in front (QueueLength).
struct QueueItem {
  std::uint64_t leased = 0;
};
using QueueLength = std::uint32_t;
struct QueueState {
  std::uint64_t size = 0;
};
struct QueueLeaseBack {
  std::uint32_t slot = 0;
  std::uint32_t reserved = 0;
  std::uint64_t state = 0;  ///< bits of the link::LeaseState
};

}  // namespace rankpool::wire
