// Process: names, places, parents and children, misuse, ends.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::add_line;
using support::eventually;
using support::Failure;
using support::lines_of;
using support::long_enough;

namespace {

constexpr auto contains = [](const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
};

class Processes : public testing::Test {
 protected:
  /// Starts it and waits for it; its exit code.
  template <class... Args>
  int run(Args&&... args) {
    rp::Process process(std::forward<Args>(args)...);
    process.start();
    process.join();
    return process.exitcode().value();
  }

  support::Scratch scratch_;
  const std::string log_ = scratch_.file("log");
};

void log_name(const std::string& log) { add_line(log, rp::current_process().name); }
void log_names_below(const std::string& log, int depth) {
  log_name(log);
  if (depth == 0) return;
  for (int i = 0; i < 2; ++i) {
    rp::Process process(log_names_below, log, depth - 1);
    process.start();
    process.join();
  }
}

/// The numbers of a name "Process-3:1".
std::string number_of(const std::string& name) { return name.substr(name.find('-') + 1); }

}  // namespace

// ---- what it runs

TEST_F(Processes, any_result_will_do) {
  EXPECT_EQ(run([] {}), 0);
  EXPECT_EQ(run([] { return std::string("text"); }), 0);
  EXPECT_EQ(run([] { return std::make_unique<int>(1); }), 0);
  EXPECT_EQ(run([] { return std::thread(); }), 0);
}

TEST_F(Processes, any_sendable_callable_and_arguments) {
  const int seven = 7;
  EXPECT_EQ(run([seven] { std::exit(seven); }), 7);
  EXPECT_EQ(run(rp::partial([](int a, int b) { std::exit(a + b); }, 3), 5), 8);
  EXPECT_EQ(run([](const std::string& text) { std::exit(static_cast<int>(text.size())); }, "four"), 4);
  EXPECT_EQ(run([](std::vector<int>&& v) { std::exit(static_cast<int>(v.size())); }, std::vector<int>(9)), 9);
  EXPECT_EQ(run([](std::vector<int>& v) { std::exit(static_cast<int>(v.size())); }, std::vector<int>(10)), 10);
}

TEST_F(Processes, big_arguments) {
  const std::vector<char> big(5'000'000, 'x');
  const auto count = [](const std::vector<char>& v) { std::exit(v.size() == 5'000'000 && v.back() == 'x' ? 3 : 4); };
  EXPECT_EQ(run(count, big), 3);
}

TEST_F(Processes, handles_go_with_it) {
  rp::Event event;
  rp::Process process([](rp::Event theirs) { theirs.set(); }, event);
  process.start();
  EXPECT_TRUE(event.wait_for(long_enough));
  process.join();

  rp::Process keeper([](rp::Event theirs) { std::exit(theirs.wait_for(long_enough) ? 5 : 6); }, std::move(event));
  keeper.start();
  keeper.join();
  EXPECT_EQ(keeper.exitcode(), 5);
}

TEST_F(Processes, what_it_did_with_objects_is_there_when_it_has_ended) {
  rp::Event event;
  for (int i = 0; i < 20; ++i) {
    rp::Process process([](rp::Event theirs) { theirs.set(); }, event);
    process.start();
    process.join();
    ASSERT_TRUE(event.is_set()) << "round " << i;
    event.clear();
  }
}

TEST_F(Processes, an_argument_that_cannot_be_decoded_ends_it) {
  struct Refuses {
    void serialize(rp::detail::MemoryOArchive&, unsigned) {}
    void serialize(rp::detail::MemoryIArchive&, unsigned) { throw std::runtime_error("cannot be read"); }
  };
  EXPECT_EQ(
      run([](const std::vector<int>&, const std::vector<Refuses>&) {}, std::vector<int>(), std::vector<Refuses>(1)), 1);
}

// ---- names

TEST_F(Processes, are_named_after_their_parents) {
  rp::Process first(log_names_below, log_, 2);
  const std::string number = number_of(first.name());
  EXPECT_EQ(first.name(), "Process-" + number);
  EXPECT_EQ(rp::Process(support::own_pid).name(), "Process-" + std::to_string(std::stoi(number) + 1));
  first.start();
  first.join();
  EXPECT_EQ(lines_of(log_),
            (std::vector<std::string>{"Process-" + number, "Process-" + number + ":1", "Process-" + number + ":1:1",
                                      "Process-" + number + ":1:2", "Process-" + number + ":2",
                                      "Process-" + number + ":2:1", "Process-" + number + ":2:2"}));
}

