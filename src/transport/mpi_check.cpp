#include "transport/mpi_check.hpp"

#include <mpi.h>

#include <string>

#include <rankpool/errors.hpp>

namespace rankpool::transport {

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw MpiError(std::string(call) + " failed: " + text +
                 "; the job cannot go on (is every rank still alive and started by the same mpirun?)");
}

}  // namespace rankpool::transport
