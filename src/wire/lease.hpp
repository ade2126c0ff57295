// How an engine calls lent items back.
#pragma once

#include <cstdint>

namespace rankpool::wire {

/// lease_recall; token: the object's number.
struct LeaseRecall {
  std::uint32_t link = 0;  ///< of the process that has the lease, on the rank that is asked
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
};
/// lease_returned; token: the object's number.
struct LeaseReturned {
  std::uint32_t link = 0;
  std::uint32_t slot = 0;
  std::uint64_t state = 0;  ///< bits of the link::LeaseState
};

}  // namespace rankpool::wire
