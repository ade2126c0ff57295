// Tasks that several test files use.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include <rankpool/rankpool.hpp>

#include "scratch.hpp"

namespace support {

inline long square(long x) { return x * x; }

// CPython's names for the tasks of its pool tests.
inline long sqr(long x) { return x * x; }
inline long sqr_after(long x, std::chrono::milliseconds nap) {
  std::this_thread::sleep_for(nap);
  return x * x;
}
inline int own_pid() { return ::getpid(); }
inline int own_pid_for(int) { return ::getpid(); }

/// For far longer than a test may take: whoever waits for it has a bug.
inline void sleep_for_ever(int) { std::this_thread::sleep_for(std::chrono::seconds(300)); }

/// Waits for the file, which another process makes.
inline void wait_for_file(const std::string& file) {
  if (!eventually([&] { return exists(file); })) throw std::runtime_error(file + " was never made");
}

/// By this signal, and not by a handler of a sanitizer for it.
[[noreturn]] inline void die_by(int signal) {
  std::signal(signal, SIG_DFL);
  ::raise(signal);
  std::_Exit(99);
}

[[noreturn]] inline void throw_uncaught() { throw std::runtime_error("nobody catches this"); }
[[noreturn]] inline void throw_through_noexcept() noexcept { throw_uncaught(); }

/// How a process can end in the middle of a task.
enum class Death { underscore_exit, exit, abort, segmentation_fault, kill, terminate };

[[noreturn]] inline void die(Death how) {
  switch (how) {
    case Death::underscore_exit:
      ::_exit(5);
    case Death::exit:
      std::exit(6);
    case Death::abort:
      std::abort();
    case Death::segmentation_fault:
      die_by(SIGSEGV);
    case Death::kill:
      die_by(SIGKILL);
    case Death::terminate:
      throw_through_noexcept();
  }
  std::_Exit(99);
}

}  // namespace support
