// The texts of errors that explain themselves.
#include <rankpool/errors.hpp>

#include <signal.h>
#include <string.h>

#include <string_view>

namespace rankpool {
namespace {

/// What a signal usually means for a task, and what to do about it.
std::string_view advice(int signal) {
  switch (signal) {
    case SIGKILL:
      return "it was out of memory, or ended from outside; look for the out-of-memory killer in the log of the host "
             "(dmesg, sacct), use fewer workers per host or smaller tasks";
    case SIGSEGV:
      return "it used memory that is not its own, or more stack than there is (endless recursion, large local arrays; "
             "see ulimit -s); run the function in a debugger, or build with -fsanitize=address";
    case SIGBUS:
      return "it used memory that is not there: a mapped file was cut, or /dev/shm is full";
    case SIGABRT:
      return "it called abort(): a failed assertion, or an exception that nothing could catch; the reason is on its "
             "stderr";
    case SIGFPE:
      return "it divided an integer by zero, or overflowed in a division";
    case SIGILL:
      return "it used an instruction that this processor lacks; was the program built with -march=native on another "
             "one?";
    case SIGXCPU:
      return "it used more processor time than it may; look at ulimit -t";
    case SIGXFSZ:
      return "it wrote a larger file than it may; look at ulimit -f";
    case SIGTERM:
      return "it was asked to end, from outside or by the task itself";
    default:
      return "it was ended from outside, or by the task itself";
  }
}

std::string name_of(int signal) {
  const char* name = ::sigabbrev_np(signal);
  std::string text = std::to_string(signal);
  if (name != nullptr) text += std::string(" (SIG") + name + ")";
  return text;
}

}  // namespace

std::string WorkerLost::explain(const Data& data) {
  std::string text =
      data.task_index ? "task " + std::to_string(*data.task_index) + " was lost: its worker" : "a worker";
  text += " (process " + std::to_string(data.pid) + " on rank " + std::to_string(data.rank);
  if (!data.host.empty()) text += ", host " + data.host;
  text += ") ";
  if (data.signal) {
    text += "was killed by signal " + name_of(*data.signal) + ": ";
    text += advice(*data.signal);
  } else if (data.exit_code) {
    text += "ended with exit code " + std::to_string(*data.exit_code) +
            ": exit() was called in it; return from the task, or throw, instead";
  } else {
    text += "is gone";
  }
  if (data.attempts > 1) text += "; the task was begun " + std::to_string(data.attempts) + " times";
  if (data.attempts == 1 && data.task_index && data.signal) text += "; to begin lost tasks again, set `retries`";
  return text;
}

BufferTooShort::BufferTooShort(std::size_t size)
    : BufferTooShort("the next message has " + std::to_string(size) +
                         " bytes, more than there is room for; it is kept: receive it with more room",
                     size) {}

}  // namespace rankpool
