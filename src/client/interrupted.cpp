#include "client/interrupted.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <rankpool/errors.hpp>

#include "client/exit_note.hpp"

namespace rankpool::client {
namespace {

std::terminate_handler handler_before = nullptr;
pid_t owner = 0;

/// None if it is something else that has brought the process here.
int uncaught_signal() noexcept {
  const std::exception_ptr error = std::current_exception();
  if (!error || ::getpid() != owner) return 0;
  try {
    std::rethrow_exception(error);
  } catch (const Interrupted& interrupted) {
    return interrupted.signal();
  } catch (...) {
    return 0;
  }
}

void on_terminate() {
  const int signal = uncaught_signal();
  if (signal == 0) {
    if (handler_before != nullptr) handler_before();
    std::abort();
  }
  if (signal == SIGUSR1) {
    std::fputs("rankpool: SIGUSR1 has interrupted a thread of the program that does not catch Interrupted\n", stderr);
    note_exit(work_left_code);
    std::_Exit(work_left_code);
  }
  for (;;) ::pause();
}

}  // namespace

UncaughtInterrupted::UncaughtInterrupted() noexcept {
  owner = ::getpid();
  handler_before = std::set_terminate(on_terminate);
}
UncaughtInterrupted::~UncaughtInterrupted() {
  if (std::get_terminate() == on_terminate) std::set_terminate(handler_before);
}

std::exception_ptr interrupted_by(std::uint32_t signal) {
  const int number = static_cast<int>(signal);
  if (number == SIGUSR1)
    return std::make_exception_ptr(Interrupted(
        "SIGUSR1 has come to the job: what ran has ended, and nothing new is begun: save what there is, end "
        "the program, and run it again for the rest",
        number));
  return std::make_exception_ptr(Interrupted(
      std::string(number == SIGINT ? "SIGINT" : "SIGTERM") +
          " has come to the job, which stops: nothing more comes from it; save what there is and end the program "
          "at once",
      number));
}

}  // namespace rankpool::client
