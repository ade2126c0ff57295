// Programs that end in every bad way with work under way: nothing of them stays.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::SmallProgram;
using support::StartOptions;

namespace {

/// A task that has started a process, and one further down that has a pool of its own.
void be_busy(const std::string& log, int depth) {
  if (depth > 0) {
    rp::Pool pool(1);
    pool.map(rp::partial(be_busy, log), std::vector<int>{depth - 1, depth - 1});
  }
  if (::fork() == 0) {
    ::execlp("sleep", "sleep", "300", nullptr);
    ::_exit(1);
  }
  support::add_line(log, "busy");
  support::sleep_for_ever(0);
}

/// Gets pools busy, then ends as it is told.
int run_busy(int argc, char** argv, void (*end)()) {
  return rp::run(argc, argv, [end] {
    const std::string log = support::file_of_program("busy");
    rp::Pool pool(2);
    rp::Pool other(1);
    const auto outer = pool.map_async(rp::partial(be_busy, log), std::vector<int>{0, 1, 0, 1}, {.chunksize = 1});
    const auto inner = other.apply_async(be_busy, log, 1);
    const auto queued = pool.map_async(support::sleep_for_ever, std::vector<int>(10000));
    if (!support::eventually([&] { return support::lines_of(log).size() >= 3; }))
      std::cout << "never got busy\n" << std::flush;
    end();
  });
}

const SmallProgram by_exception("by_exception", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { throw std::runtime_error("on purpose"); });
});
const SmallProgram by_exit("by_exit", [](int argc, char** argv) { return run_busy(argc, argv, [] { std::exit(4); }); });
const SmallProgram by_quick_exit("by_quick_exit", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { std::quick_exit(4); });
});
const SmallProgram by_underscore_exit("by_underscore_exit",
                                      [](int argc, char** argv) { return run_busy(argc, argv, [] { ::_exit(4); }); });
const SmallProgram by_abort("by_abort",
                            [](int argc, char** argv) { return run_busy(argc, argv, [] { std::abort(); }); });
const SmallProgram by_kill("by_kill", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { support::die_by(SIGKILL); });
});
const SmallProgram by_segmentation_fault("by_segmentation_fault", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { support::die_by(SIGSEGV); });
});
const SmallProgram by_terminate("by_terminate", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { support::throw_through_noexcept(); });
});
const SmallProgram waits("waits", [](int argc, char** argv) {
  return run_busy(argc, argv, [] {
    std::cout << "ready\n" << std::flush;
    support::sleep_for_ever(0);
  });
});

void expect_nothing_left(const Ended& ended) {
  EXPECT_EQ(ended.out.find("never got busy"), std::string::npos) << ended;
  EXPECT_TRUE(ended.in_time) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}

std::set<std::string> segments() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    if (const std::string name = entry.path().filename(); name.starts_with("rankpool")) names.insert(name);
  return names;
}

class Leftovers : public testing::Test {
 protected:
  const std::set<std::string> before_ = segments();
  void TearDown() override { EXPECT_EQ(segments(), before_); }
};

}  // namespace

// ---- of programs

TEST_F(Leftovers, none_of_a_program_that_ends_in_good_order) {
  for (const auto& [name, status] : {std::pair("by_exception", 1), std::pair("by_exit", 4)}) {
    const Ended ended = support::start(name);
    EXPECT_EQ(ended.status, status) << name << ": " << ended;
    expect_nothing_left(ended);
  }
}

TEST_F(Leftovers, none_of_a_program_that_leaves_without_a_word) {
  for (const std::string name : {"by_quick_exit", "by_underscore_exit"}) {
    const Ended ended = support::start(name);
    EXPECT_EQ(ended.status, 4) << name << ": " << ended;
    expect_nothing_left(ended);
  }
}

TEST_F(Leftovers, none_of_a_program_that_crashes) {
  for (const auto& [name, signal] : {std::pair("by_abort", SIGABRT), std::pair("by_kill", SIGKILL),
                                     std::pair("by_segmentation_fault", SIGSEGV), std::pair("by_terminate", SIGABRT)}) {
    const Ended ended = support::start(name);
    EXPECT_EQ(ended.status, -signal) << name << ": " << ended;
    expect_nothing_left(ended);
  }
}

