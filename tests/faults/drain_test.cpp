// SIGUSR1: what runs is finished, nothing new is begun, and the exit code says whether something is left.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/job_end.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::SmallProgram;
using support::Victim;

namespace {

constexpr auto contains = [](const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
};
void say_ready() { std::cout << "ready\n" << std::flush; }

std::string file(const std::string& name) { return support::file_of_program(name); }

// ---- the programs

/// Says that it has begun, and ends when the test lets it.
long pass(const std::string& gate, long number) {
  support::add_line(gate + ".begun", std::to_string(number));
  support::wait_for_file(gate);
  return number;
}
bool wait_for_begun(std::size_t count) {
  return support::eventually([&] { return support::lines_of(file("gate.begun")).size() >= count; });
}

/// Two workers, both in a task; the other tasks are sent ahead, wait at rank 0, or are not yet drawn.
int run_gated(int argc, char** argv, int (*program)(rp::Pool&)) {
  return rp::run(argc, argv, [program] {
    rp::Pool pool(2);
    return program(pool);
  });
}
const SmallProgram has_more("has_more", [](int argc, char** argv) {
  return run_gated(argc, argv, [](rp::Pool& pool) {
    std::vector<long> input(40);
    auto results = pool.imap_unordered(rp::partial(pass, file("gate")), input, {.chunksize = 1});
    if (wait_for_begun(2)) say_ready();
    while (results.next()) std::cout << "result\n" << std::flush;
    return 5;
  });
});
const SmallProgram has_all("has_all", [](int argc, char** argv) {
  return run_gated(argc, argv, [](rp::Pool& pool) {
    const auto results = pool.starmap_async(pass, std::vector<std::tuple<std::string, long>>(2, {file("gate"), 3}));
    if (wait_for_begun(2)) say_ready();
    return results.get() == std::vector<long>{3, 3} ? 5 : 1;
  });
});
/// Which wants more only after the signal, but waits for what runs before it is told.
const SmallProgram wants_more("wants_more", [](int argc, char** argv) {
  return run_gated(argc, argv, [](rp::Pool& pool) {
    const auto first = pool.apply_async(pass, file("gate"), 1L);
    if (wait_for_begun(1)) say_ready();
    support::wait_for_file(file("more"));
    const auto second = pool.apply_async(support::square, 3L);
    support::add_line(file("submitted"), "");
    try {
      const long value = second.get();
      std::cout << "second " << value << '\n';
    } catch (const rp::Interrupted& interrupted) {
      std::cout << "interrupted by " << interrupted.signal() << ", first " << first.get() << '\n' << std::flush;
      throw;
    }
    return 5;
  });
});
const SmallProgram wants_process("wants_process", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    say_ready();
    support::wait_for_file(file("more"));
    rp::Process process(support::sleep_for_ever, 1);
    process.start();
    return 5;
  });
});
/// Returns success, although it was told that there is more.
const SmallProgram hides_it("hides_it", [](int argc, char** argv) {
  return run_gated(argc, argv, [](rp::Pool& pool) {
    const auto results =
        pool.starmap_async(pass, std::vector<std::tuple<std::string, long>>(40, {file("gate"), 3}), {.chunksize = 1});
    if (wait_for_begun(2)) say_ready();
    results.wait();
    return results.successful() ? 5 : 0;
  });
});
/// The task that runs has work of its own to give away.
long map_inside(const std::string& gate) {
  pass(gate, 1);
  rp::Pool pool(1);
  long sum = 0;
  for (const long one : pool.map(support::square, std::vector<long>(30, 2), {.chunksize = 1})) sum += one;
  return sum;
}
const SmallProgram nests("nests", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(1);
    const auto result = pool.apply_async(map_inside, file("gate"));
    if (wait_for_begun(1)) say_ready();
    return result.get() == 120 ? 5 : 1;
  });
});
/// Waits for something else, which comes.
void feed(rp::Queue<long> queue, const std::string& gate) {
  pass(gate, 1);
  queue.put(rp::Pool(1).apply(support::square, 5L));
}
const SmallProgram waits_for_a_queue("waits_for_a_queue", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Queue<long> queue;
    rp::Process feeder(feed, queue, file("gate"));
    feeder.start();
    if (wait_for_begun(1)) say_ready();
    return queue.get() == 25 ? 5 : 1;
  });
});
/// Many short tasks, in chunks; counts what comes.
const SmallProgram has_many("has_many", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool;
    long count = 0;
    try {
      for (const long value : pool.imap_unordered([](long nap) { return ::usleep(static_cast<unsigned>(nap)), 1L; },
                                                  std::vector<long>(20'000, 100))) {
        count += value;
        if (count == 500) say_ready();
      }
    } catch (const rp::Interrupted&) {
      std::cout << "results " << count << '\n' << std::flush;
      throw;
    }
    std::cout << "results " << count << '\n';
    return 5;
  });
});
const SmallProgram reduces("reduces", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(2);
    const auto result = pool.map_reduce_async(rp::partial(pass, file("gate")), std::plus<>(), std::vector<long>(40, 1),
                                              0L, {.chunksize = 1});
    if (wait_for_begun(2)) say_ready();
    return result.get() == 40 ? 5 : 1;
  });
});

/// Lets the engine take the signal in, which shows in what it says.
void wait_for_notice(const Victim& victim) {
  EXPECT_TRUE(support::eventually([&] { return contains(victim.program().err(), "nothing new is begun"); }));
}
/// What was on its way when the signal came has arrived or come back after this.
void wait_a_moment() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }
void open_gate(const Victim& victim) { support::add_line(victim.program().file("gate"), "open"); }