TEST_F(Processes, a_given_name_is_theirs_alone) {
  rp::Process named(rp::ProcessOptions{.name = "a name of its own"}, log_names_below, log_, 1);
  EXPECT_EQ(named.name(), "a name of its own");
  named.start();
  named.join();
  const auto lines = lines_of(log_);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "a name of its own");
  EXPECT_TRUE(lines[1].starts_with("Process-") && lines[1].ends_with(":1")) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("Process-") && lines[2].ends_with(":2")) << lines[2];
}

TEST_F(Processes, long_names_arrive_whole_or_are_refused) {
  const std::string longest(255, 'n');
  EXPECT_EQ(run(rp::ProcessOptions{.name = longest}, log_name, log_), 0);
  EXPECT_EQ(lines_of(log_), std::vector<std::string>{longest});
  EXPECT_THROW(rp::Process(rp::ProcessOptions{.name = longest + "n"}, log_name, log_), std::invalid_argument);
}

TEST_F(Processes, say_what_they_are) {
  rp::Process process(rp::ProcessOptions{.name = "it"}, support::wait_for_file, log_);
  EXPECT_EQ(to_string(process), "<Process name='it' initial>");
  process.start();
  EXPECT_TRUE(contains(to_string(process), " pid=" + std::to_string(process.pid()))) << to_string(process);
  EXPECT_TRUE(contains(to_string(process), " started>")) << to_string(process);
  add_line(log_, "go");
  process.join();
  EXPECT_TRUE(contains(to_string(process), " stopped exitcode=0>")) << to_string(process);
  process.close();
  EXPECT_EQ(to_string(process), "<Process name='it' closed>");

  rp::Process daemon(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0);
  daemon.start();
  daemon.terminate();
  daemon.join();
  EXPECT_TRUE(contains(to_string(daemon), " stopped exitcode=-SIGTERM daemon>")) << to_string(daemon);
}

// ---- places

TEST_F(Processes, run_where_they_are_asked_to) {
  for (int rank = 0; rank < rp::rank_count(); ++rank) {
    rp::Queue<std::string> host;
    const auto say_where = [](rp::Queue<std::string> answer) {
      answer.put(rp::current_process().host);
      std::exit(10 + rp::rank());
    };
    rp::Process process(rp::ProcessOptions{.rank = rank}, say_where, host);
    EXPECT_EQ(process.pid(), 0);
    EXPECT_EQ(process.rank(), -1);
    EXPECT_EQ(process.host(), "");
    process.start();
    EXPECT_EQ(process.rank(), rank);
    EXPECT_EQ(process.host(), host.get(20s));
    process.join();
    EXPECT_EQ(process.exitcode(), 10 + rank);
    EXPECT_EQ(process.rank(), rank);
  }
}

TEST_F(Processes, spread_over_the_ranks) {
  std::vector<rp::Process> processes;
  std::map<int, int> at;
  for (int i = 0; i < rp::slot_count(); ++i) {
    processes.emplace_back(support::wait_for_file, log_).start();
    ++at[processes.back().rank()];
  }
  const int worker_ranks = std::max(1, rp::rank_count() - 1);
  EXPECT_GE(static_cast<int>(at.size()), worker_ranks);
  add_line(log_, "go");
}

TEST_F(Processes, a_rank_that_does_not_exist) {
  for (const int rank : {-1, rp::rank_count()}) {
    rp::Process process(rp::ProcessOptions{.name = "lost", .rank = rank}, support::own_pid);
    const Failure failure([&] { process.start(); });
    EXPECT_TRUE(failure.is<std::invalid_argument>()) << failure;
    EXPECT_TRUE(contains(failure.what(), "lost")) << failure;
    EXPECT_TRUE(contains(failure.what(), std::to_string(rank))) << failure;
    EXPECT_FALSE(process.is_alive());
  }
}

TEST_F(Processes, pid_is_that_of_the_system) {
  rp::Process process(support::sleep_for_ever, 0);
  process.start();
  EXPECT_TRUE(support::job_processes().contains(process.pid()));
  process.kill();
  process.join();
  EXPECT_TRUE(support::is_dead(process.pid()));
}

// ---- misuse

TEST_F(Processes, misuse_names_the_process) {
  const auto expect = [](const Failure& failure) {
    EXPECT_TRUE(failure.is<std::logic_error>()) << failure;
    EXPECT_TRUE(contains(failure.what(), "the one")) << failure;
  };
  rp::Process process(rp::ProcessOptions{.name = "the one"}, support::own_pid);
  expect(Failure([&] { process.join(); }));
  expect(Failure([&] { process.join_for(1s); }));
  expect(Failure([&] { process.interrupt(); }));
  expect(Failure([&] { process.terminate(); }));
  expect(Failure([&] { process.kill(); }));
  process.start();
  expect(Failure([&] { process.start(); }));
  process.join();
  expect(Failure([&] { process.start(); }));
  process.interrupt();
  process.terminate();
  process.kill();
  process.close();
  expect(Failure([&] { process.start(); }));
  expect(Failure([&] { static_cast<void>(process.exitcode()); }));
  expect(Failure([&] { static_cast<void>(process.pid()); }));
  expect(Failure([&] { static_cast<void>(process.rank()); }));
  expect(Failure([&] { static_cast<void>(process.host()); }));
  EXPECT_EQ(process.name(), "the one");
  EXPECT_FALSE(process.daemon());
}

