#include "client/child_end.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "client/client.hpp"
#include "client/process.hpp"

namespace rankpool::client {
namespace {

pid_t child = 0;

/// Runs what may fail because the engine is gone.
template <class Step>
void attempt(Step&& step) noexcept {
  try {
    step();
  } catch (...) {
    // the process ends all the same
  }
}

void end(int status, void*) {
  if (::getpid() == child) {  // else it was forked by the user, and what is here is not its own
    attempt([] {
      const std::shared_ptr<Client> client = Client::get();
      attempt([] { end_processes(); });
      attempt([] { Client::stop(); });
      attempt([&] { client->settle(Client::nowhere); });
    });
  }
  std::signal(SIGPIPE, SIG_IGN);
  flush_streams();
  ::_exit(status);
}

}  // namespace

void catch_exit() {
  child = ::getpid();
  ::on_exit(end, nullptr);
}

void flush_streams() noexcept {
  attempt([] { std::cout.flush(); });
  attempt([] { std::clog.flush(); });
  std::fflush(nullptr);
}

}  // namespace rankpool::client
