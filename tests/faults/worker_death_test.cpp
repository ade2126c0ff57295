// Workers that die in a task, between tasks, and over and over: the task under way is lost or run again, nothing else.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <map>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
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
using support::Death;
using support::Failure;
using support::square;

namespace {

struct Expected {
  Death how;
  std::optional<int> signal;
  std::optional<int> exit_code;
};
const std::vector<Expected>& every_death() {
  static const std::vector<Expected> all{
      {Death::underscore_exit, {}, 5},          {Death::exit, {}, 6},       {Death::abort, SIGABRT, {}},
      {Death::segmentation_fault, SIGSEGV, {}}, {Death::kill, SIGKILL, {}}, {Death::terminate, SIGABRT, {}},
  };
  return all;
}

void log_where(const std::string& log) {
  support::add_line(log, std::to_string(rp::rank()));
  support::add_line(log, std::to_string(::getpid()));
}
void die_in_task(const std::string& log, Death how) {
  log_where(log);
  support::die(how);
}

/// Logs its number; number `victim` dies then.
struct Logged {
  std::string log;
  int victim = -1;
  Death how = Death::underscore_exit;
  int operator()(int number) const {
    support::add_line(log, std::to_string(number));
    if (number == victim) support::die(how);
    return number;
  }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& log& victim& how;
  }
};

/// Dies as long as its file has fewer than so many lines.
int die_at_first(const std::string& file, std::size_t deaths) {
  support::add_line(file, "begun");
  if (support::lines_of(file).size() <= deaths) support::die(Death::kill);
  return ::getpid();
}

std::vector<long> sorted_numbers_of(const std::string& file) {
  std::vector<long> numbers = support::numbers_of(file);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}
std::vector<long> zero_to(long n) {
  std::vector<long> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

void kill_and_wait(const std::set<int>& pids) {
  for (const int pid : pids) ::kill(pid, SIGKILL);
  for (const int pid : pids) EXPECT_TRUE(support::eventually([pid] { return support::is_dead(pid); })) << pid;
}

class WorkerDeath : public testing::Test {
 protected:
  void expect_that_the_pool_is_well(rp::Pool& some_pool) {
    const auto results = some_pool.map(square, std::views::iota(0L, 50L));
    for (long i = 0; i < 50; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i);
  }

  support::Scratch scratch_;
};

}  // namespace

// ---- in a task

TEST_F(WorkerDeath, says_how_and_where) {
  rp::Pool pool(2);
  std::size_t calls = 0;
  for (const Expected& death : every_death()) {
    const std::string log = scratch_.file(std::to_string(static_cast<int>(death.how)));
    const Failure failure([&] { pool.apply(die_in_task, log, death.how); });
    const auto* const lost = failure.as<rp::WorkerLost>();
    ASSERT_NE(lost, nullptr) << "death " << static_cast<int>(death.how) << ": " << failure;
    EXPECT_TRUE(failure.is<rp::Error>());
    EXPECT_EQ(lost->signal(), death.signal) << failure;
    EXPECT_EQ(lost->exit_code(), death.exit_code) << failure;
    EXPECT_EQ(lost->attempts(), 1);
    EXPECT_EQ(lost->task_index(), std::optional<std::size_t>(calls++)) << "its number in the pool";
    EXPECT_EQ(lost->host(), rp::current_process().host);
    const std::vector<long> where = support::numbers_of(log);
    ASSERT_EQ(where.size(), 2u);
    EXPECT_EQ(lost->rank(), where[0]);
    EXPECT_EQ(lost->pid(), where[1]);
    const std::string told = std::to_string(death.signal ? *death.signal : *death.exit_code);
    EXPECT_NE(failure.what().find(told), std::string::npos) << failure;
    expect_that_the_pool_is_well(pool);
  }
}

