// What a task knows of itself, and how it learns that it shall stop.
#include "worker/running_task.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/processes.hpp"
#include "link/futex.hpp"
#include "link/link.hpp"
#include "link/rank_page.hpp"

namespace {

using rankpool::TaskContext;
using rankpool::link::LinkEnd;
using rankpool::link::RankPage;
using rankpool::worker::RunningTask;
using support::eventually;

/// A child and its engine in one process. Never destroyed: a thread of the child's watches.
class Child {
 public:
  static Child& make(std::uint64_t seed = 0) {
    static std::vector<Child*> all;  // they stay in reach
    return *all.emplace_back(new Child(seed));
  }

  /// As the child does it.
  void begin(std::uint64_t index, std::int32_t attempt = 0) {
    ASSERT_TRUE(user_.tasks().begin());
    running.begin(index, attempt);
  }
  void end() { running.end(); }

  /// As the engine does it.
  std::uint32_t number() { return static_cast<std::uint32_t>(engine_.tasks().begun()); }
  void request_stop(std::uint32_t number) {
    engine_.tasks().stop().store(number, std::memory_order_release);
    rankpool::link::futex_wake(&engine_.tasks().stop(), 1);
  }

  RunningTask running;

 private:
  explicit Child(std::uint64_t seed) : page_(RankPage::create()) {
    auto [engine, descriptors] = LinkEnd::create();
    engine_ = std::move(engine);
    user_ = LinkEnd::open(descriptors, *page_);
    running.open(user_.tasks(), seed);
  }

