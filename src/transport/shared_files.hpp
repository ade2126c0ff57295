// Files by which MPI shares memory between the ranks of a host.
#pragma once

#include <mpi.h>

#include <string>

namespace rankpool::transport {

/// Those of Open MPI have no names from the time on when every rank of each host has them mapped: then a rank that is
/// killed, or leaves without MPI_Finalize, leaves nothing in /dev/shm.
class SharedFiles {
 public:
  /// Takes the names away. Collective. @throws MpiError
  void unlink(MPI_Comm comm);
  /// Puts an empty file where MPI_Finalize would complain that its own has gone.
  void restore() const;

 private:
  std::string own_;
};

}  // namespace rankpool::transport
