// One place where the return codes of MPI become exceptions.
#pragma once

namespace rankpool::transport {

/// `call` names the function that returned `code`. @throws MpiError unless it is MPI_SUCCESS
void check(int code, const char* call);

}  // namespace rankpool::transport
