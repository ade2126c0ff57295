// Workers that die with values in them which nobody else has.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <random>
#include <ranges>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/scratch.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;

namespace {

constexpr int any_number = 10'000;  // of runs: a death is never the fault of a task here

/// A value that knows in which processes it was computed.
struct Traced {
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& sum& pids;
  }
  long sum = 0;
  std::set<int> pids;
};

/// Says once who this worker is.
long same_and_sign(const std::string& log, long x) {
  static bool signed_in = false;
  if (!std::exchange(signed_in, true)) support::add_line(log, std::to_string(::getpid()));
  return x;
}

Traced traced(long x) {
  std::this_thread::sleep_for(500us);
  return {x, {::getpid()}};
}
Traced join(Traced a, const Traced& b) {
  a.sum += b.sum;
  a.pids.insert(b.pids.begin(), b.pids.end());
  return a;
}
/// As often as the file has room for, the worker in which the values of two others meet dies.
Traced join_or_die(const std::string& file, std::size_t deaths, Traced a, const Traced& b) {
  if (a.pids != b.pids && support::lines_of(file).size() < deaths) {
    support::add_line(file, "died");
    support::die_by(SIGKILL);
  }
  return join(std::move(a), b);
}

/// Kills workers that have signed the log, at random, for as long as it lives.
class Killer {
 public:
  Killer(std::string log, std::chrono::microseconds longest_pause, unsigned seed)
      : log_(std::move(log)), longest_pause_(longest_pause), random_(seed), thread_([this] { run(); }) {}
  Killer(const Killer&) = delete;
  Killer& operator=(const Killer&) = delete;
  ~Killer() { stop(); }

  int stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
    return kills_;
  }

 private:
  void run() {
    while (!stopped_) {
      std::this_thread::sleep_for(longest_pause_ * static_cast<int>(random_() % 100) / 100);
      std::vector<int> alive;
      for (const long pid : support::numbers_of(log_))
        if (!killed_.contains(static_cast<int>(pid))) alive.push_back(static_cast<int>(pid));
      if (alive.empty()) continue;
      const int pid = alive[random_() % alive.size()];
      killed_.insert(pid);
      if (::kill(pid, SIGKILL) == 0) ++kills_;
    }
  }

  const std::string log_;
  const std::chrono::microseconds longest_pause_;
  std::minstd_rand random_;
  std::set<int> killed_;
  std::atomic<int> kills_{0};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

class MapReduceDeath : public testing::Test {
 protected:
  support::Scratch scratch_;
};

}  // namespace

TEST_F(MapReduceDeath, random_kills_change_no_sum) {
  constexpr long n = 20'000;
  int kills = 0;
  for (int round = 0; round < 6; ++round) {
    const std::string log = scratch_.file("signed" + std::to_string(round));
    rp::Pool pool(3);
    const auto task = [](const std::string& file, long x) {
      if (x % 16 == 0) std::this_thread::sleep_for(100us);
      return same_and_sign(file, x);
    };
    Killer killer(log, 30ms, static_cast<unsigned>(round));
    const long sum =
        pool.map_reduce(rp::partial(task, log), std::plus<>(), std::views::iota(0L, n), 1L, {.retries = any_number});
    kills += killer.stop();
    ASSERT_EQ(sum, 1 + n * (n - 1) / 2) << "round " << round;
  }
  EXPECT_GT(kills, 5);
}

TEST_F(MapReduceDeath, random_kills_of_workers_that_are_replaced_anyway) {
  constexpr long n = 2'000;
  for (int round = 0; round < 3; ++round) {
    const std::string log = scratch_.file("signed" + std::to_string(round));
    rp::Pool pool(rp::PoolOptions{.processes = 3, .max_tasks_per_child = 70, .retries = any_number});
    Killer killer(log, 20ms, static_cast<unsigned>(round));
    const long sum = pool.map_reduce(rp::partial(same_and_sign, log), std::plus<>(), std::views::iota(0L, n), 0L);
    killer.stop();
    ASSERT_EQ(sum, n * (n - 1) / 2) << "round " << round;
  }
}

