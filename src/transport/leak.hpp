// Memory that MPI may still read or write for a rank that is lost.
#pragma once

#include <utility>

namespace rankpool::transport {

/// Keeps `what` to the end of the process, on purpose: a request towards a rank that has died is never known to be
/// over. That is some packets and some chunks of segments for each lost rank, and no more.
template <class T>
void leak(T what) {
  static_cast<void>(new T(std::move(what)));
}

}  // namespace rankpool::transport
