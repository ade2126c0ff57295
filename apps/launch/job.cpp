#include "job.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

namespace launch {
namespace {

using namespace std::chrono_literals;

constexpr auto linger_limit = 1s;  // after rank 0: so long may other ranks take to end
constexpr auto term_limit = 5s;    // mpirun needs 2 s for a good end after SIGTERM
constexpr auto last_words_limit = 2s;
constexpr auto stop_limit = 10s;  // the same after a signal from outside

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.compare(name_end, 3, ") Z") != 0;
}

std::string own_descriptor(int fd) { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd); }

}  // namespace

Job::Job() {
  if (::pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) fail("pipe");
  state_ = ::memfd_create("rankpool-launch", MFD_CLOEXEC);
  if (state_ < 0) fail("memfd_create");
  set_state(JobState::starting);
  sigset_t mine;
  ::sigemptyset(&mine);
  for (const int one : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) ::sigaddset(&mine, one);
  ::sigprocmask(SIG_BLOCK, &mine, &before_);
  signals_ = ::signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) fail("signalfd");
  // On a terminal mpirun must be in the foreground to read from it; its signals reach both then.
  own_group_ = ::isatty(STDIN_FILENO) == 0;
}

void Job::set_state(JobState state) {
  const auto byte = static_cast<char>(state);
  if (::pwrite(state_, &byte, 1, 0) != 1) fail("pwrite");
}

int Job::run(const Wish& wish) {
  start(wish);
  wait();
  hear_last_words();
  set_state(JobState::over);
  if (WIFSIGNALED(status_)) clean();
  return result();
}

void Job::start(const Wish& wish) {
  ::setenv(state_variable, own_descriptor(state_).c_str(), 1);
  const std::string channel = own_descriptor(pipe_[1]);
  std::array<char, 64> identity{};
  if (::readlink(channel.c_str(), identity.data(), identity.size() - 1) < 0) fail("readlink");
  std::vector<std::string> command = mpirun_command(wish, channel, identity.data());
  std::vector<char*> words;
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);

  const pid_t mine = ::getpid();
  mpirun_ = ::fork();
  if (mpirun_ < 0) fail("fork");
  if (mpirun_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // which ends the job in good order
  if (::getppid() != mine) ::_exit(1);
  if (own_group_) ::setpgid(0, 0);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  ::execvp(words.front(), words.data());
  std::fprintf(stderr, "rankpool-launch: cannot run mpirun: %s (install Open MPI, or put its mpirun into PATH)\n",
               std::strerror(errno));
  ::_exit(127);
}

void Job::wait() {
  while (!gone_) {
    pollfd fds[] = {{pipe_[0], POLLIN, 0}, {signals_, POLLIN, 0}};
    int timeout = -1;
    if (press_next_)
      timeout = std::max(
          0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*press_next_ - Clock::now()).count()));
    ::poll(fds, 2, timeout);
    hear_rank();
    hear_signals();
    if (!gone_ && press_next_ && Clock::now() >= *press_next_) press();
  }
}

void Job::hear_rank() {
  std::array<char, 1024> bytes;
  ssize_t count = 0;
  while ((count = ::read(pipe_[0], bytes.data(), bytes.size())) > 0)
    heard_.append(bytes.data(), static_cast<std::size_t>(count));
  for (std::size_t end = 0; (end = heard_.find('\n')) != std::string::npos; heard_.erase(0, end + 1)) {
    hear_line(heard_.substr(0, end));
  }
}

/// After a signal mpirun can be gone before its ranks are.
void Job::hear_last_words() {
  const auto deadline = Clock::now() + last_words_limit;
  hear_rank();
  while (shell_ > 0 && !ended_ && runs(shell_) && Clock::now() < deadline) {
    pollfd pipe{pipe_[0], POLLIN, 0};
    ::poll(&pipe, 1, 10);
    hear_rank();
  }
  hear_rank();
}

void Job::hear_line(const std::string& line) {
  std::istringstream words(line);
  std::string what;
  words >> what;
  if (what == "begun") {
    words >> shell_ >> job_id_;
    std::getline(words >> std::ws, session_folder_);
    set_state(JobState::running);
  } else if (int code = 0; what == "ended" && words >> code) {
    ended_ = code;
    set_state(JobState::over);
    if (!press_next_) press_next_ = Clock::now() + linger_limit;
  }
}

void Job::hear_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) {
      gone_ |= ::waitpid(mpirun_, &status_, WNOHANG) == mpirun_ && (WIFEXITED(status_) || WIFSIGNALED(status_));
      continue;
    }
    if (number == SIGUSR1 || number == SIGUSR2) {
      ::kill(mpirun_, number);  // which tells all ranks
    } else {
      stop(number, info.ssi_code > 0);
    }
  }
}

/// Ends the job by rank 0, which knows how to. mpirun would wait a second, tell all ranks, and kill rank 0 in the
/// middle of its work as soon as one of the others has ended.
void Job::stop(int number, bool from_terminal) {
  if (stopped_by_ == 0) {
    stopped_by_ = number;
    press_next_ = Clock::now() + stop_limit;
  }
  if (shell_ > 0) {
    ::kill(-shell_, number);
    return;
  }
  if (own_group_ || !from_terminal) ::kill(mpirun_, number);
  presses_ = 1;
}

/// mpirun stays when a host is lost. It gets a chance to tidy up.
void Job::press() {
  ::kill(mpirun_, presses_ == 0 ? SIGTERM : SIGKILL);
  ++presses_;
  press_next_ = Clock::now() + term_limit;
}

/// What a killed mpirun leaves on this host.
void Job::clean() const {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string own_part = "/pid." + std::to_string(mpirun_);
  if (session_folder_.ends_with(own_part)) fs::remove_all(session_folder_, ignored);
  unsigned long id = 0;
  if (std::sscanf(job_id_.c_str(), "%lu", &id) != 1) return;
  std::array<char, 32> part{};
  std::snprintf(part.data(), part.size(), ".%lx.", id);
  const std::string folder = environment("OMPI_MCA_btl_vader_backing_directory", "/dev/shm");
  for (fs::directory_iterator at(folder, ignored), end; at != end; at.increment(ignored)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("vader_segment.") && name.find(part.data()) != std::string::npos) {
      fs::remove(at->path(), ignored);
    }
  }
}

int Job::result() const {
  if (ended_) return *ended_;
  if (stopped_by_ != 0) return 128 + stopped_by_;
  const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  if (shell_ > 0) {
    std::fprintf(stderr,
                 "rankpool-launch: rank 0 and the shell that started it were killed, so its exit status is not "
                 "known\n");
    return code != 0 ? code : 128 + SIGKILL;
  }
  if (code == 0) {
    std::fprintf(stderr,
                 "rankpool-launch: rank 0 did not run on this host, so its exit status is not known; mpirun's "
                 "is 0\n");
  }
  return code;
}

}  // namespace launch
