// mpirun as a child, and what its ranks say.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

#include "agent.hpp"
#include "command.hpp"

namespace launch {

/// One job, from the start of mpirun to its last trace.
class Job {
 public:
  /// Makes the ways by which ranks and agents talk to this process. They are descriptors of it, so that nothing of them
  /// stays, however it ends. @throws std::system_error
  Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Starts mpirun and stays until it has gone. The exit status is that of rank 0: its code, or 128 + its signal.
  /// @throws std::system_error
  int run(const Wish& wish);

 private:
  using Clock = std::chrono::steady_clock;

  void start(const Wish& wish);
  void wait();
  void hear_rank();
  void hear_last_words();
  void hear_line(const std::string& line);
  void hear_signals();
  void stop(int number, bool from_terminal);
  void press();
  void set_state(JobState state);
  void clean() const;
  int result() const;

  int pipe_[2] = {-1, -1};
  int state_ = -1;
  int signals_ = -1;
  sigset_t before_;
  bool own_group_ = false;
  pid_t mpirun_ = -1;
  int status_ = 0;  // of mpirun
  bool gone_ = false;
  std::string heard_;         // from rank 0, not a whole line yet
  pid_t shell_ = 0;           // that of rank 0, once it has begun
  std::optional<int> ended_;  // rank 0
  std::string job_id_, session_folder_;
  int stopped_by_ = 0;                           // the first signal that ends the job
  std::optional<Clock::time_point> press_next_;  // when to become rougher with mpirun
  int presses_ = 0;
};

}  // namespace launch
