// Tasks are sent ahead; none of them waits behind another one while somebody has nothing to do.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::long_enough;

namespace {

constexpr int workers = 4;
constexpr int rounds = 50;

std::vector<int> numbers_to(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

int tiny(int number) { return number; }

/// Afterwards the pool believes that its tasks take no time, and sends many of them ahead.
void warm_up(rp::Pool& pool) {
  const std::vector<int> numbers = numbers_to(10'000);
  ASSERT_EQ(pool.map(tiny, numbers), numbers);
  std::vector<rp::AsyncResult<int>> results;
  for (const int number : numbers_to(2'000)) results.push_back(pool.apply_async(tiny, number));
  for (auto& result : results) result.get();
}

/// The first tasks wait until the last one is run. How many of them waited in vain?
int last_opens(const rp::Event& gate, int waiting, int last, int number) {
  rp::Event event = gate;
  if (number == last) event.set();
  return number < waiting && !event.wait_for(long_enough) ? 1 : 0;
}

/// All tasks but the first are short, and it waits until they have ended. Did it wait in vain?
int first_ends_last(const rp::Value<int>& ended, int tasks, int number) {
  rp::Value<int> count = ended;
  if (number == 0) return support::eventually([&] { return count.load() == tasks - 1; }) ? 0 : 1;
  count.fetch_add(1);
  return 0;
}

/// Has the first task, which is long, ended?
int is_after_the_long_one(const rp::Value<int>& long_one_ended, int number) {
  rp::Value<int> ended = long_one_ended;
  if (number != 0) return ended.load();
  std::this_thread::sleep_for(200ms);
  ended.store(1);
  return 0;
}

int sum(const std::vector<int>& numbers) { return std::accumulate(numbers.begin(), numbers.end(), 0); }

}  // namespace

TEST(Balance, tasks_that_wait_for_a_later_one_of_their_map) {
  rp::Pool pool(workers);
  for (int round = 0; round < rounds; ++round) {
    if (round % 10 == 0) warm_up(pool);
    const int tasks = workers + round;
    const auto task = rp::partial(last_opens, rp::Event(), workers - 1, tasks - 1);
    const std::size_t chunksize = round % 3 == 0 ? 0 : round % 3 == 1 ? 1 : static_cast<std::size_t>(tasks);
    ASSERT_EQ(sum(pool.map(task, numbers_to(tasks), {.chunksize = chunksize})), 0) << "round " << round;
  }
}

TEST(Balance, calls_that_wait_for_a_later_call) {
  rp::Pool pool(workers);
  for (int round = 0; round < rounds; ++round) {
    if (round % 10 == 0) warm_up(pool);
    const int tasks = workers + 2 * round;
    const auto task = rp::partial(last_opens, rp::Event(), workers - 1, tasks - 1);
    std::vector<rp::AsyncResult<int>> results;
    for (int number = 0; number < tasks; ++number) results.push_back(pool.apply_async(task, number));
    for (auto& result : results) ASSERT_EQ(result.get(), 0) << "round " << round;
  }
}

TEST(Balance, a_map_that_waits_for_the_next_one) {
  rp::Pool pool(workers);
  for (int round = 0; round < rounds; ++round) {
    if (round % 10 == 0) warm_up(pool);
    const auto task = rp::partial(last_opens, rp::Event(), workers - 1, 1'000);
    auto waits = pool.map_async(task, numbers_to(workers - 1));
    auto opens = pool.map_async(task, std::vector<int>{500, 1'000});
    ASSERT_EQ(sum(opens.get()), 0);
    ASSERT_EQ(sum(waits.get()), 0);
  }
}

TEST(Balance, a_task_that_waits_for_all_others) {
  rp::Pool pool(workers);
  warm_up(pool);
  for (int round = 0; round < 10; ++round) {
    const auto task = rp::partial(first_ends_last, rp::Value<int>(0), 500);
    ASSERT_EQ(sum(pool.map(task, numbers_to(500), {.chunksize = round % 2 == 0 ? 0u : 100u})), 0);
  }
}

TEST(Balance, short_tasks_end_before_a_long_one) {
  rp::Pool pool(workers);
  for (int round = 0; round < 5; ++round) {
    warm_up(pool);
    EXPECT_EQ(sum(pool.map(rp::partial(is_after_the_long_one, rp::Value<int>(0)), numbers_to(200), {.chunksize = 20})),
              0);
  }
}

TEST(Balance, a_reduction_whose_tasks_wait) {
  rp::Pool pool(workers);
  for (int round = 0; round < 10; ++round) {
    warm_up(pool);
    const int tasks = 10 * workers;
    const auto task = rp::partial(last_opens, rp::Event(), workers - 1, tasks - 1);
    const int late = pool.map_reduce(task, std::plus<>(), numbers_to(tasks), 0);
    ASSERT_EQ(late, 0);
  }
}

TEST(Balance, workers_that_are_replaced_after_a_few_tasks) {
  rp::Pool pool(rp::PoolOptions{.processes = workers, .max_tasks_per_child = 20});
  for (int round = 0; round < 10; ++round) {
    const int tasks = 50 + round;
    ASSERT_EQ(sum(pool.map(tiny, std::vector<int>(100))), 0);
    const auto task = rp::partial(last_opens, rp::Event(), workers - 1, tasks - 1);
    ASSERT_EQ(sum(pool.map(task, numbers_to(tasks), {.chunksize = round % 2 == 0 ? 1u : 25u})), 0) << "round " << round;
  }
}

TEST(Balance, counts_every_task_once) {
  rp::Pool pool(workers);
  for (int round = 0; round < 10; ++round) {
    const auto task = rp::partial(first_ends_last, rp::Value<int>(0), 400);
    ASSERT_EQ(sum(pool.map(task, numbers_to(400), {.chunksize = 100})), 0);
  }
  const rp::Insights insights = pool.insights();
  EXPECT_EQ(insights.done, 4'000u);
  EXPECT_EQ(insights.running, 0u);
  EXPECT_EQ(insights.waiting, 0u);
}
