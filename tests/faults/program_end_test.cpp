// The main program ends in some other way than by returning: every process of the job is gone soon, and whoever started
// it learns how it ended.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
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

constexpr support::Milliseconds gone_within{2000};

void be_busy(const std::string& begun) {
  support::add_line(begun, "begun");
  support::sleep_for_ever(0);
}

/// With tasks at work in every worker and a daemon (for another Process exit() would wait): says that it is ready, and
/// ends so when it is let.
int run_busy(int argc, char** argv, void (*end)()) {
  return rp::run(argc, argv, [end] {
    const std::string begun = support::file_of_program("begun");
    auto& pool = *new rp::Pool(3);  // its destructor would wait
    auto& process = *new rp::Process(rp::ProcessOptions{.daemon = true}, be_busy, begun);
    process.start();
    const auto result = pool.map_async(be_busy, std::vector<std::string>(100, begun), {.chunksize = 1});
    support::eventually([&] { return support::lines_of(begun).size() >= 4; });
    std::cout << "ready\n" << std::flush;
    support::wait_for_file(support::file_of_program("go"));
    end();
  });
}

const SmallProgram throws("throws", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { throw std::runtime_error("on purpose"); });
});
const SmallProgram exits("exits", [](int argc, char** argv) { return run_busy(argc, argv, [] { std::exit(4); }); });
const SmallProgram exits_at_once("exits_at_once",
                                 [](int argc, char** argv) { return run_busy(argc, argv, [] { ::_exit(4); }); });
const SmallProgram exits_quickly("exits_quickly", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { std::quick_exit(4); });
});
const SmallProgram aborts("aborts", [](int argc, char** argv) { return run_busy(argc, argv, [] { std::abort(); }); });
const SmallProgram terminates("terminates", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { support::throw_through_noexcept(); });
});
const SmallProgram crashes("crashes", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { support::die_by(SIGSEGV); });
});
const SmallProgram is_killed("is_killed", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { support::die_by(SIGKILL); });
});
const SmallProgram leaves_its_thread("leaves_its_thread", [](int argc, char** argv) {
  return run_busy(argc, argv, [] { ::pthread_exit(nullptr); });
});

struct Way {
  std::string program;
  int status;  // -n: by signal n
};
const std::vector<Way> ways{{"throws", 1},           {"exits", 4},
                            {"exits_at_once", 4},    {"exits_quickly", 4},
                            {"aborts", -SIGABRT},    {"terminates", -SIGABRT},
                            {"crashes", -SIGSEGV},   {"is_killed", -SIGKILL},
                            {"leaves_its_thread", 1}};

}  // namespace

TEST(ProgramEnd, takes_every_process_with_it_and_keeps_the_status) {
  const auto options = support::this_start();
  const int ways_count = static_cast<int>(ways.size());
  const support::Lateness late;
  support::in_parallel(options.ranks == 0 ? 3 * ways_count : ways_count, [&](int round) {
    const Way& way = ways[static_cast<std::size_t>(round % ways_count)];
    SCOPED_TRACE(way.program);
    Victim victim(way.program, options);
    ASSERT_TRUE(victim.ready()) << victim.wait();
    EXPECT_GE(victim.process_count(), 6u) << "rank 0, its zygote, three workers and a Process, if nothing else";
    victim.begin();
    support::add_line(victim.program().file("go"), "");
    const auto time = victim.time_to_go();
    const Ended ended = victim.wait();
    EXPECT_LE(time, support::allowed(gone_within, late.worst())) << ended;
    EXPECT_EQ(ended.status, options.ranks > 0 && way.status < 0 ? 128 - way.status : way.status) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  });
}

TEST(ProgramEnd, is_noted_for_who_started_it) {
  const support::Scratch scratch;
  support::in_parallel(2, [&](int round) {
    const Way& way = ways[static_cast<std::size_t>(round)];  // it throws; it exits
    auto options = support::this_start();
    const std::string file = scratch.file(way.program);
    options.environment = {{"RANKPOOL_EXIT_FILE", file}};
    Victim victim(way.program, options);
    ASSERT_TRUE(victim.ready()) << victim.wait();
    support::add_line(victim.program().file("go"), "");
    victim.wait();
    EXPECT_EQ(support::content_of(file), std::to_string(way.status) + "\n") << way.program;
  });
}
