// What a task knows of itself: its index, its random numbers, its stop token.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::Failure;
using support::SmallProgram;

namespace {

std::vector<std::size_t> zero_to(std::size_t n) {
  std::vector<std::size_t> all(n);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

std::size_t own_index(int) { return rp::this_task().index; }
std::uint64_t first_number(int) { return rp::task_rng()(); }
std::vector<std::uint64_t> some_numbers(int) {
  std::vector<std::uint64_t> numbers;
  for (int i = 0; i < 5; ++i) numbers.push_back(rp::task_rng()());
  return numbers;
}

/// Is the call refused because no task runs?
bool is_refused(auto call) {
  const Failure failure(call);
  return failure.is<std::logic_error>() && failure.what().find("outside of a task") != std::string::npos;
}
bool both_are_refused() {
  return is_refused([] { static_cast<void>(rp::this_task()); }) && is_refused([] { rp::task_rng()(); });
}

// ---- other programs

void print_first_numbers() {
  rp::Pool pool;
  const std::vector<std::uint64_t> numbers = pool.map(first_number, std::vector<int>(20), {.chunksize = 1});
  for (const std::uint64_t number : numbers) std::cout << number << '\n';
}

const SmallProgram prints_numbers("prints_numbers",
                                  [](int argc, char** argv) { return rp::run(argc, argv, print_first_numbers); });

const SmallProgram seeded_in_source("seeded_in_source", [](int argc, char** argv) {
  return rp::run(argc, argv, print_first_numbers, {.seed = 7});
});

const SmallProgram seeded_by_rank_0("seeded_by_rank_0", [](int argc, char** argv) {
  const char* const rank = std::getenv("OMPI_COMM_WORLD_RANK");
  const bool first = rank == nullptr || rank == std::string_view("0");
  return rp::run(argc, argv, print_first_numbers, {.seed = first ? 7u : 8u});
});

std::string out_of(const std::string& program, const support::StartOptions& options) {
  const Ended ended = support::start(program, options);
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
  return ended.out;
}

}  // namespace

// ---- the index

TEST(ThisTask, is_called_after_its_place_in_the_input) {
  rp::Pool pool(3);
  for (const std::size_t chunksize : {0u, 1u, 7u, 1000u})
    EXPECT_EQ(pool.map(own_index, std::vector<int>(100), {.chunksize = chunksize}), zero_to(100)) << chunksize;
  EXPECT_EQ(pool.starmap([](int, int) { return rp::this_task().index; }, std::vector<std::pair<int, int>>(20)),
            zero_to(20));
}

TEST(ThisTask, tells_jobs_apart_that_run_at_the_same_time) {
  rp::Pool pool(2);
  std::vector<rp::AsyncResult<std::vector<std::size_t>>> results;
  for (std::size_t n = 1; n <= 20; ++n)
    results.push_back(pool.map_async(own_index, std::vector<int>(n), {.chunksize = 1 + n % 3}));
  for (std::size_t n = 1; n <= 20; ++n) EXPECT_EQ(results[n - 1].get(), zero_to(n));
}

TEST(ThisTask, of_a_call) {
  rp::Pool pool(1);
  EXPECT_EQ(pool.apply([] { return rp::this_task().index; }), 0u);
  EXPECT_EQ(pool.apply([] { return rp::this_task().attempt; }), 0);
  EXPECT_TRUE(pool.apply([] {
    const std::stop_token stop = rp::this_task().stop;
    return stop.stop_possible() && !stop.stop_requested();
  }));
}

TEST(ThisTask, of_a_pool_in_a_task) {
  rp::Pool pool(1);
  const auto [before, inner, after] = pool.apply([] {
    const std::size_t first = rp::this_task().index;
    rp::Pool inside(1);
    const std::vector<std::size_t> indices = inside.map(own_index, std::vector<int>(5));
    return std::tuple(first, indices, rp::this_task().index);
  });
  EXPECT_EQ(before, 0u);
  EXPECT_EQ(inner, zero_to(5));
  EXPECT_EQ(after, 0u);
}

TEST(ThisTask, can_be_asked_by_its_threads) {
  rp::Pool pool(2);
  const auto in_threads = [](int) {
    const std::size_t own = rp::this_task().index;
    std::atomic<int> same{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back([&] { same += rp::this_task().index == own ? 1 : 0; });
    for (std::thread& thread : threads) thread.join();
    return same.load();
  };
  EXPECT_EQ(pool.map(in_threads, std::vector<int>(10)), std::vector<int>(10, 3));
}

TEST(ThisTask, is_refused_where_there_is_none) {
  EXPECT_TRUE(both_are_refused());
  rp::Queue<bool> answers;
  rp::Process process([](rp::Queue<bool> out) { out.put(both_are_refused()); }, answers);
  process.start();
  EXPECT_TRUE(answers.get());
  process.join();

  const auto initializer = rp::partial([](rp::Queue<bool> out) { out.put(both_are_refused()); }, answers);
  rp::Pool pool(rp::PoolOptions{.processes = 1, .initializer = initializer});
  EXPECT_EQ(pool.apply([] { return rp::this_task().index; }), 0u);
  EXPECT_TRUE(answers.get());
}

TEST(ThisTask, leaves_nothing_in_the_way_of_the_end) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .max_tasks_per_child = 1});
  EXPECT_EQ(pool.map(own_index, std::vector<int>(10), {.chunksize = 1}), zero_to(10));
  for (const int status : {0, 3}) {
    const Failure failure([&] {
      pool.apply(
          [](int code) {
            static_cast<void>(rp::this_task());
            std::exit(code);
          },
          status);
    });
    const auto* const lost = failure.as<rp::WorkerLost>();
    ASSERT_NE(lost, nullptr) << failure;
    EXPECT_EQ(lost->exit_code(), status) << failure;
  }
  pool.close();
  pool.join();
}

