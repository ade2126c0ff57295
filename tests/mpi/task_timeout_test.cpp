// MapOptions::task_timeout: a task that runs too long is stopped, and it alone.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;

namespace {

std::vector<int> zero_to(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

[[noreturn]] void compute_for_ever() {
  volatile bool goes_on = true;
  while (goes_on) {
  }
  std::_Exit(99);
}

/// Logs its number; number `victim` sleeps for ever, or computes.
struct Logged {
  std::string log;
  int victim = -1;
  bool computes = false;
  int operator()(int number) const {
    support::add_line(log, std::to_string(number));
    if (number == victim) {
      if (computes) compute_for_ever();
      support::sleep_for_ever(0);
    }
    return number;
  }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& log& victim& computes;
  }
};

/// Is late as long as its file has fewer than so many lines.
int late_at_first(const std::string& file, std::size_t times) {
  support::add_line(file, "begun");
  if (support::lines_of(file).size() <= times) support::sleep_for_ever(0);
  return 7;
}

int ignore_and_sleep(int) {
  std::signal(SIGTERM, SIG_IGN);
  support::sleep_for_ever(0);
  return 0;
}

volatile sig_atomic_t asked_to_end = 0;

/// The signal ends its sleep, not its process.
int sleep_until_asked(int number) {
  struct sigaction on_term = {};
  on_term.sa_handler = [](int) { asked_to_end = 1; };
  ::sigaction(SIGTERM, &on_term, nullptr);
  if (number == 0) {
    for (int i = 0; i < 3000 && asked_to_end == 0; ++i) ::usleep(10'000);
  } else {
    std::this_thread::sleep_for(50ms);
  }
  return ::getpid();
}

class TaskTimeout : public testing::Test {
 protected:
  void expect_that_the_pool_is_well(rp::Pool& pool) {
    const auto results = pool.map(support::square, std::vector<long>(50, 3));
    EXPECT_EQ(results, std::vector<long>(50, 9));
  }

  support::Scratch scratch_;
};

}  // namespace

TEST_F(TaskTimeout, stops_a_task_that_hangs_and_no_other) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {0u, 1u, 10u}) {
    for (const bool computes : {false, true}) {
      const std::string log = scratch_.file(std::to_string(chunksize) + (computes ? "c" : "s"));
      const Failure failure([&] {
        pool.map(Logged{log, 5, computes}, zero_to(20), {.chunksize = chunksize, .task_timeout = 300ms});
      });
      ASSERT_TRUE(failure.is<rp::TaskTimeout>()) << failure;
      EXPECT_TRUE(failure.is<rp::Error>());
      EXPECT_TRUE(failure.what().starts_with("task 5 was stopped: it ran longer than its limit of 0.3 s (rank "))
          << failure;
      EXPECT_NE(failure.what().find("host " + rp::current_process().host), std::string::npos) << failure;
      EXPECT_NE(failure.what().find("; 1 attempt)"), std::string::npos) << failure;
      std::vector<long> begun = support::numbers_of(log);
      std::ranges::sort(begun);
      std::vector<long> expected(20);
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(begun, expected) << "each once, chunksize " << chunksize;
    }
  }
  expect_that_the_pool_is_well(pool);
}

TEST_F(TaskTimeout, the_late_process_is_gone) {
  rp::Pool pool(1);
  const int pid = pool.apply(support::own_pid);
  EXPECT_THROW(pool.map(support::sleep_for_ever, std::vector<int>(1), {.task_timeout = 100ms}), rp::TaskTimeout);
  EXPECT_TRUE(support::eventually([pid] { return support::is_dead(pid); }));
  EXPECT_NE(pool.apply(support::own_pid), pid);
}

TEST_F(TaskTimeout, every_task_may_be_late) {
  rp::Pool pool(2);
  EXPECT_THROW(pool.map(support::sleep_for_ever, std::vector<int>(24), {.chunksize = 3, .task_timeout = 20ms}),
               rp::TaskTimeout);
  expect_that_the_pool_is_well(pool);
}

