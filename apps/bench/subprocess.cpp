#include "subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

/// Set by mpirun or srun for its ranks; a program that inherits it takes itself for one of them. What the user set with
/// OMPI_MCA_... stays, apart from the parameters that mpirun passes to its ranks under such names.
bool from_launcher(std::string_view variable) {
  constexpr std::array kept{"OMPI_ALLOW_RUN_AS_ROOT"};
  constexpr std::array internal{
      "OMPI_MCA_orte_",        "OMPI_MCA_ess", "OMPI_MCA_pmix=", "OMPI_MCA_initial_wdir", "OMPI_MCA_mpi_oversubscribe",
      "OMPI_MCA_shmem_RUNTIME"};
  constexpr std::array prefixes{"OMPI_", "PMIX_", "ORTE_", "PRTE_", "PMI_"};
  const auto matches = [variable](const char* prefix) { return variable.starts_with(prefix); };
  if (std::ranges::any_of(kept, matches)) return false;
  if (variable.starts_with("OMPI_MCA_")) return std::ranges::any_of(internal, matches);
  return std::ranges::any_of(prefixes, matches);
}

std::vector<char*> clean_environment() {
  std::vector<char*> result;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!from_launcher(*variable)) result.push_back(*variable);
  }
  result.push_back(nullptr);
  return result;
}

/// mpirun may have bound this process to one core; a program started meanwhile is not.
class Unbound {
 public:
  Unbound() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t all;
    std::memset(&all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
  }
  ~Unbound() { sched_setaffinity(0, sizeof before_, &before_); }
  Unbound(const Unbound&) = delete;
  Unbound& operator=(const Unbound&) = delete;

 private:
  cpu_set_t before_{};
};

struct Descriptor {
  int number = -1;
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  void reset() {
    if (number >= 0) close(number);
    number = -1;
  }
};

/// A process group that does not outlive its owner.
class Child {
 public:
  Child(const std::vector<std::string>& command, int output) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    std::vector<char*> environment = clean_environment();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t every;
    sigemptyset(&none);
    sigfillset(&every);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &every);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    const int error =
        posix_spawnp(&pid_, command.front().c_str(), &actions, &attributes, arguments.data(), environment.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start " + command.front());
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Its wait status, or -1 if it has not ended by then.
  int wait_until(Clock::time_point deadline) {
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) != pid_) {
      if (Clock::now() > deadline) return -1;
      usleep(1000);
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_ = 0;
};

}  // namespace

std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe"); }

Finished run_program(const std::vector<std::string>& command, std::chrono::milliseconds limit) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  Descriptor reading;
  Descriptor writing;
  reading.number = ends[0];
  writing.number = ends[1];

  const Unbound unbound;
  const auto start = Clock::now();
  const auto deadline = start + limit;
  Child child(command, writing.number);
  writing.reset();

  Finished result;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd wanted{reading.number, POLLIN, 0};
    if (left <= 0 || poll(&wanted, 1, static_cast<int>(left)) <= 0) break;
    char bytes[4096];
    const ssize_t count = read(reading.number, bytes, sizeof bytes);
    if (count <= 0) break;
    if (result.output.empty()) result.first_byte_seconds = std::chrono::duration<double>(Clock::now() - start).count();
    result.output.append(bytes, static_cast<std::size_t>(count));
  }
  const int status = child.wait_until(deadline);
  if (status == -1) throw std::runtime_error(command.front() + " did not end in time");
  if (status != 0) throw std::runtime_error(command.front() + " failed, wait status " + std::to_string(status));
  if (result.output.empty()) throw std::runtime_error(command.front() + " wrote nothing");
  return result;
}

}  // namespace bench
