// The life of a Process, in the child.
#pragma once

#include <cstddef>
#include <span>

namespace rankpool::client {

/// Runs the call (a callable's handle and bytes, then its arguments); returns the exit status. What it throws is
/// printed.
int run_process(std::span<const std::byte> call);

}  // namespace rankpool::client
