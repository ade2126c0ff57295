// The cases of CPython 3.13's _TestProcess, _TestPollEintr and _TestAtExit (Lib/test/_test_multiprocessing.py), under
// their names. What a process tells goes through files.
//
// On purpose other than there: misuse is std::logic_error; daemons may have children; a child is known by its name
// only, so the identity of test_recursion is passed on; the exit codes of test_sys_exit are those that C++ has. the
// sentinel is the Process itself, for wait_ready; a class with a private pipe holds a Process instead of being one. Not
// here: test_set_executable, test_wait_for_threads (a std::thread that is neither joined nor detached ends its process
// in C++).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::add_line;
using support::eventually;
using support::lines_of;
using support::long_enough;

namespace {

using Codes = std::optional<int>;

bool is_active(const rp::Process& process) {
  const auto children = rp::active_children();
  return std::any_of(children.begin(), children.end(),
                     [&](const rp::ProcessInfo& child) { return child.pid == process.pid(); });
}

class TestProcess : public testing::Test {
 protected:
  support::Scratch scratch_;
  const std::string log_ = scratch_.file("log");
};

}  // namespace

TEST_F(TestProcess, test_current) {
  const rp::ProcessInfo current = rp::current_process();
  EXPECT_TRUE(current.is_alive());
  EXPECT_EQ(current.name, "MainProcess");
  EXPECT_EQ(current.pid, ::getpid());
  EXPECT_EQ(current.rank, rp::rank());
  EXPECT_FALSE(current.host.empty());
}

TEST_F(TestProcess, test_args_argument) {
  const auto tell = [](const std::string& log, int number, const std::vector<int>& numbers, const std::string& text) {
    std::string line = std::to_string(number) + " " + text;
    for (const int one : numbers) line += " " + std::to_string(one);
    add_line(log, line);
  };
  rp::Process process(tell, log_, 7, std::vector<int>{1, 2}, "text");
  process.start();
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
  EXPECT_EQ(lines_of(log_), std::vector<std::string>{"7 text 1 2"});
}

TEST_F(TestProcess, test_daemon_argument) {
  const auto daemon = [](std::optional<bool> wish) {
    return rp::Process(rp::ProcessOptions{.daemon = wish}, support::own_pid).daemon();
  };
  EXPECT_FALSE(daemon({}));
  EXPECT_TRUE(daemon(true));
  EXPECT_FALSE(daemon(false));
  const auto child = [](const std::string& log) {
    const rp::Process inherits(support::own_pid);
    const rp::Process does_not(rp::ProcessOptions{.daemon = false}, support::own_pid);
    add_line(log, std::to_string(inherits.daemon()) + std::to_string(does_not.daemon()));
  };
  rp::Process process(rp::ProcessOptions{.daemon = true}, child, log_);
  process.start();
  process.join();
  EXPECT_EQ(lines_of(log_), std::vector<std::string>{"10"});
}

TEST_F(TestProcess, test_parent_process_attributes) {
  EXPECT_FALSE(rp::parent_process().has_value());
  const auto tell = [](const std::string& log) {
    const auto parent = rp::parent_process();
    add_line(log, std::to_string(parent->pid) + " " + parent->name + " " + std::to_string(parent->is_alive()));
  };
  rp::Process process(tell, log_);
  process.start();
  process.join();
  EXPECT_EQ(lines_of(log_), std::vector<std::string>{std::to_string(::getpid()) + " MainProcess 1"});
}

namespace {

void watch_parent(const std::string& log) {
  const auto parent = rp::parent_process();
  add_line(log, parent->is_alive() ? "alive" : "not alive");
  eventually([&] { return !parent->is_alive(); });
  add_line(log, parent->is_alive() ? "alive" : "not alive");
}
void have_a_watcher(const std::string& log) {
  rp::Process watcher(watch_parent, log);
  watcher.start();
  support::sleep_for_ever(0);
}

}  // namespace

TEST_F(TestProcess, test_parent_process) {
  rp::Process process(have_a_watcher, log_);
  process.start();
  ASSERT_TRUE(eventually([&] { return !lines_of(log_).empty(); }));
  process.kill();
  process.join();
  EXPECT_TRUE(eventually([&] { return lines_of(log_).size() == 2; }));
  EXPECT_EQ(lines_of(log_), (std::vector<std::string>{"alive", "not alive"}));
}

TEST_F(TestProcess, test_process) {
  const auto tell = [](const std::string& log, int first, int second) {
    add_line(log, std::to_string(first) + " " + std::to_string(second));
    add_line(log, rp::current_process().name);
    add_line(log, std::to_string(rp::current_process().pid));
  };
  rp::Process process(rp::ProcessOptions{.daemon = true}, tell, log_, 1, 2);
  EXPECT_FALSE(process.is_alive());
  EXPECT_TRUE(process.daemon());
  EXPECT_FALSE(is_active(process));
  EXPECT_EQ(process.exitcode(), Codes());

  process.start();
  EXPECT_TRUE(process.daemon());
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
  EXPECT_FALSE(process.is_alive());
  EXPECT_FALSE(is_active(process));
  EXPECT_EQ(lines_of(log_), (std::vector<std::string>{"1 2", process.name(), std::to_string(process.pid())}));
}

