// SIGINT and SIGTERM: the job stops once, cleanly, and is gone in time, wherever its main program is.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/job_end.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::Milliseconds;
using support::SmallProgram;
using support::Victim;

namespace {

constexpr auto contains = [](const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
};
constexpr Milliseconds gone_within{800};

// ---- the programs

/// Says on its way out that the program was unwound.
struct SaysUnwound {
  ~SaysUnwound() { std::cout << "unwound\n" << std::flush; }
};

void sleep_stubbornly(const std::string& begun) {
  std::signal(SIGTERM, SIG_IGN);
  support::add_line(begun, "begun");
  support::sleep_for_ever(0);
}

bool wait_for_lines(const std::string& file, std::size_t count) {
  return support::eventually([&] { return support::lines_of(file).size() >= count; });
}

/// A program with stubborn tasks in a pool, and at the end `rest`.
int run_with_tasks(int argc, char** argv, void (*rest)()) {
  return rp::run(argc, argv, [rest] {
    const SaysUnwound unwound;
    const std::string begun = support::file_of_program("begun");
    rp::Pool pool(2);
    const auto result = pool.map_async(sleep_stubbornly, std::vector<std::string>(100, begun), {.chunksize = 1});
    if (!wait_for_lines(begun, 2)) return 99;
    rest();
    return 0;
  });
}
void say_ready() { std::cout << "ready\n" << std::flush; }

const SmallProgram maps("maps", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    say_ready();
    rp::Pool(1).map(support::sleep_for_ever, std::vector<int>(1000));
  });
});
const SmallProgram computes("computes", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    say_ready();
    for (std::atomic<long> i{0};; ++i) {
    }
  });
});
const SmallProgram sleeps("sleeps", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    say_ready();
    support::sleep_for_ever(0);
  });
});
const SmallProgram reads("reads", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    std::array<int, 2> ends{};
    char byte = 0;
    if (::pipe(ends.data()) != 0) return;
    say_ready();
    static_cast<void>(!::read(ends[0], &byte, 1));
  });
});
const SmallProgram gets("gets", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    rp::Queue<int> queue;
    say_ready();
    queue.get();
  });
});

void lock_for_ever(rp::Lock lock, const std::string& begun) {
  const std::lock_guard guard(lock);
  support::add_line(begun, "locked");
  support::sleep_for_ever(0);
}
const SmallProgram locks("locks", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    rp::Lock lock;
    const std::string file = support::file_of_program("locked");
    rp::Process holder(lock_for_ever, lock, file);
    holder.start();
    wait_for_lines(file, 1);
    say_ready();
    const std::lock_guard guard(lock);
  });
});
void lock_later(rp::Condition condition, const std::string& begun) {
  const std::lock_guard guard(condition);
  support::add_line(begun, "locked");
  support::sleep_for_ever(0);
}
const SmallProgram waits("waits", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    rp::Condition condition;
    const std::string file = support::file_of_program("locked");
    std::unique_lock guard(condition);  // it cannot be locked again when the wait ends
    rp::Process holder(lock_later, condition, file);
    holder.start();
    std::thread([file] {
      wait_for_lines(file, 1);
      say_ready();
    }).detach();
    condition.wait();
  });
});
const SmallProgram joins("joins", [](int argc, char** argv) {
  return run_with_tasks(argc, argv, [] {
    const std::string file = support::file_of_program("stubborn");
    rp::Process process(sleep_stubbornly, file);
    process.start();
    wait_for_lines(file, 1);
    say_ready();
    process.join();
  });
});

volatile std::sig_atomic_t asked = 0;

/// Ends in good order when it is asked to, which takes a moment.
void clean_up(const std::string& file) {
  std::signal(SIGTERM, [](int) { asked = 1; });
  support::add_line(file, "begun");
  while (asked == 0) ::usleep(2000);
  ::usleep(50'000);
  support::add_line(file, "cleaned");
}
const SmallProgram cleans("cleans", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    const std::string file = support::file_of_program("clean");
    rp::Process process(clean_up, file);
    process.start();
    wait_for_lines(file, 1);
    say_ready();
    process.join();
  });
});

