#include "command.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>

extern char** environ;

namespace launch {
namespace {

/// Started by mpirun as `sh -c THIS rankpool-launch PROGRAM ARG...`.
constexpr const char* rank_script = R"sh(
if [ "${OMPI_COMM_WORLD_RANK:-}" != 0 ] || [ "$(readlink "$RANKPOOL_EXIT_FILE")" != "$RANKPOOL_EXIT_PIPE" ]; then
  unset RANKPOOL_EXIT_FILE RANKPOOL_EXIT_PIPE
  exec "$@"
fi
pipe=$RANKPOOL_EXIT_FILE
export RANKPOOL_DAEMON=$PPID
unset RANKPOOL_EXIT_FILE RANKPOOL_EXIT_PIPE
echo "begun $$ $PMIX_NAMESPACE $OMPI_MCA_orte_jobfam_session_dir" >"$pipe"
trap : HUP INT QUIT TERM USR1 USR2
"$@"
status=$?
echo "ended $status" >"$pipe"
exit $status
)sh";

constexpr std::string_view exit_file = "RANKPOOL_EXIT_FILE";  // as in the script
constexpr std::string_view exit_pipe = "RANKPOOL_EXIT_PIPE";

constexpr double default_silence = 30;  // as the library has it

void set_default(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 0); }

std::string rounded(double seconds) { return std::to_string(static_cast<long>(std::ceil(seconds))); }

/// mpirun must not take a host for lost, and end its ranks, while rankpool still hopes for it; but in the end the
/// daemons of hosts that cannot be reached must go.
void set_keepalive() {
  const std::string given = environment("RANKPOOL_HEARTBEAT");
  char* end = nullptr;
  const double silence = given.empty() ? default_silence : std::strtod(given.c_str(), &end);
  if (!given.empty() && (*end != '\0' || !(silence >= 0 && silence <= 1e6)))
    throw std::runtime_error("RANKPOOL_HEARTBEAT is '" + given + "': say a number of seconds, or 0");
  if (silence == 0) return;
  set_default("OMPI_MCA_oob_tcp_keepalive_time", rounded(2 * silence));
  set_default("OMPI_MCA_oob_tcp_keepalive_intvl", rounded(silence / 6));
  set_default("OMPI_MCA_oob_tcp_keepalive_probes", "6");
}

bool found_in_path(const std::string& command) {
  const std::string program = command.substr(0, command.find(' '));
  if (program.find('/') != std::string::npos) return ::access(program.c_str(), X_OK) == 0;
  const std::string path = environment("PATH", "/usr/local/bin:/usr/bin:/bin");
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    if (::access((path.substr(at, end - at) + "/" + program).c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

/// The first of `a : b : c` that is there, as mpirun would choose.
std::string choose_agent(const std::string& agents) {
  for (std::size_t at = 0; at <= agents.size();) {
    const std::size_t end = std::min(agents.find(':', at), agents.size());
    const std::string one = trimmed(agents.substr(at, end - at));
    if (!one.empty() && found_in_path(one)) return one;
    at = end + 1;
  }
  return {};
}

/// Takes `--mca NAME VALUE` out of the options and returns the value.
std::string take_parameter(std::vector<std::string>& options, std::string_view name) {
  std::string value;
  for (std::size_t i = 0; i + 2 < options.size();) {
    const std::string& option = options[i];
    const bool mca = option == "--mca" || option == "-mca" || option == "--gmca" || option == "-gmca";
    if (!mca || options[i + 1] != name) {
      ++i;
      continue;
    }
    value = options[i + 2];
    options.erase(options.begin() + static_cast<std::ptrdiff_t>(i),
                  options.begin() + static_cast<std::ptrdiff_t>(i + 3));
  }
  return value;
}

/// The program that opens sessions on other hosts is called through this one: its end would make mpirun end the job.
void wrap_agent(Wish& wish, const std::string& self) {
  std::string agents = take_parameter(wish.options, "plm_rsh_agent");
  if (agents.empty()) agents = environment("OMPI_MCA_plm_rsh_agent", "ssh : rsh");
  const std::string agent = choose_agent(agents);
  if (agent.empty()) {  // mpirun says so, if it needs one
    ::setenv("OMPI_MCA_plm_rsh_agent", agents.c_str(), 1);
    return;
  }
  ::setenv(agent_variable, agent.c_str(), 1);
  ::setenv("OMPI_MCA_plm_rsh_agent", (self + " --agent").c_str(), 1);
  // Else hosts would start hosts, and the loss of one would take others away; nor do they have this program.
  set_default("OMPI_MCA_plm_rsh_no_tree_spawn", "1");
}

/// Names of the variables that ranks on other hosts need too.
std::vector<std::string> own_variables() {
  static constexpr std::string_view not_theirs[] = {agent_variable, state_variable, exit_file, exit_pipe};
  std::vector<std::string> names;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string_view text(*one);
    const std::string_view name = text.substr(0, text.find('='));
    const bool theirs = std::find(std::begin(not_theirs), std::end(not_theirs), name) == std::end(not_theirs);
    if (name.starts_with("RANKPOOL_") && theirs) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string environment(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::optional<Wish> read_wish(int argc, char** argv) {
  const std::vector<std::string> all(argv + 1, argv + argc);
  const auto middle = std::find(all.begin(), all.end(), "--");
  if (middle == all.end() || middle + 1 == all.end()) return std::nullopt;
  return Wish{{all.begin(), middle}, {middle + 1, all.end()}};
}

void set_environment(Wish& wish, const std::string& self) {
  ::setenv("RANKPOOL_RECOVERY", "1", 1);
  // MPI_Finalize must not wait for the dead.
  set_default("OMPI_MCA_async_mpi_finalize", "1");
  set_keepalive();
  wrap_agent(wish, self);
}

std::vector<std::string> mpirun_command(const Wish& wish, const std::string& channel, const std::string& identity) {
  std::vector<std::string> command{"mpirun", "--enable-recovery"};
  for (const std::string& name : own_variables()) {
    const auto names_it = [&](const std::string& option) { return option == name || option.starts_with(name + "="); };
    if (std::none_of(wish.options.begin(), wish.options.end(), names_it)) command.insert(command.end(), {"-x", name});
  }
  command.insert(command.end(),
                 {"-x", std::string(exit_file) + "=" + channel, "-x", std::string(exit_pipe) + "=" + identity});
  command.insert(command.end(), wish.options.begin(), wish.options.end());
  command.insert(command.end(), {"/bin/sh", "-c", rank_script, "rankpool-launch"});
  command.insert(command.end(), wish.program.begin(), wish.program.end());
  return command;
}

}  // namespace launch
