// Workers are killed at random while twenty thousand tasks run: every result comes, right and once, fifty times.
//
// RANKPOOL_CHAOS_SEED=n repeats the kills of a run, as far as time can be repeated.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <ranges>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/processes.hpp"
#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

constexpr long tasks = 20'000;
constexpr int rounds = 50;
constexpr int few_rounds = 4;
constexpr int most_kills = 15;  // a round: on a busy machine the tasks are slower than who kills them
constexpr int retries = 1000;

/// Takes some microseconds, so that a round lasts longer than the pauses between kills.
long work(long number) {
  const auto end = std::chrono::steady_clock::now() + 6us;
  long sum = number;
  while (std::chrono::steady_clock::now() < end) sum = sum * 31 % 1'000'003;
  return number * 3 + (sum < 0 ? 1 : 0);
}
std::pair<long, long> work_and_tell(long number) { return {number, work(number)}; }

std::uint64_t chosen_seed() {
  const char* const text = std::getenv("RANKPOOL_CHAOS_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
}

bool is_named(int pid, const std::string& name) {
  return support::content_of("/proc/" + std::to_string(pid) + "/comm").starts_with(name);
}

/// The workers of every pool of this job, on every rank of this host.
class Workers {
 public:
  Workers() {
    for (const int pid : support::job_processes())
      if (is_named(pid, "rankpool-zygote")) zygotes_.push_back(pid);
  }
  std::vector<int> now() const {
    std::vector<int> pids;
    for (const int zygote : zygotes_) {
      const std::string name = std::to_string(zygote);
      std::istringstream children(support::content_of("/proc/" + name + "/task/" + name + "/children"));
      for (int pid = 0; children >> pid;)
        if (is_named(pid, "PoolWorker-")) pids.push_back(pid);
    }
    return pids;
  }

 private:
  std::vector<int> zygotes_;
};

/// Kills workers at random moments as long as it lives.
class Killer {
 public:
  explicit Killer(std::uint64_t seed, std::chrono::microseconds longest_pause = 8ms)
      : random_(seed), longest_pause_(longest_pause), thread_([this] { kill_on(); }) {}
  Killer(const Killer&) = delete;
  Killer& operator=(const Killer&) = delete;
  ~Killer() { stop(); }

  int stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return kills_;
  }

 private:
  void kill_on() {
    static constexpr std::array signals{SIGKILL, SIGKILL, SIGSEGV, SIGTERM, SIGABRT};
    const Workers workers;
    while (!stopping_ && kills_ < most_kills) {
      const std::vector<int> pids = workers.now();
      if (!pids.empty()) {
        const std::size_t some = random_() % 8 == 0 ? pids.size() / 2 : 1;
        for (std::size_t i = 0; i < some; ++i) {
          const int pid = pids[random_() % pids.size()];
          if (::kill(pid, signals[random_() % signals.size()]) == 0) ++kills_;
        }
      }
      std::this_thread::sleep_for(
          std::chrono::microseconds(random_() % static_cast<std::uint64_t>(longest_pause_.count())));
    }
  }

  std::mt19937_64 random_;
  std::chrono::microseconds longest_pause_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> kills_{0};
  std::thread thread_;
};

/// Each of them once.
class Tally {
 public:
  void add(long number, long result) {
    ASSERT_TRUE(number >= 0 && number < tasks) << number;
    ASSERT_EQ(result, number * 3);
    ASSERT_FALSE(seen_[static_cast<std::size_t>(number)]) << number << " came twice";
    seen_[static_cast<std::size_t>(number)] = true;
    ++count_;
  }
  long count() const noexcept { return count_; }

 private:
  std::vector<bool> seen_ = std::vector<bool>(static_cast<std::size_t>(tasks));
  long count_ = 0;
};

class Chaos : public testing::Test {
 protected:
  void SetUp() override { std::cout << "RANKPOOL_CHAOS_SEED=" << seed_ << std::endl; }

  const std::uint64_t seed_ = chosen_seed();
};

/// What the kills of some rounds have done.
struct Damage {
  long kills = 0;
  int rounds_with_kills = 0;

  void add(int of_round) {
    kills += of_round;
    rounds_with_kills += of_round >= 2 ? 1 : 0;
  }
};

void expect_whole(const rp::Insights& numbers, std::uint64_t submitted, const Damage& damage) {
  EXPECT_EQ(numbers.submitted, submitted);
  EXPECT_EQ(numbers.done, submitted) << numbers;
  EXPECT_EQ(numbers.failed + numbers.cancelled + numbers.waiting + numbers.running, 0u) << numbers;
  EXPECT_EQ(numbers.lost, numbers.retried) << numbers;
  const auto replaced = numbers.workers_started - static_cast<std::uint64_t>(numbers.workers);
  std::cout << damage.kills << " kills, " << replaced << " workers replaced, " << numbers.lost << " tasks run again\n";
  // some hit a process that was about to end, or one twice
  EXPECT_GE(static_cast<long>(replaced), damage.kills / 2) << numbers;
  EXPECT_GE(replaced, numbers.lost) << "a worker runs one task at a time";
}

}  // namespace