  RankPage page_;
  LinkEnd engine_;
  LinkEnd user_;
};

std::size_t threads_of_this_process() {
  const std::filesystem::directory_iterator threads("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(threads), end(threads)));
}

std::vector<std::uint64_t> numbers(std::mt19937_64& rng) { return {rng(), rng(), rng()}; }

}  // namespace

TEST(RunningTask, SaysItsIndexAndAttempt) {
  Child& child = Child::make();
  child.begin(17, 2);
  EXPECT_EQ(child.running.context().index, 17u);
  EXPECT_EQ(child.running.context().attempt, 2);
  EXPECT_TRUE(child.running.context().stop.stop_possible());
  EXPECT_FALSE(child.running.context().stop.stop_requested());
  child.end();
  child.begin(18);
  EXPECT_EQ(child.running.context().index, 18u);
  EXPECT_EQ(child.running.context().attempt, 0);
  child.end();
}

TEST(RunningTask, EndsWhenTheNextBegins) {
  Child& child = Child::make();
  child.begin(1);
  const auto expected = numbers(child.running.rng());
  child.end();
  child.begin(0);
  child.request_stop(child.number());
  EXPECT_TRUE(child.running.context().stop.stop_requested());
  static_cast<void>(child.running.rng());
  child.begin(1);
  EXPECT_FALSE(child.running.context().stop.stop_requested());
  EXPECT_EQ(numbers(child.running.rng()), expected);
  child.end();
}

TEST(RunningTask, IsRefusedOutsideOfATask) {
  Child& child = Child::make();
  const auto refused = [&] {
    for (const bool of_rng : {false, true}) {
      try {
        of_rng ? static_cast<void>(child.running.rng()) : static_cast<void>(child.running.context());
        ADD_FAILURE();
      } catch (const std::logic_error& error) {
        EXPECT_NE(std::string(error.what()).find("outside of a task"), std::string::npos) << error.what();
      }
    }
  };
  refused();
  child.begin(0);
  static_cast<void>(child.running.context());
  child.end();
  refused();
}

TEST(RunningTask, LearnsThatItShallStop) {
  Child& child = Child::make();
  child.begin(0);
  const TaskContext context = child.running.context();
  std::atomic<int> called{0};
  const std::stop_callback callback(context.stop, [&] {
    ++called;
    EXPECT_EQ(child.running.context().index, 0u) << "a callback may ask";
  });
  child.request_stop(child.number());
  EXPECT_TRUE(eventually([&] { return context.stop.stop_requested() && called == 1; }));
  EXPECT_TRUE(child.running.context().stop.stop_requested());
  child.end();
}

TEST(RunningTask, SeesARequestThatCameBeforeItAsked) {
  Child& child = Child::make();
  child.begin(0);
  child.request_stop(child.number());
  EXPECT_TRUE(child.running.context().stop.stop_requested());
  child.end();
  child.begin(1);
  EXPECT_FALSE(child.running.context().stop.stop_requested()) << "it was for the one before";
  child.end();
}

TEST(RunningTask, ARequestStopsTheTaskItIsForAlone) {
  Child& child = Child::make();
  for (std::uint64_t i = 0; i < 50; ++i) {
    child.begin(i);
    const TaskContext context = child.running.context();
    child.request_stop(child.number() - 1);  // too late for that one
    if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_FALSE(context.stop.stop_requested());
    child.request_stop(child.number());
    EXPECT_TRUE(eventually([&] { return context.stop.stop_requested(); })) << i;
    child.end();
  }
}

TEST(RunningTask, TokensOutliveTheirTask) {
  Child& child = Child::make();
  child.begin(0);
  const std::stop_token first = child.running.context().stop;
  child.end();
  child.begin(1);
  const std::stop_token second = child.running.context().stop;
  child.request_stop(child.number());
  EXPECT_TRUE(eventually([&] { return second.stop_requested(); }));
  EXPECT_FALSE(first.stop_requested());
  child.end();
}

TEST(RunningTask, EndsWhileItIsAskedToStop) {
  Child& child = Child::make();
  std::atomic<bool> over{false};
  std::thread engine([&] {
    while (!over) child.request_stop(child.number());
  });
  for (std::uint64_t i = 0; i < 2000; ++i) {
    child.begin(i);
    const TaskContext context = child.running.context();
    EXPECT_EQ(context.index, i);
    child.end();
  }
  over = true;
  engine.join();
}

TEST(RunningTask, ThreadsOfTheTaskMayAsk) {
  Child& child = Child::make();
  child.begin(5);
  std::vector<std::thread> helpers;
  for (int i = 0; i < 4; ++i)
    helpers.emplace_back([&] {
      const TaskContext context = child.running.context();
      EXPECT_EQ(context.index, 5u);
      EXPECT_TRUE(eventually([&] { return context.stop.stop_requested(); }));
    });
  child.request_stop(child.number());
  for (std::thread& helper : helpers) helper.join();
  child.end();
}

TEST(RunningTask, NobodyWatchesForThoseWhoDoNotAsk) {
  Child& child = Child::make();
  const std::size_t before = threads_of_this_process();
  child.begin(0);
  static_cast<void>(child.running.rng());
  child.end();
  EXPECT_EQ(threads_of_this_process(), before);
  for (int i = 0; i < 3; ++i) {
    child.begin(1);
    static_cast<void>(child.running.context());
    child.end();
  }
  EXPECT_EQ(threads_of_this_process(), before + 1);
}

TEST(RunningTask, TheWatcherLeavesTheMaskOfSignalsAlone) {
  Child& child = Child::make();
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &before);
  child.begin(0);
  static_cast<void>(child.running.context());
  child.end();
  sigset_t after;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &after);
  for (int number = 1; number < 32; ++number)
    EXPECT_EQ(sigismember(&before, number), sigismember(&after, number)) << number;
}

// ---- random numbers

TEST(RunningTask, RandomNumbersDependOnSeedAndIndexOnly) {
  std::set<std::vector<std::uint64_t>> all;
  const std::vector<std::uint64_t> seeds{0, 1, std::uint64_t{1} << 32, ~std::uint64_t{0}};
  const std::vector<std::uint64_t> indices{0, 1, 2, std::uint64_t{1} << 32, (std::uint64_t{1} << 32) + 1};
  for (const std::uint64_t seed : seeds) {
    Child& child = Child::make(seed);
    Child& other = Child::make(seed);
    for (const std::uint64_t index : indices) {
      child.begin(index);
      const auto first = numbers(child.running.rng());
      EXPECT_NE(numbers(child.running.rng()), first) << "one stream goes on in a task";
      child.end();
      EXPECT_TRUE(all.insert(first).second) << "seed " << seed << " index " << index;
      other.begin(index, 1);
      EXPECT_EQ(numbers(other.running.rng()), first) << "another child, another attempt";
      other.end();
    }
  }
}

TEST(RunningTask, RandomNumbersAreThoseThatThisPageSays) {
  Child& child = Child::make(0x1122334455667788);
  child.begin(7);
  std::seed_seq seeds{0x55667788u, 0x11223344u, 7u, 0u};
  std::mt19937_64 expected(seeds);
  EXPECT_EQ(numbers(child.running.rng()), numbers(expected)) << "programs count on them from version to version";
  child.end();
}