/// Ends when it is asked to.
long end_when_asked(const std::string& begun, long number) {
  support::add_line(begun, "begun");
  const std::stop_token stop = rp::this_task().stop;
  while (!stop.stop_requested()) ::usleep(1000);
  return number;
}
const SmallProgram takes("takes", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    const std::string begun = support::file_of_program("begun");
    rp::Pool pool(2);
    auto results = pool.imap_unordered(rp::partial(end_when_asked, begun), std::vector<long>(100), {.chunksize = 1});
    if (!wait_for_lines(begun, 2)) return;
    say_ready();
    while (results.next()) std::cout << "result\n" << std::flush;
  });
});

/// Says where it arrives.
struct Arrival {
  std::string file;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& file;
    if constexpr (Archive::is_loading::value) support::add_line(file, std::to_string(::getpid()));
  }
};
Arrival arrive_when_asked(const std::string& begun) {
  end_when_asked(begun, 0);
  return {begun + ".arrived"};
}
const SmallProgram takes_while_computing("takes_while_computing", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    const std::string begun = support::file_of_program("begun");
    rp::Pool pool(2);
    const auto results = pool.map_async(arrive_when_asked, std::vector<std::string>(100, begun), {.chunksize = 1});
    if (!wait_for_lines(begun, 2)) return;
    say_ready();
    for (std::atomic<long> i{0};; ++i) {
    }
  });
});

const SmallProgram catches("catches", [](int argc, char** argv) {
  const int status = rp::run(argc, argv, [] {
    try {
      say_ready();
      rp::Pool(1).map(support::sleep_for_ever, std::vector<int>(1));
    } catch (const rp::Interrupted& interrupted) {
      std::cout << "interrupted by " << interrupted.signal() << '\n' << std::flush;
      return std::atoi(std::getenv("STATUS"));
    }
    return 98;
  });
  struct sigaction now = {};
  ::sigaction(SIGTERM, nullptr, &now);
  if (now.sa_handler == SIG_DFL) std::cout << "status " << status << ", handlers are gone\n" << std::flush;
  return status;
});

const SmallProgram handles("handles", [](int argc, char** argv) {
  std::signal(SIGTERM, [](int) { asked = 1; });
  std::signal(SIGINT, SIG_IGN);
  return rp::run(argc, argv, [] {
    say_ready();
    while (asked == 0) ::usleep(1000);
    return rp::Pool(1).apply(support::square, 4L) == 16 ? 7 : 1;
  });
});

const SmallProgram has_threads("has_threads", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Queue<int> queue;
    const std::jthread other([&] { queue.get(); });  // nobody catches what that throws
    say_ready();
    rp::Pool(1).map(support::sleep_for_ever, std::vector<int>(1));
  });
});

// ---- how they are ended

struct Round {
  std::string program;
  int signal;
  int rank;
  std::map<std::string, std::string> environment = {};
};

/// Ends the program so, and checks what holds for all of them.
struct Outcome {
  Ended ended;
  Milliseconds time{};
  std::vector<std::string> lines{};  // of its file "clean"
};
void expect_stopped(const Round& round, const Outcome& outcome, const support::Lateness& late) {
  const Ended& ended = outcome.ended;
  EXPECT_EQ(ended.status, support::status_of_signal(round.signal, support::this_start())) << ended;
  EXPECT_LE(outcome.time, support::allowed(gone_within, late.worst()))
      << "late: " << late.worst().count() << " ms; " << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
  const std::string name = round.signal == SIGINT ? "SIGINT" : "SIGTERM";
  EXPECT_TRUE(contains(ended.err, "rankpool: " + name + " has come to rank " + std::to_string(round.rank))) << ended;
  EXPECT_TRUE(late.too_busy() || contains(ended.err, "rankpool: stopped by " + name + ": ")) << ended;
  EXPECT_FALSE(contains(ended.err, "exception")) << ended;
}

