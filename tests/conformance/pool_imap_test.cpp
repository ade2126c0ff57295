// The cases of CPython's _TestPool (Lib/test/_test_multiprocessing.py) about imap and imap_unordered, under their
// names, and those of its executors and of mpi4py.futures about map, which returns what imap returns.
//
// On purpose other than there: ValueError is std::invalid_argument; StopIteration is an empty optional; the input is
// drawn as results are taken, two chunks a worker ahead unless `buffersize` says otherwise; every item before an
// exception of the input is delivered, for every chunk size; the error of an item never ends the iteration.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/executor_map_cases.hpp"
#include "../support/failure.hpp"
#include "../support/inputs.hpp"
#include "../support/pool_fixture.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::Generator;
using support::long_enough;
using support::SayWhenError;
using support::sqr;

namespace {

std::vector<long> range(long n) {
  std::vector<long> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0L);
  return all;
}
std::vector<long> squares(long n) {
  std::vector<long> all = range(n);
  for (long& x : all) x = sqr(x);
  return all;
}
std::vector<long> sorted(std::vector<long> all) {
  std::sort(all.begin(), all.end());
  return all;
}

using support::TestPool;

}  // namespace

TEST_F(TestPool, test_imap) {
  EXPECT_EQ(pool->imap(sqr, range(10)).to_vector(), squares(10));
  auto it = pool->imap(sqr, range(10));
  for (long i = 0; i < 10; ++i) EXPECT_EQ(it.next(), i * i);
  EXPECT_EQ(it.next(), std::nullopt);
  auto chunks = pool->imap(sqr, range(1000), {.chunksize = 100});
  for (long i = 0; i < 1000; ++i) EXPECT_EQ(chunks.next(), i * i);
  EXPECT_EQ(chunks.next(), std::nullopt);
}

TEST_F(TestPool, test_imap_handle_iterable_exception) {
  for (int again = 0; again < 2; ++again) {  // at the very first
    auto it = pool->imap(sqr, Generator(1, -1), {.chunksize = 1});
    EXPECT_THROW(it.next(), SayWhenError);
  }
  auto first = pool->imap(sqr, Generator(1, 0));
  EXPECT_THROW(first.next(), SayWhenError);
  for (const auto& [total, when, chunksize] : {std::tuple(10L, 3L, 1u), {20L, 7L, 2u}, {20L, 7L, 4u}}) {
    auto it = pool->imap(sqr, Generator(total, when), {.chunksize = chunksize});
    for (long i = 0; i < when; ++i) EXPECT_EQ(it.next(), i * i);
    EXPECT_THROW(it.next(), SayWhenError);
  }
}

TEST_F(TestPool, test_imap_unordered) {
  EXPECT_EQ(sorted(pool->imap_unordered(sqr, range(10)).to_vector()), squares(10));
  EXPECT_EQ(sorted(pool->imap_unordered(sqr, range(1000), {.chunksize = 100}).to_vector()), squares(1000));
}

TEST_F(TestPool, test_imap_unordered_handle_iterable_exception) {
  for (int again = 0; again < 2; ++again) {
    auto it = pool->imap_unordered(sqr, Generator(1, -1), {.chunksize = 1});
    EXPECT_THROW(it.next(), SayWhenError);
  }
  for (const auto& [total, when, chunksize] : {std::tuple(10L, 3L, 1u), {20L, 7L, 2u}}) {
    auto it = pool->imap_unordered(sqr, Generator(total, when), {.chunksize = chunksize});
    std::vector<long> expected = squares(when);
    const auto all = [&] {
      while (const auto value = it.next()) EXPECT_EQ(std::erase(expected, *value), 1u);
    };
    EXPECT_THROW(all(), SayWhenError);
    EXPECT_TRUE(expected.empty());
  }
}

TEST_F(TestPool, test_imap_and_imap_unordered_with_buffersize_when_buffer_is_full) {
  for (const bool ordered : {true, false}) {
    for (const std::size_t buffersize : {1u, 2u, 3u, 4u}) {
      const Generator input(10);
      auto it = ordered ? pool->imap(sqr, input, {.buffersize = buffersize})
                        : pool->imap_unordered(sqr, input, {.buffersize = buffersize});
      std::this_thread::sleep_for(20ms);
      EXPECT_EQ(*input.drawn(), static_cast<long>(buffersize)) << "the producer stops";
      EXPECT_TRUE(it.next());
      std::this_thread::sleep_for(20ms);
      EXPECT_LE(*input.drawn(), static_cast<long>(buffersize) + 1);
      EXPECT_EQ(it.to_vector().size(), 9u);
      EXPECT_EQ(*input.drawn(), 10);
    }
  }
}

