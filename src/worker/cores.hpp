// The cores that a process may use.
#pragma once

#include <sys/types.h>

namespace rankpool::worker {

/// Cores in the affinity mask of `pid` (0: this process), limited by the CPU quota of this process's cgroup; at
/// least 1.
int granted_cores(pid_t pid);

}  // namespace rankpool::worker