TEST_F(WorkerDeath, by_every_other_way_out) {
  struct ThrowsAtTheEnd {
    ~ThrowsAtTheEnd() noexcept(false) { support::throw_uncaught(); }
  };
  rp::Pool pool(2);
  const auto expect_lost = [&](auto task, std::optional<int> signal, std::optional<int> exit_code) {
    const Failure failure([&] { pool.apply(task); });
    const auto* const lost = failure.as<rp::WorkerLost>();
    ASSERT_NE(lost, nullptr) << failure;
    EXPECT_EQ(lost->signal(), signal) << failure;
    EXPECT_EQ(lost->exit_code(), exit_code) << failure;
    expect_that_the_pool_is_well(pool);
  };
  expect_lost([] { std::exit(0); }, {}, 0);
  expect_lost([] { ::_exit(0); }, {}, 0);
  expect_lost([] { std::quick_exit(0); }, {}, 0);
  expect_lost([] { std::thread([] { std::exit(4); }).join(); }, {}, 4);
  expect_lost([] { ::pthread_exit(nullptr); }, SIGABRT, {});
  expect_lost([] { std::terminate(); }, SIGABRT, {});
  expect_lost([] { std::thread([] { support::throw_uncaught(); }).join(); }, SIGABRT, {});
  expect_lost(
      [] {
        const ThrowsAtTheEnd second;
        const ThrowsAtTheEnd first;
      },
      SIGABRT, {});
  const Failure once([&] { pool.apply([] { const ThrowsAtTheEnd only; }); });
  EXPECT_TRUE(once.is<rp::RemoteError>()) << "one exception is an error like any other: " << once;
}

TEST_F(WorkerDeath, costs_that_task_alone) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {1u, 10u, 0u, 100u}) {
    for (const int victim : {0, 37, 99}) {
      const std::string log = scratch_.file(std::to_string(chunksize) + "." + std::to_string(victim));
      const Failure failure([&] {
        pool.map(Logged{log, victim, Death::underscore_exit}, std::views::iota(0, 100), {.chunksize = chunksize});
      });
      const auto* const lost = failure.as<rp::WorkerLost>();
      ASSERT_NE(lost, nullptr) << "chunksize " << chunksize << ", victim " << victim << ": " << failure;
      EXPECT_EQ(lost->task_index(), std::optional<std::size_t>(victim));
      EXPECT_EQ(lost->attempts(), 1);
      EXPECT_EQ(sorted_numbers_of(log), zero_to(100))
          << "all have run, each once; chunksize " << chunksize << ", victim " << victim;
    }
  }
  expect_that_the_pool_is_well(pool);
}

TEST_F(WorkerDeath, keeps_the_results_before_and_behind) {
  rp::Pool pool(1);
  for (const Expected& death : every_death()) {
    std::vector<rp::AsyncResult<int>> results;
    const std::string log = scratch_.file(std::to_string(static_cast<int>(death.how)));
    for (int i = 0; i < 20; ++i) results.push_back(pool.apply_async(Logged{log, 7, death.how}, i));
    for (int i = 0; i < 20; ++i) {
      const Failure failure([&] { EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), i); });
      EXPECT_EQ(failure.is<rp::WorkerLost>(), i == 7) << "task " << i << ": " << failure;
    }
    EXPECT_EQ(sorted_numbers_of(log), zero_to(20));
  }
}

TEST_F(WorkerDeath, every_task_dies) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {1u, 5u, 0u}) {
    const std::string log = scratch_.file(std::to_string(chunksize));
    const auto task = [](const std::string& file, int i) {
      support::add_line(file, std::to_string(i));
      ::_exit(3);
    };
    const Failure failure([&] { pool.map(rp::partial(task, log), std::views::iota(0, 40), {.chunksize = chunksize}); });
    const auto* const lost = failure.as<rp::WorkerLost>();
    ASSERT_NE(lost, nullptr) << failure;
    EXPECT_EQ(lost->task_index(), std::optional<std::size_t>(0)) << "the first in input order";
    EXPECT_EQ(sorted_numbers_of(log), zero_to(40)) << "chunksize " << chunksize;
  }
  expect_that_the_pool_is_well(pool);
}

TEST_F(WorkerDeath, among_other_errors) {
  rp::Pool pool(2);
  const auto task = [](int i) {
    if (i == 4) ::_exit(1);
    if (i == 8) throw std::out_of_range("eight");
    return i;
  };
  EXPECT_THROW(pool.map(task, std::views::iota(0, 20), {.chunksize = 3}), rp::WorkerLost);
  EXPECT_THROW(pool.map(task, std::views::iota(5, 20), {.chunksize = 3}), std::out_of_range);
}

TEST_F(WorkerDeath, with_a_big_argument_or_result_on_the_way) {
  rp::Pool pool(2);
  const std::vector<std::string> big(6, std::string(3u << 20, 'b'));
  const auto task = [](const std::string& text, int i) {
    if (i % 2 == 1) support::die(Death::kill);
    return text;
  };
  std::vector<rp::AsyncResult<std::string>> results;
  for (int i = 0; i < 6; ++i) results.push_back(pool.apply_async(task, big[static_cast<std::size_t>(i)], i));
  for (int i = 0; i < 6; ++i) {
    const Failure failure(
        [&] { EXPECT_TRUE(results[static_cast<std::size_t>(i)].get() == big[static_cast<std::size_t>(i)]); });
    EXPECT_EQ(failure.is<rp::WorkerLost>(), i % 2 == 1) << failure;
  }
}