TEST_F(Chaos, a_map_is_whole) {
  rp::Pool pool(rp::PoolOptions{.processes = 4, .retries = retries});
  Damage damage;
  for (int round = 0; round < rounds; ++round) {
    Killer killer(seed_ + static_cast<std::uint64_t>(round));
    std::vector<long> results;
    const auto chunksize = static_cast<std::size_t>(round % 5 == 4 ? 100 : 0);
    results = pool.map(work, std::views::iota(0L, tasks), {.chunksize = chunksize});
    damage.add(killer.stop());
    ASSERT_EQ(results.size(), static_cast<std::size_t>(tasks));
    for (long i = 0; i < tasks; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * 3) << "round " << round;
  }
  EXPECT_GE(damage.rounds_with_kills, rounds * 9 / 10) << "too few kills to prove anything";
  const rp::Insights numbers = pool.insights();
  expect_whole(numbers, static_cast<std::uint64_t>(rounds) * tasks, damage);
  EXPECT_GT(numbers.lost, 0u);
}

TEST_F(Chaos, a_stream_is_whole) {
  rp::Pool pool(rp::PoolOptions{.processes = 4, .retries = retries});
  Damage damage;
  for (int round = 0; round < few_rounds; ++round) {
    Killer killer(seed_ + 1000 + static_cast<std::uint64_t>(round));
    Tally tally;
    for (const auto& [number, result] : pool.imap_unordered(work_and_tell, std::views::iota(0L, tasks)))
      ASSERT_NO_FATAL_FAILURE(tally.add(number, result)) << "round " << round;
    damage.add(killer.stop());
    ASSERT_EQ(tally.count(), tasks) << "round " << round;
    if (round % 2 == 1) continue;
    long next = 0;
    for (const long result : pool.imap(work, std::views::iota(0L, tasks / 4))) ASSERT_EQ(result, next++ * 3);
    ASSERT_EQ(next, tasks / 4);
  }
  expect_whole(pool.insights(), static_cast<std::uint64_t>(few_rounds) * tasks + few_rounds / 2 * (tasks / 4), damage);
}

TEST_F(Chaos, every_future_ends) {
  constexpr long futures = 2000;
  Damage damage;
  for (int round = 0; round < few_rounds; ++round) {
    rp::ProcessPoolExecutor executor(4);
    Killer killer(seed_ + 2000 + static_cast<std::uint64_t>(round));
    std::vector<rp::Future<long>> all;
    for (long i = 0; i < futures; ++i)
      all.push_back(executor.submit({.priority = static_cast<int>(i % 3), .retries = retries}, work, i));
    for (long i = 0; i < futures; ++i)
      ASSERT_EQ(all[static_cast<std::size_t>(i)].result(support::long_enough), i * 3) << "round " << round;
    damage.add(killer.stop());
  }
  std::cout << damage.kills << " kills\n";
  EXPECT_GT(damage.kills, few_rounds);
}

TEST_F(Chaos, a_reduction_is_whole) {
  rp::Pool pool(rp::PoolOptions{.processes = 4, .retries = retries});
  Damage damage;
  // a kill costs all that its worker has done, and a worker that is killed whenever it has nothing to do is given up
  for (int round = 0; damage.kills < 20; ++round) {
    Killer killer(seed_ + 3000 + static_cast<std::uint64_t>(round), 100ms);
    ASSERT_EQ(pool.map_reduce(work, std::plus<>(), std::views::iota(0L, tasks), 0L), 3 * tasks * (tasks - 1) / 2)
        << "round " << round;
    damage.add(killer.stop());
  }
}

// ---- without retries a kill costs the task under way, and no other

TEST_F(Chaos, without_retries_each_kill_costs_a_task_at_most) {
  rp::Pool pool(4);
  std::uint64_t lost = 0;
  Damage damage;
  for (int round = 0; round < few_rounds || lost == 0; ++round) {
    ASSERT_LT(round, rounds) << "no kill has ever hit a task";
    Killer killer(seed_ + 4000 + static_cast<std::uint64_t>(round));
    const auto outcomes = pool.try_map(work, std::views::iota(0L, tasks));
    damage.add(killer.stop());
    ASSERT_EQ(outcomes.size(), static_cast<std::size_t>(tasks));
    for (long i = 0; i < tasks; ++i) {
      const auto& outcome = outcomes[static_cast<std::size_t>(i)];
      if (outcome.ok()) {
        ASSERT_EQ(outcome.value(), i * 3);
      } else {
        ++lost;
        try {
          static_cast<void>(outcome.value());
        } catch (const rp::WorkerLost& error) {
          ASSERT_EQ(error.task_index(), static_cast<std::size_t>(i));
          ASSERT_EQ(error.attempts(), 1);
        }
      }
    }
  }
  EXPECT_LE(lost, static_cast<std::uint64_t>(damage.kills));
  const rp::Insights numbers = pool.insights();
  EXPECT_EQ(numbers.failed, lost);
  EXPECT_EQ(numbers.lost, lost);
  EXPECT_EQ(numbers.done + numbers.failed, numbers.submitted);
}
