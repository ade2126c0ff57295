// try_map: the outcome of every task.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/inputs.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;
using support::sleep_for_ever;

namespace {

std::string half(long x) {
  if (x % 2 != 0) throw std::domain_error(std::to_string(x) + " is odd");
  return std::to_string(x / 2);
}

}  // namespace

TEST(TryMap, one_bad_task_does_not_cost_the_others) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {0u, 1u, 3u}) {
    const std::vector<rp::Outcome<std::string>> outcomes =
        pool.try_map(half, std::views::iota(0L, 101L), {.chunksize = chunksize});
    ASSERT_EQ(outcomes.size(), 101u);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      const auto& outcome = outcomes[i];
      ASSERT_EQ(outcome.ok(), i % 2 == 0);
      if (outcome.ok()) {
        EXPECT_EQ(outcome.value(), std::to_string(i / 2));
        EXPECT_EQ(outcome.error(), nullptr);
        EXPECT_EQ(outcome.message(), "");
      } else {
        EXPECT_EQ(outcome.message(), std::to_string(i) + " is odd");
        const Failure failure([&] { static_cast<void>(outcome.value()); });
        ASSERT_TRUE(failure.is<std::domain_error>() && failure.is<rp::RemoteInfo>()) << failure;
        EXPECT_EQ(failure.as<rp::RemoteInfo>()->task_index(), i);
        EXPECT_THROW(std::rethrow_exception(outcome.error()), std::domain_error);
      }
    }
  }
}

TEST(TryMap, a_lost_worker_is_an_outcome) {
  rp::Pool pool(2);
  auto outcomes = pool.try_map(
      [](long x) {
        if (x == 3) support::die_by(SIGSEGV);
        return x;
      },
      std::views::iota(0L, 10L));
  for (long i = 0; i < 10; ++i) {
    auto& outcome = outcomes.at(static_cast<std::size_t>(i));
    if (i == 3) {
      const Failure failure([&] { static_cast<void>(outcome.value()); });
      ASSERT_TRUE(failure.is<rp::WorkerLost>()) << failure;
      EXPECT_EQ(failure.as<rp::WorkerLost>()->signal(), SIGSEGV);
      EXPECT_EQ(outcome.message(), failure.what());
    } else {
      EXPECT_EQ(outcome.value(), i);
    }
  }
}

TEST(TryMap, tasks_that_return_nothing) {
  rp::Pool pool(2);
  std::vector<rp::Outcome<void>> outcomes = pool.try_map(
      [](long x) {
        if (x == 1) throw std::domain_error("one");
      },
      std::vector<long>{0, 1, 2});
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_TRUE(outcomes[0].ok());
  EXPECT_NO_THROW(outcomes[0].value());
  EXPECT_FALSE(outcomes[1].ok());
  EXPECT_EQ(outcomes[1].message(), "one");
  EXPECT_THROW(outcomes[1].value(), std::domain_error);
  EXPECT_TRUE(outcomes[2].ok());
}

TEST(TryMap, values_can_be_changed_and_taken) {
  rp::Pool pool(1);
  auto outcomes = pool.try_map(half, std::vector<long>{20});
  outcomes[0].value() += "!";
  EXPECT_EQ(std::move(outcomes[0].value()), "10!");
}

TEST(TryMap, results_that_can_only_be_moved) {
  rp::Pool pool(2);
  auto outcomes = pool.try_map(
      [](long x) {
        if (x == 1) throw std::domain_error("one");
        auto [reader, writer] = rp::Pipe(false);
        writer.send(x);
        return std::move(reader);
      },
      std::vector<long>{0, 1, 2});
  EXPECT_EQ(outcomes[0].value().recv<long>(), 0);
  EXPECT_FALSE(outcomes[1].ok());
  EXPECT_EQ(outcomes[2].value().recv<long>(), 2);
}

TEST(TryMap, no_items) {
  rp::Pool pool(1);
  EXPECT_TRUE(pool.try_map(half, std::vector<long>()).empty());
}

TEST(TryMap, the_input_may_throw) {
  rp::Pool pool(2);
  EXPECT_THROW(pool.try_map(half, support::Generator(20, 7)), support::SayWhenError);
  EXPECT_THROW(pool.try_map(half, std::vector<long>{1}, {.chunksize = static_cast<std::size_t>(-1)}),
               std::invalid_argument);
  EXPECT_EQ(pool.try_map(half, support::Generator(3)).at(2).value(), "1");
}

TEST(TryMap, can_be_waited_for) {
  rp::Pool pool(2);
  support::Scratch scratch;
  const auto wait = [](const std::string& file, long x) {
    support::wait_for_file(file);
    return half(x);
  };
  rp::AsyncResult<std::vector<rp::Outcome<std::string>>> result =
      pool.try_map_async(rp::partial(wait, scratch.file("go")), std::vector<long>{1, 2});
  EXPECT_THROW(result.get(0s), rp::TimeoutError);
  EXPECT_FALSE(result.wait_for(10ms));
  support::add_line(scratch.file("go"), "");
  const auto outcomes = result.get(long_enough);
  EXPECT_TRUE(result.successful()) << "the error is of one task";
  EXPECT_FALSE(outcomes.at(0).ok());
  EXPECT_EQ(outcomes.at(1).value(), "1");
  EXPECT_EQ(result.get().size(), 2u) << "again";
}

TEST(TryMap, terminate_cancels_it) {
  rp::Pool pool(2);
  std::thread other([&] {
    std::this_thread::sleep_for(50ms);
    pool.terminate();
  });
  EXPECT_THROW(pool.try_map(sleep_for_ever, std::vector<int>(10)), rp::CancelledError);
  other.join();
  EXPECT_THROW(pool.try_map(half, std::vector<long>{1}), rp::PoolClosed);
}
