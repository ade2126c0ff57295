// Programs that a measurement starts.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace bench {

struct Finished {
  double first_byte_seconds = 0;  ///< from before the start to the first byte on its stdout
  std::string output;
};

/// Path of this program.
std::string own_path();

/// Runs a command with this process's environment less what a launcher put there, on every core that this host
/// allows, and waits for it. @throws std::runtime_error if it cannot be started, fails, writes nothing or is not done
/// in time
Finished run_program(const std::vector<std::string>& command, std::chrono::milliseconds limit);

}  // namespace bench
