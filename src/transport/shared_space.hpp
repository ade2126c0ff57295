// Room for what the ranks of a host share in MPI.
#pragma once

namespace rankpool::transport {

/// Open MPI keeps a file of some MiB for each rank in /dev/shm. It looks whether there is room, but takes the room only
/// when it writes, and a rank for which there is none then is killed by SIGBUS. If the ranks of this host would not all
/// find room, they are made to use TCP among themselves, and the first of them says so. Before MPI_Init.
void avoid_full_shared_space();

/// Takes the room of this rank's file now. @throws MpiError if it has gone to somebody else meanwhile
void take_shared_space(int rank);

}  // namespace rankpool::transport
