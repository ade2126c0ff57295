// Tasks of one job, as intervals.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

#include "scheduler/types.hpp"

namespace rankpool::scheduler {

class TaskSet {
 public:
  /// The first of some consecutive tasks, and how many of them are all in the set, or all not.
  struct Part {
    bool inside;
    std::uint64_t count;
  };

  bool empty() const noexcept { return intervals_.empty(); }
  /// First task of each interval, and the one behind its last.
  const std::map<TaskIndex, TaskIndex>& intervals() const noexcept { return intervals_; }

  /// None of them is in it.
  void add(TaskIndex first, std::uint64_t count) {
    if (count == 0) return;
    TaskIndex last = first + count;
    auto next = intervals_.lower_bound(first);
    if (next != intervals_.end() && next->first == last) {
      last = next->second;
      next = intervals_.erase(next);
    }
    if (next != intervals_.begin() && std::prev(next)->second == first) {
      std::prev(next)->second = last;
    } else {
      intervals_.emplace_hint(next, first, last);
    }
  }
  /// Those of them that are in it.
  void remove(TaskIndex first, std::uint64_t count) {
    const TaskIndex last = first + count;
    auto at = intervals_.upper_bound(first);
    if (at != intervals_.begin()) --at;
    while (at != intervals_.end() && at->first < last) {
      const auto [begin, end] = *at;
      if (end <= first) {
        ++at;
        continue;
      }
      at = intervals_.erase(at);
      if (begin < first) intervals_.emplace(begin, first);
      if (end > last) intervals_.emplace(last, end);
    }
  }
  /// `count` is at least 1.
  Part part(TaskIndex first, std::uint64_t count) const {
    const auto next = intervals_.upper_bound(first);
    if (next != intervals_.begin() && std::prev(next)->second > first)
      return {true, std::min(count, std::prev(next)->second - first)};
    return {false, next == intervals_.end() ? count : std::min(count, next->first - first)};
  }

 private:
  std::map<TaskIndex, TaskIndex> intervals_;
};

}  // namespace rankpool::scheduler
