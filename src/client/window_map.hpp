// The windows as this process has them mapped.
#pragma once

#include "client/client.hpp"
#include "link/window.hpp"

namespace rankpool::client {

/// The window of a rank; the first call for each asks this process's engine. It stays mapped. Any thread, but no
/// handler of frames. @throws Error if the engine is gone, std::system_error if it cannot be mapped
const link::Window& window_of(Client& client, int rank);

}  // namespace rankpool::client
