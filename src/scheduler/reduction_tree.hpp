// How the values of many ranks become one in few steps.
#pragma once

#include <cstdint>

namespace rankpool::scheduler {

/// A place in a binomial tree over the places 0 to n - 1, of which 0 is the root.
struct TreePlace {
  std::int64_t parent;     ///< -1: none
  std::uint32_t children;  ///< these are place + 1, place + 2, place + 4, ...
};

constexpr TreePlace tree_place(std::uint64_t place, std::uint64_t n) noexcept {
  TreePlace at{place == 0 ? -1 : static_cast<std::int64_t>(place & (place - 1)), 0};
  for (std::uint64_t step = 1; (place & step) == 0 && place + step < n; step *= 2) ++at.children;
  return at;
}

}  // namespace rankpool::scheduler