// ---- random numbers

TEST(TaskRng, gives_each_task_numbers_of_its_own) {
  rp::Pool pool(2);
  const auto numbers = pool.map(some_numbers, std::vector<int>(200));
  std::set<std::uint64_t> different;
  for (const auto& of_task : numbers) different.insert(of_task.begin(), of_task.end());
  EXPECT_EQ(different.size(), 1000u);
}

TEST(TaskRng, gives_the_same_numbers_whatever_the_pool) {
  const auto expected = rp::Pool(1).map(some_numbers, std::vector<int>(100));
  for (const int processes : {1, 2, 5}) {
    rp::Pool pool(processes);
    for (const std::size_t chunksize : {0u, 1u, 7u, 100u})
      EXPECT_EQ(pool.map(some_numbers, std::vector<int>(100), {.chunksize = chunksize}), expected)
          << processes << " processes, chunksize " << chunksize;
  }
}

TEST(TaskRng, gives_the_same_numbers_in_a_pool_of_a_task) {
  rp::Pool pool(1);
  const auto inner = pool.apply([] {
    static_cast<void>(rp::task_rng()());
    return rp::Pool(1).map(some_numbers, std::vector<int>(5));
  });
  EXPECT_EQ(inner, pool.map(some_numbers, std::vector<int>(5)));
}

TEST(TaskRng, gives_the_numbers_of_the_seed_everywhere) {
  const std::string first = out_of("prints_numbers", {});
  const std::string seventh = out_of("seeded_in_source", {});
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 20);
  EXPECT_NE(first, seventh);
  for (support::StartOptions options : support::every_start()) {
    options.environment = {{"RANKPOOL_SLOTS", "2"}};
    EXPECT_EQ(out_of("prints_numbers", options), first);
    EXPECT_EQ(out_of("seeded_in_source", options), seventh);
    EXPECT_EQ(out_of("seeded_by_rank_0", options), seventh) << "the seed of rank 0 counts";
    options.environment = {{"RANKPOOL_SEED", "7"}};
    EXPECT_EQ(out_of("prints_numbers", options), seventh);
    options.environment = {{"RANKPOOL_SEED", "0"}};
    EXPECT_EQ(out_of("seeded_in_source", options), first) << "the environment wins";
    options.environment = {{"RANKPOOL_SEED", "18446744073709551615"}};
    const std::string last = out_of("prints_numbers", options);
    EXPECT_NE(last, first);
    EXPECT_NE(last, seventh);
  }
}

TEST(TaskRng, refuses_a_seed_that_is_no_number) {
  for (const std::string value : {"abc", "-1", "1.5", "7x", "18446744073709551616"}) {
    const Ended ended = support::start("prints_numbers", {.environment = {{"RANKPOOL_SEED", value}}});
    EXPECT_EQ(ended.status, 1) << value << ": " << ended;
    EXPECT_NE(ended.err.find("RANKPOOL_SEED=" + value + " is not a number"), std::string::npos) << ended;
    EXPECT_TRUE(ended.out.empty()) << ended;
  }
}