TEST_F(MapReduceDeath, while_values_meet) {
  for (const std::size_t deaths : {1u, 2u, 3u}) {
    rp::Pool pool(4);
    support::worker_pids(pool);
    const std::string file = scratch_.file(std::to_string(deaths));
    const Traced all = pool.map_reduce(traced, rp::partial(join_or_die, file, deaths), std::views::iota(0L, 200L),
                                       Traced{}, {.chunksize = 1});
    EXPECT_EQ(all.sum, 19'900);
    EXPECT_GE(support::lines_of(file).size(), deaths);  // more if ranks do so at the same time
  }
}

TEST_F(MapReduceDeath, values_that_nobody_survives_are_given_up) {
  rp::Pool pool(3);
  support::worker_pids(pool);
  const std::string file = scratch_.file("deaths");
  const Failure failure([&] {
    pool.map_reduce(traced, rp::partial(join_or_die, file, std::size_t{1000}), std::views::iota(0L, 100L), Traced{},
                    {.chunksize = 1});
  });
  const auto* const lost = failure.as<rp::WorkerLost>();
  ASSERT_NE(lost, nullptr) << failure;
  EXPECT_EQ(lost->signal(), SIGKILL);
  EXPECT_FALSE(lost->task_index());
  EXPECT_LT(support::lines_of(file).size(), 30u);
  const auto same = [](long x) { return x; };
  EXPECT_EQ(pool.map_reduce(same, std::plus<>(), std::views::iota(0L, 100L), 0L), 4950) << "the pool is well";
}

// A death between two tasks is nobody's fault, so it needs no retries.
TEST_F(MapReduceDeath, an_idle_worker_costs_nothing) {
  rp::Pool pool(2);
  const std::string log = scratch_.file("pids");
  const std::string gate = scratch_.file("gate");
  const auto task = [](const std::string& pids, const std::string& opened, long x) {
    if (x == 40) {
      support::add_line(opened + ".by", std::to_string(::getpid()));
      support::wait_for_file(opened);
    } else {
      std::this_thread::sleep_for(1ms);  // so that both take part
      support::add_line(pids, std::to_string(::getpid()));
    }
    return Traced{x, {::getpid()}};
  };
  // The last task waits in one of them, while the other has nothing to do.
  auto result =
      pool.map_reduce_async(rp::partial(task, log, gate), join, std::views::iota(0L, 41L), Traced{}, {.chunksize = 1});
  ASSERT_TRUE(support::eventually([&] { return support::lines_of(log).size() == 40; }));
  ASSERT_TRUE(support::eventually([&] { return support::lines_of(gate + ".by").size() == 1; }));
  std::this_thread::sleep_for(20ms);
  const std::vector<long> pids = support::numbers_of(log);
  const long waiting = support::numbers_of(gate + ".by").front();
  const auto idle = std::find_if(pids.begin(), pids.end(), [&](long pid) { return pid != waiting; });
  ASSERT_NE(idle, pids.end());
  const int last = static_cast<int>(*idle);
  ::kill(last, SIGKILL);
  EXPECT_TRUE(support::eventually([&] { return support::is_dead(last); }));
  support::add_line(gate, "open");
  const Traced all = result.get();
  EXPECT_EQ(all.sum, 820);
  EXPECT_FALSE(all.pids.contains(last));
  EXPECT_GT(support::lines_of(log).size(), 40u) << "what was lost was done again";
}

TEST_F(MapReduceDeath, long_tasks_are_not_done_again) {
  rp::Pool pool(1);
  const std::string log = scratch_.file("pids");
  const auto task = [](const std::string& pids, long x) {
    std::this_thread::sleep_for(x < 5 ? 300ms : 1ms);
    support::add_line(pids, std::to_string(::getpid()));
    if (x == 5 && support::lines_of(pids).size() == 6) support::die_by(SIGKILL);
    return x;
  };
  EXPECT_EQ(pool.map_reduce(rp::partial(task, log), std::plus<>(), std::views::iota(0L, 20L), 0L,
                            {.chunksize = 1, .retries = 1}),
            190);
  EXPECT_LT(support::lines_of(log).size(), 24u) << "the first of them were safe";
}
