#include "agent.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "command.hpp"

namespace launch {
namespace {

/// Ends with its parent: mpirun may be killed, and a session with a host that has vanished would stay.
void end_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::raise(SIGTERM);
}

JobState state_of_job() {
  const int fd = ::open(environment(state_variable).c_str(), O_RDONLY | O_CLOEXEC);
  char state = static_cast<char>(JobState::starting);
  if (fd >= 0) {
    static_cast<void>(::pread(fd, &state, 1, 0));
    ::close(fd);
  }
  return static_cast<JobState>(state);
}

std::vector<std::string> real_command(int argc, char** argv) {
  std::vector<std::string> command;
  std::istringstream words(environment(agent_variable, "ssh"));
  for (std::string word; words >> word;) command.push_back(word);
  const std::string program = command.front().substr(command.front().rfind('/') + 1);
  if (program == "ssh" && command.size() == 1) command.emplace_back("-x");  // as mpirun does: no windows
  command.insert(command.end(), argv + 2, argv + argc);
  return command;
}

}  // namespace

int run_agent(int argc, char** argv) {
  end_with(::getppid());
  std::vector<std::string> command = real_command(argc, argv);
  const pid_t mine = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    std::perror("rankpool-launch: fork");
    return 1;
  }
  if (child == 0) {
    end_with(mine);
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    ::execvp(words.front(), words.data());
    std::fprintf(stderr, "rankpool-launch: cannot run %s: %s\n", words.front(), std::strerror(errno));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code == 0) return 0;
  const JobState state = state_of_job();
  if (state == JobState::starting) return code;
  if (state == JobState::running)
    std::fprintf(stderr, "rankpool-launch: the session with %s has ended with status %d; the job goes on without it\n",
                 argc > 2 ? argv[2] : "a host", code);
  return 0;
}

}  // namespace launch