TEST_F(TaskTimeout, a_late_task_is_tried_again) {
  rp::Pool pool(2);
  const std::string once = scratch_.file("once");
  const auto run = [&](const std::string& file, std::size_t times, const rp::MapOptions& options) {
    return pool.map(rp::partial(late_at_first, file), std::vector<std::size_t>{times}, options);
  };
  EXPECT_EQ(run(once, 1, {.task_timeout = 200ms, .retries = 1}), std::vector<int>{7});
  EXPECT_EQ(support::lines_of(once).size(), 2u);

  const std::string always = scratch_.file("always");
  const Failure failure([&] { run(always, 100, {.task_timeout = 100ms, .retries = 2}); });
  ASSERT_TRUE(failure.is<rp::TaskTimeout>()) << failure;
  EXPECT_NE(failure.what().find("; 3 attempts)"), std::string::npos) << failure;
  EXPECT_EQ(support::lines_of(always).size(), 3u);
  expect_that_the_pool_is_well(pool);
}

TEST_F(TaskTimeout, the_retries_of_the_pool_count) {
  rp::Pool pool(rp::PoolOptions{.processes = 1, .retries = 1});
  const std::string file = scratch_.file("runs");
  EXPECT_EQ(pool.map(rp::partial(late_at_first, file), std::vector<std::size_t>{1}, {.task_timeout = 100ms}),
            std::vector<int>{7});
}

TEST_F(TaskTimeout, who_ignores_the_signal_is_killed) {
  rp::Pool pool(1);
  EXPECT_THROW(pool.map(ignore_and_sleep, std::vector<int>(1), {.task_timeout = 50ms}), rp::TaskTimeout);
  expect_that_the_pool_is_well(pool);
}

TEST_F(TaskTimeout, who_ends_at_the_signal_keeps_its_process) {
  rp::Pool pool(1);
  const int pid = pool.apply(support::own_pid);
  // the tasks behind the late one last for longer than it takes until the process would be killed
  EXPECT_EQ(pool.map(sleep_until_asked, zero_to(26), {.chunksize = 26, .task_timeout = 400ms}),
            std::vector<int>(26, pid));
  EXPECT_EQ(pool.apply(support::own_pid), pid);
}

TEST_F(TaskTimeout, is_the_time_of_one_task) {
  rp::Pool pool(1);
  const auto nap = [](int) { std::this_thread::sleep_for(20ms); };
  EXPECT_NO_THROW(pool.map(nap, std::vector<int>(30), {.chunksize = 30, .task_timeout = 500ms}));
  std::this_thread::sleep_for(600ms);
  EXPECT_EQ(pool.map(support::square, std::vector<long>(20'000, 2), {.task_timeout = 500ms}),
            std::vector<long>(20'000, 4));
}

TEST_F(TaskTimeout, is_of_that_job_alone) {
  rp::Pool pool(1);
  const auto nap = [](int) { std::this_thread::sleep_for(400ms); };
  const auto late = pool.map_async(support::sleep_for_ever, std::vector<int>(1), {.task_timeout = 100ms});
  const auto slow = pool.map_async(nap, std::vector<int>(1));
  EXPECT_THROW(late.get(), rp::TaskTimeout);
  EXPECT_NO_THROW(slow.get());
}

TEST_F(TaskTimeout, may_be_as_long_as_can_be) {
  rp::Pool pool(2);
  EXPECT_EQ(pool.map(support::square, std::vector<long>(10, 2), {.task_timeout = std::chrono::nanoseconds::max()}),
            std::vector<long>(10, 4));
  EXPECT_THROW(pool.map(support::square, std::vector<long>(10, 2), {.task_timeout = -1s}), std::invalid_argument);
}

TEST_F(TaskTimeout, a_task_that_dies_in_time_is_lost) {
  rp::Pool pool(1);
  const auto exit = [](int) { ::_exit(4); };
  const Failure failure([&] { pool.map(exit, std::vector<int>(1), {.task_timeout = 20s}); });
  const auto* const lost = failure.as<rp::WorkerLost>();
  ASSERT_NE(lost, nullptr) << failure;
  EXPECT_EQ(lost->exit_code(), 4);
}

TEST_F(TaskTimeout, a_pool_with_a_late_task_can_be_terminated) {
  rp::Pool pool(2);
  const auto late = pool.map_async(ignore_and_sleep, std::vector<int>(2), {.chunksize = 1, .task_timeout = 50ms});
  std::this_thread::sleep_for(200ms);
  pool.terminate();
  EXPECT_THROW(late.get(), rp::CancelledError);
  EXPECT_TRUE(pool.join_for(support::long_enough));
}