TEST_F(Processes, can_be_closed_before_they_start) {
  rp::Process process(support::own_pid);
  process.close();
  process.close();
  EXPECT_THROW(process.start(), std::logic_error);
}

TEST_F(Processes, are_moved_and_not_copied) {
  static_assert(!std::is_copy_constructible_v<rp::Process> && !std::is_copy_assignable_v<rp::Process>);
  static_assert(!rp::Sendable<rp::Process>);
  rp::Process first(support::wait_for_file, log_);
  first.start();
  const int pid = first.pid();
  rp::Process second = std::move(first);
  EXPECT_EQ(second.pid(), pid);
  EXPECT_THROW(static_cast<void>(first.is_alive()), std::logic_error);  // NOLINT: on purpose
  first = rp::Process(support::own_pid);
  first.start();
  add_line(log_, "go");
  second = std::move(first);
  EXPECT_TRUE(support::is_dead(pid)) << "it was waited for";
  second.join();
  EXPECT_EQ(second.exitcode(), 0);
}

TEST_F(Processes, are_their_makers_alone) {
  rp::Process process(rp::ProcessOptions{.name = "mine"}, support::sleep_for_ever, 0);
  process.start();
  const int pid = ::fork();
  if (pid == 0) {
    const Failure failure([&] { process.join(); });
    const bool good = failure.is<std::logic_error>() && contains(failure.what(), "mine") &&
                      contains(failure.what(), std::to_string(::getpid())) &&
                      contains(failure.what(), std::to_string(::getppid()));
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  process.kill();
}

// ---- the end

TEST_F(Processes, are_waited_for_when_they_go_out_of_scope) {
  {
    rp::Process process(
        [](const std::string& log) {
          std::this_thread::sleep_for(50ms);
          add_line(log, "done");
        },
        log_);
    process.start();
    rp::Process never_started(support::sleep_for_ever, 0);
  }
  EXPECT_EQ(lines_of(log_).size(), 1u);
}

TEST_F(Processes, daemons_are_terminated_when_they_go_out_of_scope) {
  int pid = 0;
  {
    rp::Process process(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0);
    process.start();
    pid = process.pid();
  }
  EXPECT_TRUE(support::is_dead(pid));
}

TEST_F(Processes, are_terminated_while_an_exception_unwinds) {
  int pid = 0;
  const auto throws = [&] {
    rp::Process process(support::sleep_for_ever, 0);
    process.start();
    pid = process.pid();
    throw std::runtime_error("on purpose");
  };
  EXPECT_THROW(throws(), std::runtime_error);
  EXPECT_TRUE(support::is_dead(pid));
}

TEST_F(Processes, the_end_is_seen_without_waiting) {
  rp::Process process(support::own_pid);
  process.start();
  EXPECT_TRUE(eventually([&] { return process.exitcode() == 0; }));
  EXPECT_FALSE(process.is_alive());
  EXPECT_TRUE(process.join_for(0s));
}

TEST_F(Processes, several_threads_may_join) {
  rp::Process process(support::wait_for_file, log_);
  process.start();
  std::atomic<int> joined{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      process.join();
      ++joined;
    });
  }
  add_line(log_, "go");
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(joined, 4);
}

TEST_F(Processes, a_handler_of_sigterm_decides_how_it_ends) {
  const auto handles = [](rp::Event ready) {
    std::signal(SIGTERM, [](int) { std::_Exit(33); });
    ready.set();
    support::sleep_for_ever(0);
  };
  rp::Event ready;
  rp::Process process(handles, ready);
  process.start();
  ASSERT_TRUE(ready.wait_for(long_enough));
  process.terminate();
  process.join();
  EXPECT_EQ(process.exitcode(), 33);
}

namespace {

/// Leaves without destroying its Processes: one that will end, and a daemon that would not.
void leave_two_behind(const std::string& log, int status) {
  static auto* const kept = new std::vector<rp::Process>;
  kept->emplace_back(
      [](const std::string& file) {
        std::this_thread::sleep_for(50ms);
        add_line(file, "grandchild has ended");
      },
      log);
  kept->emplace_back(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0);
  for (rp::Process& process : *kept) process.start();
  add_line(log, std::to_string(kept->back().pid()));
  if (status != 0) std::exit(status);
}

}  // namespace

