#include "scheduler/process_placement.hpp"

#include <cstddef>

namespace rankpool::scheduler {

int ProcessPlacement::place(std::optional<int> wish) {
  std::size_t best = 0;
  if (wish) {
    best = static_cast<std::size_t>(*wish);
  } else {
    bool found = false;
    for (std::size_t rank = 0; rank < room_.size(); ++rank) {
      if (slots_[rank] < 1 || (found && room_[rank] <= room_[best])) continue;
      best = rank;
      found = true;
    }
  }
  --room_.at(best);
  return static_cast<int>(best);
}

}  // namespace rankpool::scheduler