/// Several at a time: most of them sleep.
std::vector<Outcome> end_all(const std::vector<Round>& rounds) {
  std::vector<Outcome> outcomes;
  const std::size_t at_once = support::launcher().empty() ? 6 : 4;
  for (std::size_t first = 0; first < rounds.size(); first += at_once) {
    const std::size_t last = std::min(rounds.size(), first + at_once);
    std::vector<std::unique_ptr<Victim>> victims;
    for (std::size_t i = first; i < last; ++i) {
      auto options = support::this_start();
      options.environment = rounds[i].environment;
      victims.push_back(std::make_unique<Victim>(rounds[i].program, options));
    }
    for (std::size_t i = first; i < last; ++i) {
      EXPECT_TRUE(victims[i - first]->ready()) << rounds[i].program;
      victims[i - first]->signal(rounds[i].signal, rounds[i].rank);
    }
    std::vector<std::thread> watchers;
    outcomes.resize(last);
    for (std::size_t i = first; i < last; ++i)
      watchers.emplace_back([&, i] { outcomes[i].time = victims[i - first]->time_to_go(); });
    for (auto& watcher : watchers) watcher.join();
    for (std::size_t i = first; i < last; ++i) {
      outcomes[i].lines = support::lines_of(victims[i - first]->program().file("clean"));
      outcomes[i].ended = victims[i - first]->wait();
    }
  }
  return outcomes;
}

std::vector<Round> rounds_of(const std::vector<std::string>& programs, int times) {
  const int ranks = std::max(1, support::this_start().ranks);
  std::vector<Round> rounds;
  for (int time = 0; time < times; ++time)
    for (const std::string& program : programs)
      rounds.push_back({program, rounds.size() % 2 == 0 ? SIGTERM : SIGINT, static_cast<int>(rounds.size()) % ranks});
  return rounds;
}
int times(int alone, int launched) { return support::launcher().empty() ? alone : launched; }

}  // namespace

TEST(Stop, unwinds_a_program_that_waits) {
  const auto rounds = rounds_of({"maps", "gets", "locks", "waits", "joins"}, times(5, 1));
  const support::Lateness late;
  const auto outcomes = end_all(rounds);
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    SCOPED_TRACE(rounds[i].program);
    expect_stopped(rounds[i], outcomes[i], late);
    if (late.too_busy()) continue;
    EXPECT_TRUE(contains(outcomes[i].ended.out, "unwound")) << outcomes[i].ended;
    EXPECT_TRUE(contains(outcomes[i].ended.err, "2 were stopped") || contains(outcomes[i].ended.err, "3 were stopped"))
        << outcomes[i].ended;
  }
}

TEST(Stop, ends_a_program_that_does_not_look) {
  const auto rounds = rounds_of({"computes", "sleeps", "reads"}, times(7, 1));
  const support::Lateness late;
  const auto outcomes = end_all(rounds);
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    SCOPED_TRACE(rounds[i].program);
    expect_stopped(rounds[i], outcomes[i], late);
    EXPECT_TRUE(contains(outcomes[i].ended.err, "the program has not ended in time")) << outcomes[i].ended;
  }
}

TEST(Stop, gives_processes_time_to_clean_up) {
  const auto rounds = rounds_of({"cleans"}, times(6, 3));
  const support::Lateness late;
  const auto outcomes = end_all(rounds);
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    expect_stopped(rounds[i], outcomes[i], late);
    if (late.too_busy()) continue;
    EXPECT_EQ(outcomes[i].lines, (std::vector<std::string>{"begun", "cleaned"}));
  }
}

TEST(Stop, takes_the_results_of_tasks_that_end_when_asked) {
  const support::Lateness late;
  const auto rounds = rounds_of({"takes"}, times(10, 2));
  const auto outcomes = end_all(rounds);
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    const Ended& ended = outcomes[i].ended;
    expect_stopped(rounds[i], outcomes[i], late);
    if (late.too_busy()) continue;
    EXPECT_EQ(ended.out, "ready\nresult\nresult\n") << ended;
    EXPECT_TRUE(contains(ended.err, ": 2 of ")) << ended;
    EXPECT_FALSE(contains(ended.err, "stopped\n")) << ended;
  }
}

