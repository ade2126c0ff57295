// Processes that die, and those whose parents die.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::add_line;
using support::Death;
using support::Ended;
using support::eventually;
using support::lines_of;
using support::long_enough;
using support::SmallProgram;

namespace {

class ProcessDeath : public testing::Test {
 protected:
  support::Scratch scratch_;
  const std::string log_ = scratch_.file("log");
};

}  // namespace

TEST_F(ProcessDeath, is_told_as_it_was) {
  struct Expected {
    Death how;
    int code;
  };
  for (const Expected& death : {Expected{Death::underscore_exit, 5},
                                {Death::exit, 6},
                                {Death::abort, -SIGABRT},
                                {Death::segmentation_fault, -SIGSEGV},
                                {Death::kill, -SIGKILL},
                                {Death::terminate, -SIGABRT}}) {
    rp::Process process(support::die, death.how);
    process.start();
    EXPECT_TRUE(process.join_for(long_enough));
    EXPECT_EQ(process.exitcode(), death.code) << static_cast<int>(death.how);
  }
}

TEST_F(ProcessDeath, from_outside) {
  for (int rank = 0; rank < rp::rank_count(); ++rank) {
    rp::Process process(rp::ProcessOptions{.rank = rank}, support::sleep_for_ever, 0);
    process.start();
    ::kill(process.pid(), SIGKILL);
    EXPECT_TRUE(process.join_for(long_enough));
    EXPECT_EQ(process.exitcode(), -SIGKILL);
  }
}

TEST_F(ProcessDeath, stopped_ones_can_be_killed) {
  rp::Process process(support::sleep_for_ever, 0);
  process.start();
  ::kill(process.pid(), SIGSTOP);
  ASSERT_TRUE(eventually([&] { return support::process_table()[process.pid()].state == 'T'; }));
  process.terminate();
  EXPECT_FALSE(process.join_for(20ms));
  process.kill();
  EXPECT_TRUE(process.join_for(long_enough));
  EXPECT_EQ(process.exitcode(), -SIGKILL);
}

TEST_F(ProcessDeath, at_any_moment_of_the_start) {
  for (int i = 0; i < 30; ++i) {
    rp::Process process(support::sleep_for_ever, 0);
    process.start();
    std::this_thread::sleep_for(i * 30us);
    process.kill();
    ASSERT_TRUE(process.join_for(long_enough));
    ASSERT_EQ(process.exitcode(), -SIGKILL);
  }
}

TEST_F(ProcessDeath, before_it_has_its_handles) {
  struct Dies {
    void serialize(rp::detail::MemoryOArchive&, unsigned) {}
    void serialize(rp::detail::MemoryIArchive&, unsigned) { ::_exit(3); }
  };
  rp::Event event;
  rp::Process process([](const std::vector<Dies>&, rp::Event) {}, std::vector<Dies>(1), event);
  process.start();
  EXPECT_TRUE(process.join_for(long_enough));
  EXPECT_EQ(process.exitcode(), 3);
  event.set();
  EXPECT_TRUE(event.is_set());
}

// ---- of parents

namespace {

void log_and_wait(const std::string& log, const std::string& until) {
  add_line(log, std::to_string(::getpid()));
  support::wait_for_file(until);
  add_line(log, "went on");
}

/// Has a daemon and a Process that is none, each on the rank that is asked for.
void be_a_parent(const std::string& daemon_log, const std::string& other_log, const std::string& until, int rank,
                 Death how) {
  rp::Process daemon(rp::ProcessOptions{.daemon = true, .rank = rank}, log_and_wait, daemon_log, "never");
  rp::Process other(rp::ProcessOptions{.rank = rank}, log_and_wait, other_log, until);
  daemon.start();
  other.start();
  eventually([&] { return !lines_of(daemon_log).empty() && !lines_of(other_log).empty(); });
  support::die(how);
}

}  // namespace

TEST_F(ProcessDeath, of_a_parent_ends_its_daemons_and_no_others) {
  for (const Death how : {Death::kill, Death::segmentation_fault, Death::underscore_exit}) {
    for (int rank = 0; rank < rp::rank_count(); ++rank) {
      const std::string prefix = scratch_.file(std::to_string(static_cast<int>(how)) + "." + std::to_string(rank));
      rp::Process parent(be_a_parent, prefix + "daemon", prefix + "other", prefix + "until", rank, how);
      parent.start();
      EXPECT_TRUE(parent.join_for(long_enough));
      EXPECT_NE(parent.exitcode(), 0);
      const auto daemon = support::numbers_of(prefix + "daemon");
      const auto other = support::numbers_of(prefix + "other");
      ASSERT_EQ(daemon.size(), 1u);
      ASSERT_EQ(other.size(), 1u);
      EXPECT_TRUE(eventually([&] { return support::is_dead(static_cast<int>(daemon[0])); }));
      EXPECT_FALSE(support::is_dead(static_cast<int>(other[0])));
      add_line(prefix + "until", "go");
      EXPECT_TRUE(eventually([&] { return lines_of(prefix + "other").size() == 2; }));
      EXPECT_TRUE(eventually([&] { return support::is_dead(static_cast<int>(other[0])); }));
    }
  }
}

