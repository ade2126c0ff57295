#include "transport/mpi_check.hpp"

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

void check_some(int code, int count, const MPI_Status* statuses) {
  if (code == MPI_ERR_IN_STATUS) {
    for (int i = 0; i < count; ++i) check(statuses[i].MPI_ERROR, "MPI_Testsome");
  }
  check(code, "MPI_Testsome");
}

}  // namespace rankpool::transport