namespace {

void expect_end_by(int signal, void (rp::Process::*send)()) {
  rp::Process process(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0);
  process.start();
  EXPECT_TRUE(process.is_alive());
  EXPECT_TRUE(is_active(process));
  EXPECT_EQ(process.exitcode(), Codes());

  EXPECT_FALSE(process.join_for(0s));
  EXPECT_FALSE(process.join_for(-1s));
  EXPECT_TRUE(process.is_alive());

  (process.*send)();
  EXPECT_TRUE(process.join_for(long_enough));
  EXPECT_FALSE(process.is_alive());
  EXPECT_FALSE(is_active(process));
  process.join();
  EXPECT_EQ(process.exitcode(), -signal);
}

}  // namespace

TEST_F(TestProcess, test_interrupt) { expect_end_by(SIGINT, &rp::Process::interrupt); }
TEST_F(TestProcess, test_terminate) { expect_end_by(SIGTERM, &rp::Process::terminate); }
TEST_F(TestProcess, test_kill) { expect_end_by(SIGKILL, &rp::Process::kill); }

TEST_F(TestProcess, test_cpu_count) { EXPECT_GE(rp::cpu_count(), 1); }

TEST_F(TestProcess, test_active_children) {
  EXPECT_TRUE(rp::active_children().empty());
  rp::Process process(rp::ProcessOptions{.name = "one"}, support::wait_for_file, log_);
  EXPECT_TRUE(rp::active_children().empty());
  process.start();
  const auto children = rp::active_children();
  ASSERT_EQ(children.size(), 1u);
  EXPECT_EQ(children[0].name, "one");
  EXPECT_EQ(children[0].pid, process.pid());
  EXPECT_EQ(children[0].rank, process.rank());
  EXPECT_EQ(children[0].host, process.host());
  EXPECT_TRUE(children[0].is_alive());
  add_line(log_, "go");
  process.join();
  EXPECT_TRUE(rp::active_children().empty());
  EXPECT_FALSE(children[0].is_alive());
}

namespace {

void recurse(const std::string& log, const std::vector<int>& id) {
  std::string line;
  for (const int number : id) line += std::to_string(number);
  add_line(log, line);
  if (id.size() >= 2) return;
  for (int i = 0; i < 2; ++i) {
    std::vector<int> next = id;
    next.push_back(i);
    rp::Process process(recurse, log, next);
    process.start();
    process.join();
  }
}

}  // namespace

TEST_F(TestProcess, test_recursion) {
  recurse(log_, {});
  EXPECT_EQ(lines_of(log_), (std::vector<std::string>{"", "0", "00", "01", "1", "10", "11"}));
}

TEST_F(TestProcess, test_close) {
  rp::Process process(support::wait_for_file, log_);
  process.start();
  EXPECT_THROW(process.close(), std::logic_error);
  add_line(log_, "go");
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
  process.close();
  EXPECT_THROW(static_cast<void>(process.is_alive()), std::logic_error);
  EXPECT_THROW(process.join(), std::logic_error);
  EXPECT_THROW(process.terminate(), std::logic_error);
  process.close();
}

TEST_F(TestProcess, test_many_processes) {
  constexpr int count = 100;
  std::vector<rp::Process> processes;
  for (int i = 0; i < count; ++i) processes.emplace_back(support::own_pid);
  for (rp::Process& process : processes) process.start();
  for (rp::Process& process : processes) EXPECT_TRUE(process.join_for(long_enough));
  for (rp::Process& process : processes) EXPECT_EQ(process.exitcode(), 0);

  processes.clear();
  for (int i = 0; i < count; ++i) processes.emplace_back(support::sleep_for_ever, 0);
  for (rp::Process& process : processes) process.start();
  for (rp::Process& process : processes) process.terminate();
  for (rp::Process& process : processes) EXPECT_TRUE(process.join_for(long_enough));
  for (rp::Process& process : processes) EXPECT_EQ(process.exitcode(), -SIGTERM);
}

namespace {

/// Counts those that live in this process.
struct Counted {
  inline static int living = 0;
  Counted() { ++living; }
  Counted(const Counted&) { ++living; }
  Counted(Counted&&) noexcept { ++living; }
  ~Counted() { --living; }
  Counted& operator=(const Counted&) = default;
  template <class Archive>
  void serialize(Archive&, unsigned) {}
  void operator()(const Counted&) const {}
};

}  // namespace

TEST_F(TestProcess, test_lose_target_ref) {
  rp::Process process{Counted(), Counted()};
  EXPECT_EQ(Counted::living, 2);
  process.start();
  EXPECT_EQ(Counted::living, 0);
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
}

TEST_F(TestProcess, test_error_on_stdio_flush_1) {
  rp::Process process([] {
    ::close(STDOUT_FILENO);
    std::cout << "to nobody";
    std::cout.exceptions(std::ios::badbit | std::ios::failbit);
  });
  process.start();
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
}

