// How the values of a job are reduced to one.
#pragma once

#include <cstdint>

namespace rankpool::wire {

/// rank_reduce; token: the scheduler's number for the job.
struct RankReduce {
  std::int32_t parent;     ///< the rank that gets the value of this one; -1: the scheduler gets it
  std::uint32_t children;  ///< ranks that send theirs
};
/// child_flush; token: as above.
struct ChildFlush {
  std::uint32_t keep;  ///< 1: the child goes on with its value; 0: it begins anew
};

/// child_partial; then the value; token: as above.
struct ChildPartial {
  std::uint64_t work;  ///< ns that it took to write it
};

}  // namespace rankpool::wire
