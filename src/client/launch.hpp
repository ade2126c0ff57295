// How this process was started, read from its environment.
#pragma once

#include <sys/types.h>

#include <rankpool/run.hpp>

#include "engine/start.hpp"

namespace rankpool::client {

/// Options of this rank's engine. @throws std::invalid_argument for a setting without sense, Error for a launcher that
/// would run the program once per task instead of as one job
engine::StartOptions read_launch(const RunOptions& options);

/// The process whose affinity mask is what the job was granted on this host: mpirun binds ranks to single cores, its
/// daemon is not bound. 0: this process.
pid_t affinity_holder();

/// Was this process started by mpirun or the like, which tells the user how it ended?
bool is_launched();

/// Is this a rank that only serves?
bool is_worker_rank();

}  // namespace rankpool::client
