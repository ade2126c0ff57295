// The tasks that the measurements send out.
#pragma once

#include <cstdint>
#include <vector>

#include "session.hpp"

namespace bench {

/// The task that does nothing.
int identity(int x);

/// Sends an array back as it came.
std::vector<double> send_back(std::vector<double> values);

/// Lasts so long by the clock on the wall, whoever else uses the core. Returns its argument.
std::uint32_t spin(std::uint32_t nanoseconds);

/// Does so many rounds of arithmetic. Returns what comes out.
std::uint64_t burn(std::uint32_t rounds);

/// CPU time of one round of `burn` while every worker is at it, in nanoseconds; the median of several.
double round_nanoseconds(Session& session);

}  // namespace bench
