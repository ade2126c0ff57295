// Ranks that die in the middle of everything: their tasks are run again on the others, and each result is right.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <numeric>
#include <random>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/losing_ranks.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Assassin;
using support::check;
using support::check_throws;
using support::Ended;
using support::eventually;
using support::expect_good;
using support::SmallProgram;
using support::survivor;

namespace {

constexpr const char* seed_variable = "SEED";

std::mt19937 random_numbers() { return std::mt19937(static_cast<unsigned>(std::stoul(std::getenv(seed_variable)))); }

long square_slowly(long x) {
  if (x % 8 == 0) std::this_thread::sleep_for(50us);
  return x * x;
}
bool are_squares(const std::vector<long>& results, long n) {
  for (long i = 0; i < n; ++i)
    if (results.size() != static_cast<std::size_t>(n) || results[static_cast<std::size_t>(i)] != i * i) return false;
  return true;
}

/// Runs the program on rank 0 of a job that outlives its ranks.
int run(int argc, char** argv, void (*program)()) {
  return rp::run(argc, argv, [program] {
    program();
    std::cout << "the end" << std::endl;
    return 0;
  });
}

/// A random rank dies at a random moment.
int random_victim(std::mt19937& random, const std::map<int, int>& pids) {
  return std::next(pids.begin(), static_cast<int>(random() % pids.size()))->second;
}

const SmallProgram map_program("map", [](int argc, char** argv) {
  return run(argc, argv, [] {
    constexpr long n = 20'000;
    std::mt19937 random = random_numbers();
    rp::Pool pool;
    const auto pids = support::engine_pids();
    const auto moment = std::chrono::microseconds(random() % 120'000);
    const Assassin assassin(random_victim(random, pids), moment);
    const auto results = pool.map(square_slowly, std::views::iota(0L, n));
    std::cout << "after " << moment.count() << " us" << std::endl;
    check(are_squares(results, n), "a map that lost a rank");
    check(are_squares(pool.map(square_slowly, std::views::iota(0L, 500L)), 500), "a map after it");
    check(pool.insights().done == n + 500, "the count of the tasks that are done");
    check(pool.insights().failed == 0, "the count of those that are not");
    rp::Pool other(3);
    check(are_squares(other.map(square_slowly, std::views::iota(0L, 500L)), 500), "a pool that was opened then");
  });
});

const SmallProgram streams("streams", [](int argc, char** argv) {
  return run(argc, argv, [] {
    std::mt19937 random = random_numbers();
    rp::Pool pool;
    const auto pids = support::engine_pids();
    const Assassin assassin(random_victim(random, pids), std::chrono::microseconds(random() % 60'000));
    long next = 0;
    for (const long result : pool.imap(square_slowly, std::views::iota(0L, 5000L))) {
      if (result != next * next) check(false, "the order of an imap");
      ++next;
    }
    check(next == 5000, "the length of an imap");
    long sum = 0;
    for (const long result : pool.imap_unordered(support::square, std::views::iota(0L, 1000L))) sum += result;
    check(sum == 332'833'500, "the sum of an imap_unordered");
  });
});

const SmallProgram reductions("reductions", [](int argc, char** argv) {
  return run(argc, argv, [] {
    constexpr long n = 4000;
    std::mt19937 random = random_numbers();
    rp::Pool pool;
    const auto pids = support::engine_pids();
    const Assassin assassin(random_victim(random, pids), std::chrono::microseconds(random() % 80'000));
    const auto same_slowly = [](long x) {
      if (x % 16 == 0) std::this_thread::sleep_for(200us);
      return x;
    };
    for (int round = 0; round < 8; ++round)
      check(pool.map_reduce(same_slowly, std::plus<>(), std::views::iota(0L, n), 5L) == 5 + n * (n - 1) / 2,
            "the sum of a map_reduce");
  });
});

/// A sum, and of how many numbers.
struct Sum {
  long sum = 0;
  long count = 0;
};
Sum slow_to_meet(Sum a, const Sum& b) {
  if (a.count > 1 && b.count > 1) std::this_thread::sleep_for(30ms);
  return {a.sum + b.sum, a.count + b.count};
}

/// Most of the time goes by while the values of ranks and workers become one.
const SmallProgram meetings("meetings", [](int argc, char** argv) {
  return run(argc, argv, [] {
    constexpr long n = 1000;
    std::mt19937 random = random_numbers();
    rp::Pool pool(6);
    const auto pids = support::engine_pids();
    pool.map(support::square, std::views::iota(0L, 100L));
    const Assassin assassin(random_victim(random, pids), std::chrono::microseconds(random() % 150'000));
    const auto one = [](long x) { return Sum{x, 1}; };
    for (int round = 0; round < 2; ++round) {
      const Sum all = pool.map_reduce(one, slow_to_meet, std::views::iota(0L, n), Sum{});
      check(all.sum == n * (n - 1) / 2 && all.count == n, "a sum whose parts were lost while they met");
    }
  });
});

const SmallProgram calls("calls", [](int argc, char** argv) {
  return run(argc, argv, [] {
    std::mt19937 random = random_numbers();
    rp::ProcessPoolExecutor executor;
    const auto pids = support::engine_pids();
    const Assassin assassin(random_victim(random, pids), std::chrono::microseconds(random() % 60'000));
    std::vector<rp::Future<long>> futures;
    for (long i = 0; i < 2000; ++i) futures.push_back(executor.submit(square_slowly, i));
    for (std::size_t i = 0; i < futures.size(); i += 50) static_cast<void>(futures[i].running());
    std::vector<long> results;
    for (auto& future : futures) results.push_back(future.result());
    check(are_squares(results, 2000), "the results of calls");
    auto last = executor.submit(support::square, 7L);
    check(last.result() == 49, "a call after it");
  });
});

/// Ends of jobs that have lost all but rank 0, or those with slots.
const SmallProgram nobody_left("nobody_left", [](int argc, char** argv) {
  return run(argc, argv, [] {
    rp::Pool pool;
    const auto pids = support::engine_pids();
    auto waiting = pool.map_async(support::sleep_for_ever, std::vector<int>(50));
    for (const auto& [rank, pid] : pids) ::kill(pid, SIGKILL);
    check_throws<rp::RankLost>("a map whose pool has no workers left", "the last workers of this pool were on rank",
                               [&] { waiting.get(); });
    check_throws<rp::RankLost>("the next one", "is lost", [&] { pool.map(support::square, std::vector<long>{1, 2}); });
    check(rp::slot_count() == 0, "the number of slots");
    rp::Pool other;
    check_throws<rp::RankLost>("a new pool", "no rank with slots is left", [&] {
      other.map(support::square, std::vector<long>{1, 2});
    });
    rp::Process process([] { std::cout << "a Process of rank " << rp::rank() << std::endl; });
    process.start();
    process.join();
    check(process.exitcode() == 0 && process.rank() == 0, "a Process on the rank that is left");
  });
});

void start_and_sleep(const std::string& file, bool daemon, int rank) {
  rp::Process child(rp::ProcessOptions{.daemon = daemon, .rank = rank}, support::sleep_for_ever, 0);
  child.start();
  support::add_line(file, std::to_string(child.pid()));
  support::sleep_for_ever(0);
}

const SmallProgram processes("processes", [](int argc, char** argv) {
  return run(argc, argv, [] {
    const auto pids = support::engine_pids();
    const std::string daemon_file = support::file_of_program("daemon");
    const std::string orphan_file = support::file_of_program("orphan");
    rp::Process victim(rp::ProcessOptions{.name = "the victim", .rank = 1}, support::sleep_for_ever, 0);
    rp::Process with_daemon(rp::ProcessOptions{.rank = 1}, start_and_sleep, daemon_file, true, 2);
    rp::Process with_orphan(rp::ProcessOptions{.rank = 1}, start_and_sleep, orphan_file, false, 2);
    rp::Process other(rp::ProcessOptions{.daemon = true, .rank = 2}, support::sleep_for_ever, 0);
    for (rp::Process* const process : {&victim, &with_daemon, &with_orphan, &other}) process->start();
    check(eventually([&] { return support::exists(daemon_file) && support::exists(orphan_file); }), "the start");
    ::kill(pids.at(1), SIGKILL);
    for (rp::Process* const process : {&victim, &with_daemon, &with_orphan}) {
      check(process->join_for(support::long_enough), "the end of a Process with its rank");
      check(!process->is_alive(), "that it does not live");
      check(process->exitcode() == -SIGKILL, "its exit code");
    }
    check(other.is_alive(), "that one of another rank lives");
    check(eventually([&] { return support::is_dead(static_cast<int>(support::numbers_of(daemon_file).at(0))); }),
          "the end of its daemon");
    check(!support::is_dead(static_cast<int>(support::numbers_of(orphan_file).at(0))), "that its other child goes on");
    ::kill(static_cast<int>(support::numbers_of(orphan_file).at(0)), SIGKILL);
    check_throws<rp::RankLost>("a Process for that rank", "name another rank", [] {
      rp::Process late(rp::ProcessOptions{.rank = 1}, support::sleep_for_ever, 0);
      late.start();
    });
    for (int i = 0; i < 6; ++i) {
      rp::Process next([] {});
      next.start();
      next.join();
      check(next.rank() != 1 && next.exitcode() == 0, "where a Process goes");
    }
  });
});

void open_a_pool(const std::string& file) {
  rp::Pool pool;
  const auto sleep = [](const std::string& name) {
    support::add_line(name, std::to_string(::getpid()));
    support::sleep_for_ever(0);
  };
  pool.map(sleep, std::vector<std::string>(8, file), {.chunksize = 1});
}

const SmallProgram owners("owners", [](int argc, char** argv) {
  return run(argc, argv, [] {
    const auto pids = support::engine_pids();
    const std::string file = support::file_of_program("workers");
    rp::Process owner(rp::ProcessOptions{.rank = 1}, open_a_pool, file);
    owner.start();
    const auto slots = static_cast<std::size_t>(rp::slot_count());
    check(eventually([&] { return support::lines_of(file).size() >= slots; }), "the pool of a Process");
    ::kill(pids.at(1), SIGKILL);
    for (const long pid : support::numbers_of(file))
      check(eventually([&] { return support::is_dead(static_cast<int>(pid)); }), "the end of a worker of its pool");
    owner.join();
  });
});

const SmallProgram exits("exits", [](int argc, char** argv) {
  std::atexit([] { std::cout << "a handler at exit\n"; });
  const int status = run(argc, argv, [] {
    const auto pids = support::engine_pids();
    ::kill(pids.at(1), SIGKILL);
    rp::Pool pool;
    check(eventually([] { return rp::slot_count() < rp::rank_count() - 1; }), "that a rank is lost");
    std::cout << "unflushed ";
  });
  std::cout << "after run\n";
  return status;
});

const SmallProgram by_mpi_rules("by_mpi_rules", [](int argc, char** argv) {
  return run(argc, argv, [] {
    const auto pids = support::engine_pids();
    rp::Pool pool;
    const Assassin assassin(pids.at(1), 10ms);
    pool.map(support::sleep_for_ever, std::vector<int>(100));
  });
});

/// Every time another moment, another rank.
void repeat(const char* program, int times, int first_seed) {
  for (int seed = first_seed; seed < first_seed + times; ++seed) {
    SCOPED_TRACE(std::string(program) + ": repeat with " + seed_variable + "=" + std::to_string(seed));
    const Ended ended = support::start(program, survivor(3 + seed % 2, {{seed_variable, std::to_string(seed)}}));
    expect_good(ended);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace

TEST(RankDeath, a_map_at_any_moment) { repeat("map", 20, 1); }
TEST(RankDeath, streams) { repeat("streams", 3, 100); }
TEST(RankDeath, reductions) { repeat("reductions", 6, 200); }
TEST(RankDeath, while_values_meet) { repeat("meetings", 8, 400); }
TEST(RankDeath, calls) { repeat("calls", 3, 300); }

TEST(RankDeath, nobody_is_left) { expect_good(support::start("nobody_left", survivor(3))); }

TEST(RankDeath, of_processes) {
  const Ended ended = support::start("processes", survivor(4));
  expect_good(ended);
  EXPECT_NE(ended.err.find("rankpool: the victim (pid "), std::string::npos) << ended;
  EXPECT_NE(ended.err.find("rankpool: rank 1 (host "), std::string::npos) << ended;
}

TEST(RankDeath, of_the_owner_of_a_pool) { expect_good(support::start("owners", survivor(4))); }

TEST(RankDeath, the_end_of_the_program_is_as_always) {
  const Ended ended = support::start("exits", survivor(3));
  expect_good(ended);
  EXPECT_NE(ended.out.find("unflushed the end\nafter run\n"), std::string::npos) << ended;
  EXPECT_NE(ended.out.find("a handler at exit\n"), std::string::npos) << ended;
}

TEST(RankDeath, ends_a_job_that_is_not_to_go_on) {
  const Ended ended = support::start(
      "by_mpi_rules", {.command = {"/usr/bin/env", "mpirun", "-n", "3", "--oversubscribe", "--bind-to", "none"}});
  EXPECT_TRUE(ended.in_time) << ended;
  EXPECT_NE(ended.status, 0) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}
