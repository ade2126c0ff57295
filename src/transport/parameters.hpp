// Settings from the environment: what we tell Open MPI, and what the user tells us.
#pragma once

namespace rankpool::transport {

/// Puts the parameters of Open MPI that suit rankpool into this process's environment, except those that the user has
/// set there or by `mpirun --mca`. To be called before MPI_Init; other MPI implementations ignore them.
void set_mpi_parameters();

/// True if RANKPOOL_SEGMENTS=copy: large payloads are then copied through MPI to every rank, also where the ranks share
/// a host and could pass memory by reference. A way out where /proc or memfd is restricted. @throws MpiError
bool segments_by_copy();

/// False if RANKPOOL_WINDOW=messages on this rank: one-sided windows are then not used, nor looked for. The other
/// values, auto and one_sided, differ only in where they are wanted. @throws MpiError
bool windows_wanted();

}  // namespace rankpool::transport
