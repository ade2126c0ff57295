// Tasks that want more memory than there is: PoolOptions::memory_limit, and who goes when the host has none left.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <new>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Failure;
using support::square;

namespace {

constexpr int rounds = 20;
constexpr std::size_t mebibyte = std::size_t{1} << 20;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need far more memory, and die without it

constexpr std::size_t limit = 64 * mebibyte;

/// Uses what it has: memory that nobody touches is none.
std::size_t fill(std::size_t bytes) {
  const std::vector<char> block(bytes, 'x');
  return static_cast<std::size_t>(std::count(block.begin(), block.end(), 'x'));
}

/// Something that the compiler cannot leave out.
bool keep(char* block) {
  static char* volatile kept = nullptr;
  delete[] kept;
  kept = block;
  return block != nullptr;
}

/// Never freed.
std::list<std::unique_ptr<std::string>>& hoard() {
  static auto* const all = new std::list<std::unique_ptr<std::string>>;
  return *all;
}
void keep_all_there_is(std::size_t piece) {
  for (;;) hoard().push_back(std::make_unique<std::string>(piece, 'h'));
}

class TaskMemory : public testing::Test {
 protected:
  void expect_bad_alloc(const std::function<void()>& call, const std::string& what) {
    const Failure failure(call);
    EXPECT_TRUE(failure.is<std::bad_alloc>()) << what << ": " << failure;
    EXPECT_TRUE(failure.is<rp::RemoteInfo>()) << what << ": " << failure;
  }
  void expect_that_all_is_well() {
    const std::vector<long> results = pool_.map(square, std::views::iota(0L, 100L));
    for (long i = 0; i < 100; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
    const std::vector<std::size_t> filled = pool_.map(fill, std::vector<std::size_t>(6, limit / 3), {.chunksize = 1});
    ASSERT_EQ(filled, std::vector<std::size_t>(6, limit / 3));
  }

  rp::Pool pool_{rp::PoolOptions{.processes = 2, .memory_limit = limit}};
};

#endif

/// As the kernel gives it.
int oom_score() { return std::stoi(support::content_of("/proc/self/oom_score_adj")); }

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST_F(TaskMemory, that_is_not_there_is_an_error_of_the_task) {
  const int pid = pool_.apply(support::own_pid);
  for (int round = 0; round < rounds; ++round) {
    expect_bad_alloc([&] { pool_.apply(fill, 2 * limit); }, "vector");
    expect_bad_alloc([&] { pool_.apply([] { return keep(new char[2 * limit]); }); }, "new");
    expect_bad_alloc([&] { pool_.apply([] { return std::string(2 * limit, 's').size(); }); }, "string");
    expect_bad_alloc([&] { pool_.apply([] { return std::vector<char>(limit / 2 * 3, 'r'); }); }, "result");
    expect_that_all_is_well();
  }
  EXPECT_TRUE(support::worker_pids(pool_).contains(pid)) << "what was not had was not kept";
  EXPECT_EQ(pool_.insights().failed, 4u * rounds);
  EXPECT_EQ(pool_.insights().lost, 0u);
}

TEST_F(TaskMemory, costs_that_task_alone) {
  const auto fill_some = [](long i) { return fill(i == 17 ? 2 * limit : mebibyte) / mebibyte; };
  for (int round = 0; round < rounds; ++round) {
    const auto outcomes = pool_.try_map(fill_some, std::views::iota(0L, 40L), {.chunksize = 20});
    for (std::size_t i = 0; i < 40; ++i) ASSERT_EQ(outcomes[i].ok(), i != 17) << outcomes[i].message();
  }
}

TEST_F(TaskMemory, is_refused_in_the_way_of_whoever_asks) {
  EXPECT_TRUE(pool_.apply([] {
    void* const block = std::malloc(2 * limit);
    const bool refused = block == nullptr && errno == ENOMEM;
    std::free(block);
    return refused;
  }));
  EXPECT_TRUE(pool_.apply([] { return !keep(new (std::nothrow) char[2 * limit]); }));
  EXPECT_TRUE(pool_.apply([] {
    constexpr int protection = PROT_READ | PROT_WRITE;
    return ::mmap(nullptr, 2 * limit, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM;
  }));
  EXPECT_TRUE(pool_.apply([] {  // what is shared is not its own
    constexpr int protection = PROT_READ | PROT_WRITE;
    void* const shared = ::mmap(nullptr, 2 * limit, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED && ::munmap(shared, 2 * limit) == 0;
  }));
  EXPECT_TRUE(pool_.apply([] {
    bool caught = false;
    std::thread([&] {
      try {
        fill(2 * limit);
      } catch (const std::bad_alloc&) {
        caught = true;
      }
    }).join();
    return caught;
  })) << "in a thread";
}

TEST_F(TaskMemory, that_a_task_has_kept_goes_with_its_process) {
  for (int round = 0; round < rounds; ++round) {
    const std::size_t piece = round % 2 == 0 ? 200'000 : 100;  // large pieces, and so many that not even one is left
    expect_bad_alloc([&] { pool_.apply(keep_all_there_is, piece); }, "hoarding");
    if (round % 4 < 2) expect_that_all_is_well();
  }
  const rp::Insights numbers = pool_.insights();
  EXPECT_EQ(numbers.failed, static_cast<std::uint64_t>(rounds)) << numbers;
  EXPECT_EQ(numbers.lost, 0u) << "the error was told: " << numbers;
  EXPECT_TRUE(support::eventually([this] {
    return pool_.insights().workers_started == static_cast<std::uint64_t>(rounds) + 2;
  })) << pool_.insights();
}

TEST_F(TaskMemory, in_the_middle_of_a_chunk_is_no_loss_to_its_neighbours) {
  const auto task = [](long i) {
    if (i % 20 == 7) keep_all_there_is(10'000);
    return fill(limit / 4) / 4;
  };
  const auto outcomes = pool_.try_map(task, std::views::iota(0L, 60L), {.chunksize = 20});
  for (std::size_t i = 0; i < 60; ++i) {
    ASSERT_EQ(outcomes[i].ok(), i % 20 != 7) << i << ": " << outcomes[i].message();
    if (outcomes[i].ok()) {
      EXPECT_EQ(outcomes[i].value(), limit / 16);
    }
  }
}

TEST_F(TaskMemory, of_large_arguments_is_counted_as_that_of_the_task) {
  const std::string text(limit / 3, 't');
  EXPECT_EQ(pool_.apply([](const std::string& given) { return given.size(); }, text), text.size());
  const std::string too_much(2 * limit, 't');
  expect_bad_alloc([&] { pool_.apply([](const std::string& given) { return given.size(); }, too_much); }, "argument");
  expect_that_all_is_well();
}

TEST(MemoryLimit, that_no_worker_can_live_in_fails_the_pool) {
  for (const std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{4096}, std::uint64_t{200'000}}) {
    rp::Pool pool(rp::PoolOptions{.processes = 2, .memory_limit = bytes});
    for (int use = 0; use < 2; ++use) {
      const Failure failure([&] { pool.map(square, std::vector<long>{1, 2, 3}); });
      EXPECT_TRUE(failure.is<std::invalid_argument>()) << failure;
      EXPECT_NE(failure.what().find("PoolOptions::memory_limit is " + std::to_string(bytes)), std::string::npos)
          << failure;
      EXPECT_NE(failure.what().find("allow it at least"), std::string::npos) << failure;
    }
  }
}

TEST(MemoryLimit, holds_for_the_initializer_too) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .initializer = [] { fill(2 * limit); }, .memory_limit = limit});
  const Failure failure([&] { pool.apply(square, 2L); });
  EXPECT_TRUE(failure.is<std::bad_alloc>()) << failure;
}

#endif

// ---- the kernel's choice

TEST(OutOfMemory, takes_children_first) {
  const int own = oom_score();
  const int expected = std::min(own + 500, 1000);
  rp::Pool pool;
  for (const int score : pool.map([](int) { return oom_score(); }, std::vector<int>(20), {.chunksize = 1}))
    EXPECT_EQ(score, expected);
  const support::Scratch scratch;
  const std::string file = scratch.file("score");
  rp::Process process([](const std::string& to) { support::add_line(to, std::to_string(oom_score())); }, file);
  process.start();
  process.join();
  EXPECT_EQ(support::numbers_of(file), std::vector<long>{expected});
  for (const int pid : support::job_processes()) {
    const std::string folder = "/proc/" + std::to_string(pid);
    if (support::content_of(folder + "/comm") == "rankpool-zygote\n") {
      EXPECT_EQ(std::stoi(support::content_of(folder + "/oom_score_adj")), own) << "without it the job ends";
    }
  }
}
