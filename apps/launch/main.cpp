// Starts a job that outlives lost ranks: mpirun's parent.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "agent.hpp"
#include "command.hpp"
#include "job.hpp"

namespace {

constexpr const char* help = R"(usage: rankpool-launch [-n N] [MPIRUN_OPTION]... -- PROGRAM [ARG]...

Starts PROGRAM as `mpirun [-n N] [MPIRUN_OPTION]... PROGRAM [ARG]...` does, but so that the job outlives the loss of a
rank or a host, except that of rank 0: its tasks are done again elsewhere. A rank is lost when its process ends, when
its host goes down, or when nothing is heard of it for 30 seconds; a network that mends before loses nothing.

The exit status is that of PROGRAM at rank 0: its code, or 128 + the number of the signal that ended it. If rank 0 is
placed on another host than this one, its status is not known here, nor when it ends: then mpirun's is returned, and
mpirun stays if a host was lost. SIGINT, SIGTERM and SIGHUP go
to rank 0, SIGUSR1 and SIGUSR2 to all ranks. All variables RANKPOOL_* go to all ranks.

  RANKPOOL_HEARTBEAT  seconds of silence after which a rank of another host is lost (30; 0: never)

The other hosts are reached by ssh, or by what mpirun's parameter plm_rsh_agent says. Open MPI only.
Exit status 2: wrong use. 127: there is no mpirun.
)";

std::string own_path() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  const std::string found(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  // mpirun splits at these.
  if (!found.empty() && found.find_first_of(" \t:") == std::string::npos) return found;
  return "/proc/" + std::to_string(::getpid()) + "/exe";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "--agent") == 0) return launch::run_agent(argc, argv);
  if (argc > 1 && (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0)) {
    std::fputs(help, stdout);
    return 0;
  }
  auto wish = launch::read_wish(argc, argv);
  if (!wish) {
    std::fputs(
        "rankpool-launch: say `--` and the program behind mpirun's options: rankpool-launch -n 4 -- ./app\n"
        "(rankpool-launch --help says more)\n",
        stderr);
    return 2;
  }
  try {
    launch::set_environment(*wish, own_path());
    launch::Job job;
    return job.run(*wish);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rankpool-launch: %s\n", error.what());
    return 2;
  }
}