TEST_F(ProcessDeath, of_a_pool_worker_ends_its_daemons) {
  rp::Pool pool(1);
  const auto task = [](const std::string& log) {
    rp::Process daemon(rp::ProcessOptions{.daemon = true}, log_and_wait, log, "never");
    daemon.start();
    eventually([&] { return !lines_of(log).empty(); });
    support::die(Death::kill);
  };
  EXPECT_THROW(pool.apply(task, log_), rp::WorkerLost);
  const auto daemon = support::numbers_of(log_);
  ASSERT_EQ(daemon.size(), 1u);
  EXPECT_TRUE(eventually([&] { return support::is_dead(static_cast<int>(daemon[0])); }));
}

namespace {

void chain_of_daemons(const std::string& log, int depth) {
  rp::Process next(rp::ProcessOptions{.daemon = true}, chain_of_daemons, log, depth - 1);
  if (depth > 0) next.start();
  add_line(log, std::to_string(::getpid()));
  support::sleep_for_ever(0);
}

}  // namespace

TEST_F(ProcessDeath, of_one_in_a_chain_of_daemons_ends_all_below) {
  rp::Process first(chain_of_daemons, log_, 4);
  first.start();
  ASSERT_TRUE(eventually([&] { return lines_of(log_).size() == 5; }));
  first.kill();
  for (const long pid : support::numbers_of(log_))
    EXPECT_TRUE(eventually([&] { return support::is_dead(static_cast<int>(pid)); })) << pid;
}

// ---- of programs

namespace {

int run_with_processes(int argc, char** argv, void (*end)()) {
  return rp::run(argc, argv, [end] {
    const std::string log = support::file_of_program("log");
    static auto* const kept = new std::vector<rp::Process>;
    for (const bool daemon : {false, true})
      kept->emplace_back(rp::ProcessOptions{.daemon = daemon}, chain_of_daemons, log, 1).start();
    eventually([&] { return lines_of(log).size() == 4; });
    end();
  });
}
const SmallProgram is_killed("is_killed", [](int argc, char** argv) {
  return run_with_processes(argc, argv, [] { support::die_by(SIGKILL); });
});
const SmallProgram aborts("aborts",
                          [](int argc, char** argv) { return run_with_processes(argc, argv, [] { std::abort(); }); });
const SmallProgram throws("throws", [](int argc, char** argv) {
  return run_with_processes(argc, argv, [] { throw std::runtime_error("on purpose"); });
});
/// A daemon that does not care must not keep the program from its end.
const SmallProgram has_a_stubborn_daemon("has_a_stubborn_daemon", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Event ready;
    static auto* const kept = new rp::Process(
        rp::ProcessOptions{.daemon = true},
        [](rp::Event event) {
          std::signal(SIGTERM, SIG_IGN);
          event.set();
          support::sleep_for_ever(0);
        },
        ready);
    kept->start();
    ready.wait();
    return 5;
  });
});

/// No descriptor is left for one more link, then there are some again.
const SmallProgram lacks_descriptors("lacks_descriptors", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Process process(rp::ProcessOptions{.name = "the one", .rank = 0}, support::own_pid);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit none{3, limit.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    std::string text;
    try {
      process.start();
    } catch (const rp::Error& error) {
      text = error.what();
    }
    ::setrlimit(RLIMIT_NOFILE, &limit);
    std::cout << text << '\n';
    const bool none_lives = !process.is_alive() && rp::active_children().empty();
    process.start();
    process.join();
    return none_lives && process.exitcode() == 0 ? 7 : 8;
  });
});

}  // namespace

TEST_F(ProcessDeath, that_cannot_be_started_says_why_and_can_be_tried_again) {
  for (const auto& options : support::every_start()) {
    const Ended ended = support::start("lacks_descriptors", options);
    EXPECT_EQ(ended.status, 7) << ended;
    EXPECT_NE(ended.out.find("cannot start the one: Too many open files: raise the limit"), std::string::npos) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  }
}

TEST_F(ProcessDeath, nothing_is_left_of_a_program) {
  for (const auto& [name, status] : {std::pair("is_killed", -SIGKILL), std::pair("aborts", -SIGABRT),
                                     std::pair("throws", 1), std::pair("has_a_stubborn_daemon", 5)}) {
    const Ended ended = support::start(name);
    EXPECT_EQ(ended.status, status) << name << ": " << ended;
    EXPECT_TRUE(ended.in_time) << name << ": " << ended;
    EXPECT_TRUE(ended.left.empty()) << name << ": " << ended;
  }
}
