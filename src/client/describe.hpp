// An exception that nobody has caught, for stderr.
#pragma once

#include <exception>
#include <string>

namespace rankpool::client {

/// "type: text" and its causes, or the remote side of it where there is one.
std::string describe(const std::exception_ptr& error);

}  // namespace rankpool::client
