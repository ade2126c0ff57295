// What becomes of the values of the tasks of a job.
#pragma once

#include <cstdint>

namespace rankpool::detail {

/// Are they reduced to one where they are computed? Then it matters whether that one may grow.
enum class Fold : std::uint32_t { none, fixed_size, any_size };

}  // namespace rankpool::detail
