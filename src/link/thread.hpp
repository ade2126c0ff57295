// How rankpool starts threads of its own beside those of the user.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "link/signal_mask.hpp"

namespace rankpool::link {

/// A thread to which no signal is delivered: those are for the threads that were there before. @throws
/// std::system_error that says what to do, if there can be none
template <class Body>
std::thread start_thread(const char* what, Body&& body) {
  const AllSignalsBlocked blocked;
  try {
    return std::thread(std::forward<Body>(body));
  } catch (const std::system_error& error) {
    throw std::system_error(error.code(),
                            std::string("rankpool: the thread ") + what + " (raise the limit on processes: ulimit -u)");
  }
}

}  // namespace rankpool::link
