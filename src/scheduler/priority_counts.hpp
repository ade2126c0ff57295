// How many of something there are of each priority.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace rankpool::scheduler {

/// Made for very few priorities at a time, and costs next to nothing if there is but one.
class PriorityCounts {
 public:
  static constexpr int none = std::numeric_limits<int>::max();

  void add(int priority, std::uint64_t count) {
    if (count == 0) return;
    if (levels_.size() == 1 && levels_.front().count == 0) levels_.front().priority = priority;
    const auto at = find(priority);
    if (at != levels_.end() && at->priority == priority) {
      at->count += count;
    } else {
      levels_.insert(at, Level{priority, count});
    }
  }
  /// So many must be there.
  void remove(int priority, std::uint64_t count) {
    const auto at = find(priority);
    if (count == 0 || at == levels_.end()) return;
    at->count -= count;
    if (at->count == 0 && levels_.size() > 1) levels_.erase(at);
  }
  void remove(const PriorityCounts& others) {
    for (const Level& level : others.levels_) remove(level.priority, level.count);
  }
  void clear() noexcept { levels_.clear(); }

  std::uint64_t at(int priority) const noexcept {
    const auto at = std::find_if(levels_.begin(), levels_.end(),
                                 [priority](const Level& level) { return level.priority >= priority; });
    return at != levels_.end() && at->priority == priority ? at->count : 0;
  }
  /// The lowest priority of which there is one, or `none`.
  int lowest() const noexcept {
    return levels_.empty() || levels_.front().count == 0 ? none : levels_.front().priority;
  }

 private:
  struct Level {
    int priority;
    std::uint64_t count;
  };
  std::vector<Level>::iterator find(int priority) {
    return std::lower_bound(levels_.begin(), levels_.end(), priority,
                            [](const Level& level, int wanted) { return level.priority < wanted; });
  }

  std::vector<Level> levels_;  // from the lowest up; none is empty, but for one that is alone
};

}  // namespace rankpool::scheduler