TEST_F(TestPool, test_empty_iterable) {
  rp::Pool p(1);
  EXPECT_EQ(p.map(sqr, range(0)), range(0));
  EXPECT_EQ(p.imap(sqr, range(0)).to_vector(), range(0));
  EXPECT_EQ(p.imap_unordered(sqr, range(0)).to_vector(), range(0));
  EXPECT_EQ(p.map_async(sqr, range(0)).get(), range(0));
  p.close();
  p.join();
}

TEST_F(TestPool, test_imap_with_a_senseless_chunksize) {
  EXPECT_THROW(pool->imap(sqr, range(3), {.chunksize = static_cast<std::size_t>(-1)}), std::invalid_argument);
  EXPECT_THROW(pool->imap_unordered(sqr, range(3), {.chunksize = static_cast<std::size_t>(-1)}), std::invalid_argument);
}

// There the iteration ends early with chunks of more than one item, and such an iterator has no next with a time limit.
TEST_F(TestPool, test_imap_goes_on_behind_an_error_in_a_chunk) {
  const auto fails = [](long x) {
    if (x == 3) throw std::domain_error("3");
    return x;
  };
  for (const std::size_t chunksize : {1u, 2u, 4u, 10u}) {
    auto it = pool->imap(fails, range(6), {.chunksize = chunksize});
    for (const long i : {0, 1, 2}) EXPECT_EQ(it.next(long_enough), i);
    EXPECT_THROW(it.next(long_enough), std::domain_error);
    for (const long i : {4, 5}) EXPECT_EQ(it.next(long_enough), i);
    EXPECT_EQ(it.next(long_enough), std::nullopt);
  }
}

// gh-155477: there it hangs.
TEST_F(TestPool, test_close_and_join_after_a_partial_read) {
  for (const bool ordered : {true, false}) {
    rp::Pool p(2);
    auto sized = ordered ? p.imap(sqr, range(100), {.buffersize = 2}) : p.imap_unordered(sqr, range(100));
    auto endless = ordered ? p.imap(sqr, Generator()) : p.imap_unordered(sqr, Generator(), {.buffersize = 3});
    EXPECT_TRUE(sized.next());
    EXPECT_TRUE(endless.next());
    p.close();
    EXPECT_TRUE(p.join_for(long_enough));
    EXPECT_EQ(sized.to_vector().size(), 99u);
    EXPECT_THROW(endless.to_vector(), rp::PoolClosed);
  }
}

// ---- map of the executors

TEST_F(TestPool, the_cases_of_executor_map) {
  const auto imap = [](auto&& f, auto&& items, const rp::MapOptions& options) {
    return pool->imap(f, std::forward<decltype(items)>(items), options);
  };
  support::executor_map::test_all(imap);
}

TEST_F(TestPool, test_map_unordered) {
  for (const std::size_t chunksize : {1u, 6u, 40u, 50u})
    EXPECT_EQ(sorted(pool->imap_unordered(sqr, range(40), {.chunksize = chunksize}).to_vector()), squares(40));
}

TEST_F(TestPool, test_map_unordered_timeout) {
  const support::Scratch scratch;
  const auto last_waits = [](const std::string& file, long x) {
    if (x == 2) support::wait_for_file(file);
    return x;
  };
  auto it = pool->imap_unordered(rp::partial(last_waits, scratch.file("go")), range(3), {.chunksize = 1});
  EXPECT_EQ(it.next(long_enough).value() + it.next(long_enough).value(), 1);
  EXPECT_THROW(it.next(50ms), rp::TimeoutError);
  support::add_line(scratch.file("go"), "");
  EXPECT_EQ(it.next(long_enough), 2);
}

TEST_F(TestPool, test_map_unordered_timeout_one) {
  auto it = pool->imap_unordered(sqr, range(1));
  EXPECT_EQ(it.next(long_enough), 0);
  EXPECT_EQ(it.next(0s), std::nullopt);
}

TEST_F(TestPool, test_map_unordered_exception) {
  const auto fails = [](long x) {
    if (x == 2) throw std::domain_error("2");
    return x;
  };
  auto it = pool->imap_unordered(fails, range(4));
  EXPECT_THROW(it.to_vector(), std::domain_error);
  EXPECT_EQ(sorted(it.to_vector()), (std::vector<long>{0, 1, 3}));
}
