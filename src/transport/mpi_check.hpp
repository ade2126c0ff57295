// One place where the return codes of MPI become exceptions.
#pragma once

#include <mpi.h>

namespace rankpool::transport {

/// `call` names the function that returned `code`. @throws MpiError unless it is MPI_SUCCESS
void check(int code, const char* call);

/// The same for MPI_Testsome, which has a code for each of the `count` requests it found.
void check_some(int code, int count, const MPI_Status* statuses);

}  // namespace rankpool::transport
