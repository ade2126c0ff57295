// The error of whoever decodes frames.
#pragma once

#include <stdexcept>

namespace rankpool::wire {

/// Bytes that cannot be a frame: the sender has damaged its memory, or runs another build of the program.
struct BadFrame : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace rankpool::wire
