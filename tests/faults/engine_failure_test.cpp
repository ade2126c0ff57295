// What an engine cannot do without fails: the job ends with one message, and nobody hangs.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/job_end.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::SmallProgram;
using support::Victim;

namespace {

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

void be_busy(const std::string& begun) {
  support::add_line(begun, "begun");
  support::sleep_for_ever(0);
}
int run_busy(int argc, char** argv, void (*rest)()) {
  return rp::run(argc, argv, [rest] {
    const std::string begun = support::file_of_program("begun");
    rp::Pool pool(3);
    const auto result = pool.map_async(be_busy, std::vector<std::string>(100, begun), {.chunksize = 1});
    support::eventually([&] { return support::lines_of(begun).size() >= 3; });
    std::cout << "ready\n" << std::flush;
    rest();
    result.get();
  });
}
const SmallProgram waits("waits", [](int argc, char** argv) { return run_busy(argc, argv, [] {}); });
const SmallProgram computes("computes", [](int argc, char** argv) {
  return run_busy(argc, argv, [] {
    for (std::atomic<long> i{0};; ++i) {
    }
  });
});

/// As a stray pointer might: fills the memory that the worker shares with its engine.
void write_astray(int) {
  for (const std::string& line : support::lines_of("/proc/self/maps")) {
    std::uintptr_t first = 0, last = 0;
    if (line.find("rankpool-link") == std::string::npos || std::sscanf(line.c_str(), "%lx-%lx", &first, &last) != 2)
      continue;
    auto* const words = reinterpret_cast<volatile std::uint64_t*>(first);
    for (std::size_t i = 0; i < (last - first) / sizeof *words; ++i) words[i] = 0x9e3779b97f4a7c15u * (i + 1);
  }
  support::sleep_for_ever(0);
}
const SmallProgram goes_astray("goes_astray", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(2);
    std::cout << "ready\n" << std::flush;
    pool.map(write_astray, std::vector<int>(2), {.chunksize = 1});
  });
});

/// The process from which the children of that rank are forked.
int zygote_of(const Victim& victim, int rank) {
  const int engine = victim.program().rank_pid(rank);
  for (const auto& [pid, state] : support::process_table())
    if (state.parent == engine) return pid;
  return 0;
}

int rank_for(int round) { return round % std::max(1, support::this_start().ranks); }

void expect_one_message(const Ended& ended, const std::string& part) {
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(ended.in_time) << ended;
  EXPECT_EQ(count_of(ended.err, part), 1u) << ended;
  if (support::launcher().empty()) {
    EXPECT_EQ(count_of('\n' + ended.err, "\nrankpool: "), 1u) << ended;
  }
  EXPECT_TRUE(ended.left.empty()) << ended;
}

}  // namespace

TEST(EngineFailure, a_zygote_that_is_killed_ends_the_job) {
  const int rounds = support::launcher().empty() ? 5 : 3;
  support::in_parallel(rounds, [](int round) {
    Victim victim("waits", support::this_start());
    ASSERT_TRUE(victim.ready()) << victim.wait();
    const int zygote = zygote_of(victim, rank_for(round));
    ASSERT_NE(zygote, 0);
    ::kill(zygote, SIGKILL);
    const Ended ended = victim.wait();
    expect_one_message(ended, "rankpool: the engine of rank " + std::to_string(rank_for(round)) + " on ");
    EXPECT_EQ(count_of(ended.err, "(was it killed?)"), 1u) << ended;
  });
}

TEST(EngineFailure, a_program_that_does_not_notice_is_ended) {
  Victim victim("computes", support::this_start());
  ASSERT_TRUE(victim.ready()) << victim.wait();
  const int zygote = zygote_of(victim, 0);
  ASSERT_NE(zygote, 0);
  ::kill(zygote, SIGKILL);
  const Ended ended = victim.wait();
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(ended.in_time) << ended;
  EXPECT_EQ(count_of(ended.err, "has failed, so the job ends: "), 1u) << ended;
  EXPECT_EQ(count_of(ended.err, "the program has not ended after the failure of its engine"), 1u) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}

TEST(EngineFailure, a_damaged_link_ends_the_job) {
  const Ended ended = support::start("goes_astray", support::this_start());
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(ended.in_time) << ended;
  EXPECT_GE(count_of(ended.err, "has failed, so the job ends: "), 1u) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}

TEST(EngineFailure, a_zygote_that_stands_still_holds_up_no_stop) {
  const support::Lateness late;
  support::in_parallel(3, [&](int round) {
    const auto options = support::this_start();
    Victim victim("waits", options);
    ASSERT_TRUE(victim.ready()) << victim.wait();
    const int zygote = zygote_of(victim, rank_for(round));
    ASSERT_NE(zygote, 0);
    ::kill(zygote, SIGSTOP);
    victim.signal(SIGTERM);
    const auto time = victim.time_to_go();
    const Ended ended = victim.wait();
    EXPECT_LE(time, support::allowed(support::Milliseconds(800), late.worst())) << ended;
    EXPECT_EQ(ended.status, support::status_of_signal(SIGTERM, options)) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  });
}