TEST_F(Leftovers, none_of_a_program_that_is_ended_from_outside) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGKILL}) {
    support::Started program("waits");
    ASSERT_TRUE(support::eventually([&] { return program.out().find("ready") != std::string::npos; }))
        << program.wait();
    program.signal(signal);
    const Ended ended = program.wait();
    EXPECT_NE(ended.status, 0) << "signal " << signal << ": " << ended;
    expect_nothing_left(ended);
  }
}

TEST_F(Leftovers, none_of_several_ranks) {
  if (support::launcher().empty()) return;
  const Ended killed = support::start("by_kill", {.ranks = 3});
  EXPECT_NE(killed.status, 0) << killed;
  expect_nothing_left(killed);

  support::Started program("waits", {.ranks = 2});
  ASSERT_TRUE(support::eventually([&] { return program.out().find("ready") != std::string::npos; })) << program.wait();
  program.signal(SIGTERM);  // to mpirun
  expect_nothing_left(program.wait());
}

// ---- of tasks

namespace {

/// Starts a process that goes on after the task.
int start_another(int) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execlp("sleep", "sleep", "300", nullptr);
    ::_exit(1);
  }
  return pid;
}

}  // namespace

TEST_F(Leftovers, none_of_what_tasks_have_started) {
  std::vector<int> pids;
  {
    rp::Pool pool(2);
    pids = pool.map(start_another, std::vector<int>(6), {.chunksize = 1});
    for (const int pid : pids) EXPECT_FALSE(support::is_dead(pid)) << "it may live as long as its worker";
  }
  {
    rp::Pool pool(2);
    pids.push_back(pool.apply(start_another, 1));
    pool.terminate();
  }
  {
    const support::Scratch scratch;
    rp::Pool pool(2);
    const auto start_and_die = [](const std::string& file) {
      support::add_line(file, std::to_string(start_another(1)));
      support::die(support::Death::kill);
    };
    EXPECT_THROW(pool.apply(start_and_die, scratch.file("pid")), rp::WorkerLost);
    pids.push_back(static_cast<int>(support::numbers_of(scratch.file("pid")).at(0)));
    EXPECT_TRUE(support::eventually([&] { return support::is_dead(pids.back()); })) << "it ends with its worker";
  }
  for (const int pid : pids) EXPECT_TRUE(support::eventually([pid] { return support::is_dead(pid); })) << pid;
}

TEST_F(Leftovers, no_zombies_of_workers_that_die) {
  rp::Pool pool(2);
  pool.map(support::square, std::vector<long>{1, 2, 3});
  const auto zombies = [] {
    const auto table = support::process_table();
    int count = 0;
    for (const int pid : support::job_processes())
      if (const auto found = table.find(pid); found != table.end() && found->second.state == 'Z') ++count;
    return count;
  };
  for (int i = 0; i < 20; ++i) EXPECT_THROW(pool.apply(support::die, support::Death::kill), rp::WorkerLost);
  EXPECT_TRUE(support::eventually([&] { return zombies() == 0; })) << zombies();
}

TEST_F(Leftovers, no_memory_of_big_payloads) {
  rp::Pool pool(2);
  const auto echo = [](std::vector<double> block) { return block; };
  const std::vector<double> block(1u << 19, 1.5);  // 4 MiB
  const auto shared_memory = [] {                  // of this process, in mappings
    std::size_t count = 0;
    for (const std::string& line : support::lines_of("/proc/self/maps"))
      if (line.find("memfd:") != std::string::npos || line.find("/dev/shm/rankpool") != std::string::npos) ++count;
    return count;
  };
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pool.apply(echo, block) == block);
  const std::size_t mappings = shared_memory();
  const std::size_t descriptors = support::open_descriptors();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(pool.apply(echo, block) == block);
  EXPECT_LE(shared_memory(), mappings + 8) << "segments pile up";
  EXPECT_LE(support::open_descriptors(), descriptors + 8);
}