TEST_F(WorkerDeath, in_a_thread_that_the_task_has_made) {
  rp::Pool pool(2);
  const auto task = [](int i) {
    std::thread([i] { support::die_by(i % 2 == 0 ? SIGKILL : SIGSEGV); }).join();
    return i;
  };
  for (int i = 0; i < 6; ++i) EXPECT_THROW(pool.apply(task, i), rp::WorkerLost);
  expect_that_the_pool_is_well(pool);
}

// ---- retries

TEST_F(WorkerDeath, retries_run_the_task_again) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .retries = 2});
  const std::string file = scratch_.file("survives");
  EXPECT_GT(pool.apply(die_at_first, file, std::size_t{2}), 0);
  EXPECT_EQ(support::lines_of(file).size(), 3u);

  const std::string again = scratch_.file("does not");
  const Failure failure([&] { pool.apply(die_at_first, again, std::size_t{3}); });
  const auto* const lost = failure.as<rp::WorkerLost>();
  ASSERT_NE(lost, nullptr) << failure;
  EXPECT_EQ(lost->attempts(), 3);
  EXPECT_EQ(lost->signal(), SIGKILL);
  EXPECT_EQ(support::lines_of(again).size(), 3u);
}

TEST_F(WorkerDeath, retries_of_a_map_win_over_those_of_the_pool) {
  rp::Pool none(1);
  rp::Pool two(rp::PoolOptions{.processes = 1, .retries = 2});
  const auto attempts = [&](rp::Pool& pool, std::optional<int> retries) {
    const std::string file = scratch_.file("attempts");
    const auto task = [](const std::string& log, int) {
      support::add_line(log, "begun");
      ::_exit(1);
    };
    const Failure failure([&] { pool.map(rp::partial(task, file), std::vector<int>{1}, {.retries = retries}); });
    const std::size_t begun = support::lines_of(file).size();
    ::unlink(file.c_str());
    const auto* const lost = failure.as<rp::WorkerLost>();
    EXPECT_NE(lost, nullptr) << failure;
    if (lost != nullptr) {
      EXPECT_EQ(lost->attempts(), static_cast<int>(begun));
    }
    return begun;
  };
  EXPECT_EQ(attempts(none, {}), 1u);
  EXPECT_EQ(attempts(none, 3), 4u);
  EXPECT_EQ(attempts(two, {}), 3u);
  EXPECT_EQ(attempts(two, 0), 1u);
}

TEST_F(WorkerDeath, retries_save_a_whole_map) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .retries = 2});
  for (const std::size_t chunksize : {1u, 10u, 0u}) {
    const std::string prefix = scratch_.file(std::to_string(chunksize) + ".");
    const auto task = [](const std::string& files, int i) {
      if (i % 25 == 7) die_at_first(files + std::to_string(i), 2);
      return i;
    };
    const std::vector<int> results =
        pool.map(rp::partial(task, prefix), std::views::iota(0, 100), {.chunksize = chunksize});
    for (int i = 0; i < 100; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i);
  }
}

TEST_F(WorkerDeath, a_task_that_throws_is_not_tried_again) {
  rp::Pool pool(rp::PoolOptions{.processes = 1, .retries = 5});
  const std::string log = scratch_.file("log");
  const auto task = [](const std::string& file) {
    support::add_line(file, "begun");
    throw std::runtime_error("once");
  };
  EXPECT_THROW(pool.apply(task, log), rp::RemoteError);
  EXPECT_EQ(support::lines_of(log).size(), 1u);
}

// ---- from outside

namespace {

int log_pid_and_nap(const std::string& log, int i) {
  support::add_line(log, std::to_string(::getpid()));
  std::this_thread::sleep_for(1ms);
  return i;
}

}  // namespace

TEST_F(WorkerDeath, idle_workers_are_replaced_without_loss) {
  rp::Pool pool(3);
  for (int round = 0; round < 4; ++round) {
    const std::set<int> pids = support::worker_pids(pool);
    EXPECT_EQ(pids.size(), 3u);
    kill_and_wait(pids);
    expect_that_the_pool_is_well(pool);
    for (const int pid : support::worker_pids(pool)) EXPECT_FALSE(pids.contains(pid));
  }
}

