// How many slots a rank has, and where the workers of a pool go.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rankpool::scheduler {

/// What a rank knows of its place.
struct RankPlace {
  std::string host;
  int cores = 1;  ///< granted to the job on that host; if ranks of a host differ, the largest counts
  std::optional<int> slots_override = std::nullopt;
};

/// Slots of every rank: the cores of each host are dealt to its ranks in turn, rank 0 last. A worker rank (any but 0)
/// has at least one; rank 0 has only what the others leave, and none in jobs of more than 32 slots. Overrides come
/// last.
/// @throws std::invalid_argument for an override that is negative, 0 for a worker rank, or leaves the job without
/// slots.
std::vector<int> deal_slots(std::span<const RankPlace> ranks);

/// Workers of a pool on every rank: none asks for one per slot; otherwise that many, in proportion to the slots, rank 0
/// last among equals, more than one per slot if need be.
/// @throws std::invalid_argument if `processes` is less than 1, or no rank has a slot.
std::vector<int> place_workers(std::span<const int> slots, std::optional<int> processes);

}  // namespace rankpool::scheduler
