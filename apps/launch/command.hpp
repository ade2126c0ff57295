// What the user said, and what mpirun is told.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace launch {

/// For `rankpool-launch --agent`: what it is to run, and the name of a file that says where the job is.
inline constexpr const char* agent_variable = "RANKPOOL_AGENT";
inline constexpr const char* state_variable = "RANKPOOL_LAUNCH_STATE";

/// `rankpool-launch OPTIONS -- PROGRAM`.
struct Wish {
  std::vector<std::string> options;  ///< for mpirun
  std::vector<std::string> program;  ///< and its arguments
};

/// None if it is not of that form.
std::optional<Wish> read_wish(int argc, char** argv);

/// Sets the parameters of Open MPI and of rankpool that a job needs in order to outlive a lost rank, but for those that
/// the user has set. `self`: this program. @throws std::runtime_error for a setting without sense
void set_environment(Wish& wish, const std::string& self);

/// mpirun's whole command line. Each rank is started by a shell that becomes the program; that of rank 0 stays and says
/// to `channel` (a pipe, by a name that is good on this host) when it has begun, and how it ended. `identity`: what the
/// name is a link to, since it means something else on another host.
std::vector<std::string> mpirun_command(const Wish& wish, const std::string& channel, const std::string& identity);

/// The variable, or `otherwise` if it is not set or empty.
std::string environment(const char* name, const char* otherwise = "");

}  // namespace launch
