// The body of every child process.
#pragma once

#include "worker/zygote.hpp"

namespace rankpool::client {

/// Serves its engine until it is told to leave, or runs its Process; then calls exit(), see child_end.hpp.
[[noreturn]] int child_main(const worker::ChildStart& start);

}  // namespace rankpool::client