TEST_F(TestProcess, test_error_on_stdio_flush_2) {
  rp::Process process([] {
    int ends[2];
    if (::pipe(ends) != 0) std::exit(9);
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    std::printf("to nobody");
  });
  process.start();
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
}

namespace {

const support::SmallProgram raises("raises", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Process process(rp::ProcessOptions{.name = "the one"},
                        [] { throw std::out_of_range("no such shelf\nin this shop"); });
    process.start();
    process.join();
    rp::Process other([] { throw 42; });
    other.start();
    other.join();
    return 10 * process.exitcode().value() + other.exitcode().value();
  });
});

}  // namespace

TEST_F(TestProcess, test_stderr_flush) {
  const support::Ended ended = support::start("raises");
  EXPECT_EQ(ended.status, 11) << ended;
  EXPECT_NE(ended.err.find("Process the one (pid "), std::string::npos) << ended;
  EXPECT_NE(ended.err.find("uncaught exception\n  std::out_of_range: no such shelf\nin this shop\n"), std::string::npos)
      << ended;
  EXPECT_NE(ended.err.find("uncaught exception\n  int: 42\n"), std::string::npos) << ended;
}

TEST_F(TestProcess, test_sys_exit) {
  const auto code_after = [](auto f) {
    rp::Process process(f);
    process.start();
    process.join();
    return process.exitcode();
  };
  EXPECT_EQ(code_after([] { std::exit(1); }), 1);
  EXPECT_EQ(code_after([] { std::exit(0); }), 0);
  EXPECT_EQ(code_after([] { std::exit(8); }), 8);
  EXPECT_EQ(code_after([] { std::exit(255); }), 255);
  EXPECT_EQ(code_after([] { ::_exit(3); }), 3);
  EXPECT_EQ(code_after([] { std::_Exit(4); }), 4);
  EXPECT_EQ(code_after([] { std::quick_exit(5); }), 5);
  EXPECT_EQ(code_after([] { return 6; }), 0) << "a result is no exit code";
}

TEST_F(TestProcess, test_poll_eintr) {
  static volatile sig_atomic_t signals = 0;
  const auto previous = std::signal(SIGUSR1, [](int) { signals = signals + 1; });
  const auto send_and_wait = [](int pid) {
    for (int i = 0; i < 5; ++i) {
      ::kill(pid, SIGUSR1);
      ::usleep(20'000);
    }
  };
  rp::Process process(send_and_wait, static_cast<int>(::getpid()));
  process.start();
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
  EXPECT_GT(signals, 0);
  std::signal(SIGUSR1, previous);
}

TEST_F(TestProcess, test_atexit) {
  static std::string log;
  const auto register_handlers = [](const std::string& file, bool leave) {
    log = file;
    std::atexit([] { add_line(log, "first registered"); });
    std::atexit([] { add_line(log, "last registered"); });
    if (leave) std::exit(7);
  };
  for (const bool leave : {false, true}) {
    const std::string file = scratch_.file(leave ? "exit" : "return");
    rp::Process process(register_handlers, file, leave);
    process.start();
    process.join();
    EXPECT_EQ(process.exitcode(), leave ? 7 : 0);
    EXPECT_EQ(lines_of(file), (std::vector<std::string>{"last registered", "first registered"}));
  }
}

TEST_F(TestProcess, test_sentinel) {
  rp::Event event;
  rp::Process process([](rp::Event until) { until.wait_for(20s); }, event);
  EXPECT_THROW(rp::wait_ready({&process}, 0s), std::logic_error);
  process.start();
  EXPECT_TRUE(rp::wait_ready({&process}, 0s).empty());
  event.set();
  EXPECT_EQ(rp::wait_ready({&process}, 20s), std::vector<std::size_t>{0});
  process.join();
  EXPECT_EQ(rp::wait_ready({&process}, 0s), std::vector<std::size_t>{0});
}

namespace {

void serve_upper_case(rp::Connection requests) {
  try {
    for (;;) {
      auto text = requests.recv<std::string>();
      std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
      requests.send(text);
    }
  } catch (const rp::EndOfStream&) {  // nobody asks any more
  }
}

/// A server with a pipe of its own.
class UpperCaser {
 public:
  UpperCaser() : UpperCaser(rp::Pipe()) {}
  std::string submit(const std::string& text) {
    connection_.send(text);
    return connection_.recv<std::string>();
  }
  std::optional<int> stop() {
    connection_.close();
    process_.join();
    return process_.exitcode();
  }

 private:
  explicit UpperCaser(std::pair<rp::Connection, rp::Connection> ends)
      : connection_(std::move(ends.first)), process_(serve_upper_case, std::move(ends.second)) {
    process_.start();
  }
  rp::Connection connection_;
  rp::Process process_;
};

}  // namespace

TEST(TestSubclassingProcess, test_subclassing) {
  UpperCaser upper_caser;
  EXPECT_EQ(upper_caser.submit("hello"), "HELLO");
  EXPECT_EQ(upper_caser.submit("world"), "WORLD");
  EXPECT_EQ(upper_caser.stop(), 0);
}