TEST(Stop, takes_them_also_for_a_program_that_computes) {
  const support::Lateness late;
  support::in_parallel(times(8, 2), [&](int) {
    Victim victim("takes_while_computing", support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    const int main = victim.program().rank_pid(0);
    victim.signal(SIGTERM);
    const std::string file = victim.program().file("begun.arrived");
    victim.time_to_go();
    const std::vector<long> arrived = support::numbers_of(file);
    EXPECT_TRUE(late.too_busy() || arrived == std::vector<long>({main, main}));
    victim.wait();
  });
}

TEST(Stop, the_second_signal_ends_at_once) {
  const support::Lateness late;
  std::atomic<int> seconds{0};
  support::in_parallel(times(20, 4), [&](int i) {
    Victim victim("sleeps", support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    const int first = i % 2 == 0 ? SIGINT : SIGTERM;
    victim.signal(first);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    const bool soon = victim.time() < Milliseconds(400);  // else it is ended anyway
    victim.signal(SIGINT);
    const Milliseconds time = victim.time_to_go();
    const Ended ended = victim.wait();
    if (!soon) return;
    ++seconds;
    EXPECT_EQ(ended.status, support::status_of_signal(first, support::this_start())) << ended;
    if (rp::rank_count() == 1) {  // mpirun may lose what a rank says last
      EXPECT_TRUE(contains(ended.err, "again: everything ends at once")) << ended;
    }
    EXPECT_LE(time, support::allowed(Milliseconds(300), late.worst())) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  });
  EXPECT_GT(seconds, 0) << "this machine is too slow for the test";
}

TEST(Stop, a_signal_to_mpirun_is_one) {
  if (support::launcher().empty()) return;
  const support::Lateness late;
  support::in_parallel(2, [&](int i) {
    Victim victim("maps", support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    victim.program().signal(i == 0 ? SIGTERM : SIGINT);  // the ranks get SIGTERM a second later
    const Ended ended = victim.wait();
    EXPECT_NE(ended.status, 0) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
    if (late.too_busy()) return;
    EXPECT_TRUE(contains(ended.out, "unwound")) << ended;
    EXPECT_TRUE(contains(ended.err, "rankpool: stopped by SIGTERM: ")) << ended;
    EXPECT_FALSE(contains(ended.err, "again")) << ended;
    EXPECT_FALSE(contains(ended.err, "not ended in time")) << "if anybody, it was MPI: " << ended;
  });
}

TEST(Stop, a_program_may_catch_it) {
  const bool alone = support::launcher().empty();
  const std::vector<Round> rounds{{"catches", SIGTERM, 0, {{"STATUS", "3"}}},
                                  {"catches", SIGTERM, 0, {{"STATUS", "0"}}}};
  const std::array<int, 2> returned{3, 128 + SIGTERM};
  const std::array<int, 2> expected{3, alone ? -SIGTERM : 128 + SIGTERM};
  const support::Lateness late;
  const auto outcomes = end_all(rounds);
  for (std::size_t i = 0; i < rounds.size() && !late.too_busy(); ++i) {
    const Ended& ended = outcomes[i].ended;
    EXPECT_EQ(ended.status, expected[i]) << ended;
    EXPECT_TRUE(contains(ended.out, "interrupted by 15\n")) << ended;
    EXPECT_TRUE(contains(ended.out, "status " + std::to_string(returned[i]) + ", handlers are gone\n")) << ended;
  }
}

TEST(Stop, leaves_signals_alone_that_the_program_has_its_own_ways_with) {
  Victim victim("handles", {});
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.signal(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  victim.signal(SIGTERM);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, 7) << ended;
  EXPECT_EQ(ended.err, "") << ended;
}

TEST(Stop, no_thread_of_the_program_can_turn_it_into_a_crash) {
  Victim victim("has_threads", {});
  ASSERT_TRUE(victim.ready()) << victim.wait();
  victim.signal(SIGINT);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, -SIGINT) << ended;
  EXPECT_FALSE(contains(ended.err, "terminate called")) << ended;
}

TEST(Stop, notes_the_exit_code_for_who_started_it) {
  const support::Scratch scratch;
  std::vector<Round> rounds;
  for (const std::string program : {"maps", "sleeps"})
    rounds.push_back({program, SIGTERM, 0, {{"RANKPOOL_EXIT_FILE", scratch.file(program)}}});
  end_all(rounds);
  for (const Round& round : rounds)
    EXPECT_EQ(support::content_of(scratch.file(round.program)), "143\n") << round.program;
}