int rank_for(int round) { return round % std::max(1, support::this_start().ranks); }

}  // namespace

TEST(Drain, finishes_what_runs_and_begins_nothing_new) {
  const int rounds = support::launcher().empty() ? 20 : 4;
  support::in_parallel(rounds, [](int round) {
    Victim victim(round % 4 == 3 ? "reduces" : "has_more", support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    const int rank = rank_for(round);
    victim.signal(SIGUSR1, rank);
    wait_for_notice(victim);
    if (round % 2 == 0) victim.signal(SIGUSR1, rank);  // some launchers send it twice
    wait_a_moment();
    open_gate(victim);
    const std::string begun = victim.program().file("gate.begun");
    EXPECT_TRUE(support::eventually([&] { return contains(victim.program().err(), "left: run"); })) << "no summary";
    EXPECT_EQ(support::lines_of(begun).size(), 2u) << "something new was begun";
    const Ended ended = victim.wait();
    EXPECT_EQ(ended.status, 102) << ended;
    const std::string results = round % 4 == 3 ? "" : "result\nresult\n";
    EXPECT_EQ(ended.out, "ready\n" + results) << ended;
    EXPECT_TRUE(contains(ended.err, "SIGUSR1 has come to rank " + std::to_string(rank))) << ended;
    EXPECT_FALSE(contains(ended.err, "exception")) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  });
}

TEST(Drain, a_program_without_more_work_ends_as_it_would) {
  const std::array<std::string, 3> programs{"has_all", "nests", "waits_for_a_queue"};
  support::in_parallel(3, [&](int round) {
    const std::string& program = programs[static_cast<std::size_t>(round)];
    Victim victim(program, support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    victim.signal(SIGUSR1, rank_for(round));
    wait_for_notice(victim);
    wait_a_moment();
    open_gate(victim);
    const Ended ended = victim.wait();
    EXPECT_EQ(ended.status, 5) << program << ": " << ended;
    EXPECT_FALSE(contains(ended.err, "left")) << ended;
  });
}

TEST(Drain, what_is_submitted_later_is_left) {
  Victim victim("wants_more", support::this_start());
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.signal(SIGUSR1);
  wait_for_notice(victim);
  support::add_line(victim.program().file("more"), "");
  EXPECT_TRUE(support::eventually([&] { return support::exists(victim.program().file("submitted")); }));
  wait_a_moment();
  EXPECT_FALSE(contains(victim.program().out(), "interrupted")) << "the first is still running";
  open_gate(victim);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, 102) << ended;
  EXPECT_EQ(ended.out, "ready\ninterrupted by 10, first 1\n") << ended;
  EXPECT_TRUE(contains(ended.err, "1 of 2 tasks had ended, 1 is left: run the program again (exit code 102)")) << ended;
}

TEST(Drain, no_process_is_started_any_more) {
  Victim victim("wants_process", support::this_start());
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.signal(SIGUSR1);
  wait_for_notice(victim);
  support::add_line(victim.program().file("more"), "");
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, 102) << ended;
  EXPECT_TRUE(contains(ended.err, "1 Process was not started: run the program again")) << ended;
}

TEST(Drain, a_program_that_hides_it_has_no_success) {
  Victim victim("hides_it", support::this_start());
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.signal(SIGUSR1);
  wait_for_notice(victim);
  open_gate(victim);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, 102) << ended;
}

TEST(Drain, no_result_is_lost) {
  const int rounds = support::launcher().empty() ? 20 : 4;
  std::atomic<int> interrupted{0};
  support::in_parallel(rounds, [&](int round) {
    Victim victim("has_many", support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * round));
    victim.signal(SIGUSR1, rank_for(round));
    const Ended ended = victim.wait();
    if (ended.status == 5) return;  // it was through before
    ++interrupted;
    EXPECT_EQ(ended.status, 102) << ended;
    long results = 0, done = 0, all = 0, left = 0;
    const auto at = ended.out.find("results ");
    ASSERT_NE(at, std::string::npos) << ended;
    ASSERT_EQ(std::sscanf(ended.out.c_str() + at, "results %ld", &results), 1);
    const auto line = ended.err.find("ended early by SIGUSR1: ");
    ASSERT_NE(line, std::string::npos) << ended;
    ASSERT_EQ(std::sscanf(ended.err.c_str() + line, "ended early by SIGUSR1: %ld of %ld tasks had ended, %ld", &done,
                          &all, &left),
              3)
        << ended;
    EXPECT_EQ(results, done) << ended;
    EXPECT_EQ(done + left, all) << ended;
  });
  EXPECT_GT(interrupted, rounds / 2) << "too late to prove anything";
}

TEST(Drain, sigterm_afterwards_stops) {
  Victim victim("has_more", support::this_start());
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.signal(SIGUSR1);
  wait_for_notice(victim);
  victim.signal(SIGTERM);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, support::status_of_signal(SIGTERM, support::this_start())) << ended;
  EXPECT_TRUE(contains(ended.err, "stopped by SIGTERM: 0 of ")) << ended;
}

TEST(Drain, a_signal_to_mpirun_is_for_all_ranks) {
  if (support::launcher().empty()) return;
  Victim victim("has_more", support::this_start());
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.program().signal(SIGUSR1);
  wait_for_notice(victim);
  wait_a_moment();
  open_gate(victim);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, 102) << ended;
  EXPECT_EQ(ended.out, "ready\nresult\nresult\n") << ended;
}
