// What CPython's suite lacks, and CPython fails (observed with 3.13): eight
// cases.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;
using support::sqr;

namespace {

long square_or_die(long x) {
  if (x == 3) support::die_by(SIGKILL);
  return x * x;
}

// There: get() waits for ever.
TEST(BeyondCPython, a_task_whose_worker_dies_is_lost_and_nothing_else) {
  rp::Pool pool(2);
  auto lost = pool.apply_async(square_or_die, 3L);
  const Failure failure([&] { lost.get(long_enough); });
  ASSERT_TRUE(failure.is<rp::WorkerLost>()) << failure;
  EXPECT_EQ(failure.as<rp::WorkerLost>()->signal(), SIGKILL);
  std::vector<long> numbers(20);
  std::iota(numbers.begin(), numbers.end(), 0);
  const auto outcomes = pool.try_map(square_or_die, numbers);
  for (std::size_t i = 0; i < outcomes.size(); ++i) EXPECT_EQ(outcomes[i].ok(), i != 3) << i;
}

// There: the thread that reads the results dies, and every later get() waits
// for ever.
TEST(BeyondCPython, a_callback_that_throws_harms_nothing) {
  rp::Pool pool(2);
  rp::Event called;
  auto first = pool.apply_async(sqr, 2L);
  first.on_done([](const rp::AsyncResult<long>&) { throw std::runtime_error("thrown by a callback, on purpose"); });
  first.on_done([called](const rp::AsyncResult<long>&) mutable { called.set(); });
  EXPECT_EQ(first.get(long_enough), 4);
  EXPECT_TRUE(called.wait_for(long_enough));
  EXPECT_EQ(pool.apply_async(sqr, 3L).get(long_enough), 9);
}

// There: workers are started for ever (43 in one second), and get() never
// returns.
TEST(BeyondCPython, an_initializer_that_throws_fails_the_pool) {
  rp::Pool pool({.processes = 1, .initializer = [] { throw std::domain_error("no such device"); }});
  const Failure failure([&] { pool.map_async(sqr, std::vector<long>{1, 2}).get(long_enough); });
  EXPECT_TRUE(failure.is<std::domain_error>()) << failure;
  EXPECT_TRUE(Failure([&] { pool.apply(sqr, 1L); }).is<std::domain_error>());
}

/// Can be written and not be read.
struct Unreadable : std::exception {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    if (Archive::is_loading::value) throw std::runtime_error("this cannot be read");
  }
  const char* what() const noexcept override { return "a bad day"; }
};

// There: the thread that reads the results dies.
TEST(BeyondCPython, an_exception_that_cannot_be_decoded_is_an_error_of_its_task) {
  rp::register_exception<Unreadable>();
  rp::Pool pool(2);
  const Failure failure([&] { pool.apply_async([] { throw Unreadable(); }).get(long_enough); });
  ASSERT_TRUE(failure.is<rp::RemoteError>()) << failure;
  EXPECT_EQ(failure.what(), "a bad day");
  EXPECT_EQ(pool.apply_async(sqr, 3L).get(long_enough), 9);
}

// There: it waits for ever.
TEST(BeyondCPython, get_after_terminate_throws) {
  rp::Pool pool(2);
  auto waiting = pool.map_async(support::sleep_for_ever, std::vector<int>(100));
  std::this_thread::sleep_for(50ms);
  pool.terminate();
  EXPECT_THROW(waiting.get(long_enough), rp::CancelledError);
}

// There: [None, None] and no error.
TEST(BeyondCPython, a_chunk_size_without_sense_is_refused) {
  rp::Pool pool(1);
  const rp::MapOptions negative{.chunksize = static_cast<std::size_t>(-1)};
  const std::vector<long> two{1, 2};
  EXPECT_THROW(pool.map(sqr, two, negative), std::invalid_argument);
  EXPECT_THROW(pool.imap(sqr, two, negative), std::invalid_argument);
  EXPECT_THROW(pool.imap_unordered(sqr, two, negative), std::invalid_argument);
  EXPECT_EQ(pool.map(sqr, two, {.chunksize = 0}), (std::vector<long>{1, 4})) << "0 is automatic";
}

long sqr_but_not_of_3(long x) {
  if (x == 3) throw std::invalid_argument("not 3");
  return x * x;
}

// There: the iteration ends with the chunk that has the error in it.
TEST(BeyondCPython, an_error_in_a_chunk_does_not_end_the_iteration) {
  rp::Pool pool(2);
  std::vector<long> numbers(10);
  std::iota(numbers.begin(), numbers.end(), 0);
  for (const std::size_t chunksize : {1u, 2u, 4u, 5u, 100u}) {
    auto results = pool.imap(sqr_but_not_of_3, numbers, {.chunksize = chunksize});
    for (const long x : numbers) {
      if (x == 3) {
        EXPECT_THROW(results.next(long_enough), std::invalid_argument);
      } else {
        EXPECT_EQ(results.next(long_enough), x * x) << "with chunks of " << chunksize;
      }
    }
    EXPECT_EQ(results.next(long_enough), std::nullopt);
  }
}

// There: it stays held for ever.
TEST(BeyondCPython, the_lock_of_an_owner_that_died_goes_to_the_next) {
  rp::Lock lock;
  rp::Process holder(
      [](rp::Lock held) {
        held.lock();
        support::die_by(SIGKILL);
      },
      lock);
  holder.start();
  holder.join();
  ASSERT_TRUE(lock.try_lock_for(long_enough));
  EXPECT_TRUE(lock.previous_owner_died());
  lock.unlock();
}

}  // namespace