TEST_F(WorkerDeath, every_worker_over_and_over_costs_only_tasks_under_way) {
  rp::Pool pool;
  for (int round = 0; round < 50; ++round) {
    const std::string log = scratch_.file(std::to_string(round));
    std::vector<rp::AsyncResult<int>> results;
    for (int i = 0; i < 30; ++i) results.push_back(pool.apply_async(log_pid_and_nap, log, i));
    ASSERT_TRUE(support::eventually([&] { return !support::lines_of(log).empty(); })) << "round " << round;
    std::set<int> killed;
    for (const long pid : support::numbers_of(log)) killed.insert(static_cast<int>(pid));
    for (const int pid : killed) ::kill(pid, SIGKILL);

    std::size_t lost_tasks = 0;
    for (int i = 0; i < 30; ++i) {
      const rp::AsyncResult<int>& result = results[static_cast<std::size_t>(i)];
      ASSERT_TRUE(result.wait_for(support::long_enough)) << "task " << i << " of round " << round << " never ended";
      const Failure failure([&] { EXPECT_EQ(result.get(), i); });
      if (!failure) continue;
      const auto* const lost = failure.as<rp::WorkerLost>();
      ASSERT_NE(lost, nullptr) << failure;
      EXPECT_EQ(lost->signal(), SIGKILL);
      EXPECT_TRUE(killed.contains(lost->pid())) << lost->pid() << " was not killed: " << failure;
      ++lost_tasks;
    }
    EXPECT_LE(lost_tasks, killed.size()) << "one task at most for each worker, round " << round;
    EXPECT_LE(support::lines_of(log).size(), 30u) << "none has run twice, round " << round;
  }
  expect_that_the_pool_is_well(pool);
}

TEST_F(WorkerDeath, every_worker_over_and_over_with_retries_costs_nothing) {
  rp::Pool pool(rp::PoolOptions{.processes = 3, .retries = 3});
  const std::vector<long> expected = zero_to(60);
  for (int round = 0; round < 15; ++round) {
    const std::string log = scratch_.file(std::to_string(round));
    const auto results = pool.map_async(rp::partial(log_pid_and_nap, log), std::views::iota(0, 60),
                                        {.chunksize = static_cast<std::size_t>(round % 4)});
    ASSERT_TRUE(support::eventually([&] { return support::lines_of(log).size() >= 5; })) << "round " << round;
    const std::vector<long> pids = support::numbers_of(log);
    for (const long pid : std::set<long>(pids.begin(), pids.end())) ::kill(static_cast<int>(pid), SIGKILL);
    ASSERT_TRUE(results.wait_for(support::long_enough)) << "round " << round;
    const std::vector<int> numbers = results.get();
    EXPECT_TRUE(std::equal(numbers.begin(), numbers.end(), expected.begin(), expected.end())) << "round " << round;
  }
}

TEST_F(WorkerDeath, a_stopped_worker_that_is_killed_is_lost_too) {
  rp::Pool pool(1);
  const std::string log = scratch_.file("pid");
  const rp::AsyncResult<void> result = pool.apply_async(
      [](const std::string& file) {
        support::add_line(file, std::to_string(::getpid()));
        ::raise(SIGSTOP);
      },
      log);
  ASSERT_TRUE(support::eventually([&] { return !support::lines_of(log).empty(); }));
  EXPECT_FALSE(result.wait_for(20ms));
  ::kill(static_cast<int>(support::numbers_of(log).front()), SIGKILL);
  EXPECT_THROW(result.get(support::long_enough), rp::WorkerLost);
}

// ---- while the pool ends

TEST_F(WorkerDeath, while_the_pool_drains) {
  const std::string log = scratch_.file("log");
  {
    rp::Pool pool(2);
    pool.map_async(Logged{log, 20, Death::kill}, std::views::iota(0, 60), {.chunksize = 3});
  }
  EXPECT_EQ(sorted_numbers_of(log), zero_to(60));
}

TEST_F(WorkerDeath, right_before_the_end) {
  for (int round = 0; round < 10; ++round) {
    rp::Pool pool(2);
    kill_and_wait(support::worker_pids(pool));
    if (round % 2 == 1) pool.close();
    if (round % 4 == 2) pool.terminate();
  }
}

TEST_F(WorkerDeath, of_one_pool_is_not_that_of_another) {
  rp::Pool healthy(1);
  const int pid = healthy.apply(support::own_pid);
  const rp::AsyncResult<std::vector<int>> work =
      healthy.map_async(support::own_pid_for, std::vector<int>(200), {.chunksize = 1});
  rp::Pool sick(1);
  for (int i = 0; i < 10; ++i) EXPECT_THROW(sick.apply(support::die, Death::abort), rp::WorkerLost);
  EXPECT_EQ(work.get(), std::vector<int>(200, pid));
}