TEST_F(Processes, wait_for_their_children_but_for_daemons) {
  for (const int status : {0, 4}) {
    const std::string log = scratch_.file(std::to_string(status));
    EXPECT_EQ(run(leave_two_behind, log, status), status);
    auto lines = lines_of(log);
    ASSERT_EQ(lines.size(), 2u);
    std::ranges::sort(lines);  // the number comes first, whichever was written first
    EXPECT_TRUE(support::is_dead(std::stoi(lines[0])));
    EXPECT_EQ(lines[1], "grandchild has ended");
  }
}

TEST_F(Processes, inherit_no_handlers_of_exit) {
  static std::string log;
  log = log_;
  static const bool once = std::atexit([] {
                             if (!log.empty()) add_line(log, std::to_string(::getpid()));
                           }) == 0;
  EXPECT_TRUE(once);
  EXPECT_EQ(run([] { std::exit(2); }), 2);
  rp::Pool pool(1);
  EXPECT_THROW(pool.apply([] { std::exit(2); }), rp::WorkerLost);
  EXPECT_FALSE(support::exists(log_));
  log.clear();
}

TEST_F(Processes, handlers_of_exit_run_in_pool_workers_too) {
  static std::string log;
  const auto task = [](const std::string& file) {
    log = file;
    std::atexit([] { add_line(log, "handler"); });
  };
  {
    rp::Pool pool(1);
    pool.apply(task, log_);
  }
  EXPECT_EQ(lines_of(log_), std::vector<std::string>{"handler"});
}

TEST_F(Processes, a_process_that_they_have_forked_is_not_one_of_them) {
  const auto fork_one = [](const std::string& log) {
    const int pid = ::fork();
    if (pid == 0) std::exit(9);
    int status = 0;
    ::waitpid(pid, &status, 0);
    add_line(log, std::to_string(WEXITSTATUS(status)));
    add_line(log, std::to_string(rp::parent_process()->is_alive()));
  };
  EXPECT_EQ(run(fork_one, log_), 0);
  EXPECT_EQ(lines_of(log_), (std::vector<std::string>{"9", "1"}));
}

// ---- many, and from everywhere

TEST_F(Processes, two_hundred_at_once) {
  rp::Event go;
  std::vector<rp::Process> processes;
  for (int i = 0; i < 200; ++i)
    processes.emplace_back([](rp::Event event, int number) { std::exit(event.wait_for(30s) ? number : 250); }, go, i)
        .start();
  EXPECT_EQ(rp::active_children().size(), 200u);
  std::set<int> pids;
  for (const rp::Process& process : processes) pids.insert(process.pid());
  EXPECT_EQ(pids.size(), 200u);
  go.set();
  for (int i = 0; i < 200; ++i) {
    rp::Process& process = processes[static_cast<std::size_t>(i)];
    process.join();
    EXPECT_EQ(process.exitcode(), i);
  }
  EXPECT_TRUE(rp::active_children().empty());
}

TEST_F(Processes, from_several_threads) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 15; ++i) {
        rp::Process process([i] { std::exit(i); });
        process.start();
        process.join();
        if (process.exitcode() == i) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 60);
}

TEST_F(Processes, from_tasks_of_a_pool) {
  const auto task = [](int i) {
    rp::Process process(log_names_below, "/dev/null", 1);
    process.start();
    process.join();
    const auto parent = rp::parent_process();
    const bool number_fits = process.name().starts_with("Process-" + number_of(rp::current_process().name) + ":");
    return process.exitcode() == 0 && number_fits && parent->name == "MainProcess" && parent->is_alive() ? i : -1;
  };
  rp::Pool pool(3);
  EXPECT_EQ(pool.map(task, std::vector<int>{0, 1, 2, 3, 4, 5}, {.chunksize = 1}), (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_F(Processes, with_pools_of_their_own) {
  const auto use_pool = [] {
    rp::Pool pool(2);
    std::exit(static_cast<int>(pool.apply(support::square, 5L)));
  };
  EXPECT_EQ(run(use_pool), 25);
}

namespace {

void nest(int depth) {
  if (depth == 0) return;
  rp::Process process(nest, depth - 1);
  process.start();
  process.join();
  std::exit(process.exitcode().value() + (depth > 1 || rp::parent_process()->is_alive() ? 1 : 0));
}

}  // namespace

TEST_F(Processes, ten_levels_deep) { EXPECT_EQ(run(nest, 10), 10); }
