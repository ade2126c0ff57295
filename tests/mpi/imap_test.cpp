// The results of imap: their order, their errors, waiting for them, and iterating over them.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
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
using support::square;

static_assert(std::ranges::input_range<rp::ResultIterator<long>&>);
static_assert(std::ranges::viewable_range<rp::ResultIterator<std::string>>);
static_assert(!std::is_copy_constructible_v<rp::ResultIterator<long>>);
static_assert(std::is_same_v<decltype(std::declval<rp::ResultIterator<long>&>().next()), std::optional<long>>);
static_assert(std::is_same_v<decltype(std::declval<rp::ResultIterator<void>&>().next()), bool>);

namespace {

long odd_only(long x) {
  if (x % 3 == 1) throw std::invalid_argument("not " + std::to_string(x));
  return 10 * x;
}
long after(long ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}
/// The first waits for the file; the others are short, but too long to be queued behind it.
long first_waits(const std::string& file, long x) {
  if (x == 0) support::wait_for_file(file);
  return after(x == 0 ? 0 : 3), x;
}
std::vector<long> numbers(long n) {
  std::vector<long> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0L);
  return all;
}
std::string outcome_of_next(rp::ResultIterator<long>& results) {
  try {
    const auto value = results.next();
    return value ? std::to_string(*value) : "end";
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

// ---- order

TEST(Imap, yields_in_the_order_of_the_input) {
  rp::Pool pool(3);
  for (const std::size_t chunksize : {0u, 1u, 7u}) {
    const std::vector<long> naps{30, 1, 15, 0, 0, 20, 2, 0, 1, 9};
    EXPECT_EQ(pool.imap(after, naps, {.chunksize = chunksize}).to_vector(), naps);
  }
}

TEST(Imap, unordered_yields_what_is_there) {
  rp::Pool pool(2);
  support::Scratch scratch;
  auto results = pool.imap_unordered(rp::partial(first_waits, scratch.file("go")), numbers(20),
                                     {.chunksize = 1, .buffersize = 20});
  for (int i = 0; i < 10; ++i) EXPECT_GT(results.next(long_enough).value(), 0) << "the first item is still waited for";
  support::add_line(scratch.file("go"), "");
  EXPECT_EQ(results.to_vector().size(), 10u);
}

TEST(Imap, many_items_of_varying_cost) {
  rp::Pool pool;
  const auto work = [](long x) {
    if (x % 1000 == 0) std::this_thread::sleep_for(2ms);
    return x;
  };
  long next = 0;
  for (const long x : pool.imap(work, std::views::iota(0L, 30000L))) ASSERT_EQ(x, next++);
  EXPECT_EQ(next, 30000);
  long sum = 0;
  for (const long x : pool.imap_unordered(work, std::views::iota(0L, 30000L))) sum += x;
  EXPECT_EQ(sum, 30000L * 29999 / 2);
}

TEST(Imap, large_results) {
  rp::Pool pool(2);
  long next = 0;
  for (const std::vector<long>& result : pool.imap([](long x) { return std::vector<long>(100'000, x); }, numbers(40))) {
    ASSERT_EQ(result.size(), 100'000u);
    ASSERT_EQ(result.back(), next++);
  }
  EXPECT_EQ(next, 40);
}

TEST(Imap, results_that_can_only_be_moved) {
  rp::Pool pool(2);
  auto results = pool.imap(
      [](long x) {
        auto [reader, writer] = rp::Pipe(false);
        writer.send(x);
        return std::move(reader);
      },
      numbers(3));
  EXPECT_EQ(results.next()->recv<long>(), 0);
  EXPECT_EQ((*results.begin()).recv<long>(), 1);
  EXPECT_EQ(results.next()->recv<long>(), 2);
  EXPECT_FALSE(results.next());
}

// ---- the end

TEST(Imap, the_end_comes_again_and_again) {
  rp::Pool pool(2);
  auto results = pool.imap(square, numbers(2));
  EXPECT_EQ(results.next(), 0);
  EXPECT_EQ(results.next(), 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(results.next(), std::nullopt);
    EXPECT_EQ(results.next(0s), std::nullopt);
    EXPECT_EQ(results.to_vector(), std::vector<long>());
    EXPECT_TRUE(results.begin() == results.end());
  }
  EXPECT_THROW(*results.begin(), std::out_of_range);
}

// ---- errors

TEST(Imap, goes_on_behind_an_error_for_every_chunk_size) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {0u, 1u, 2u, 3u, 5u, 100u}) {
    auto results = pool.imap(odd_only, numbers(8), {.chunksize = chunksize});
    std::vector<std::string> seen;
    for (int i = 0; i < 9; ++i) seen.push_back(outcome_of_next(results));
    EXPECT_EQ(seen, (std::vector<std::string>{"0", "not 1", "20", "30", "not 4", "50", "60", "not 7", "end"}))
        << chunksize;
  }
}

TEST(Imap, unordered_yields_every_error) {
  rp::Pool pool(2);
  auto results = pool.imap_unordered(odd_only, numbers(8));
  std::vector<std::string> seen;
  for (int i = 0; i < 9; ++i) seen.push_back(outcome_of_next(results));
  EXPECT_EQ(seen.back(), "end");
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<std::string>{"0", "20", "30", "50", "60", "end", "not 1", "not 4", "not 7"}));
}

TEST(Imap, an_error_tells_where_it_comes_from) {
  rp::Pool pool(2);
  auto results = pool.imap(odd_only, numbers(8), {.chunksize = 3});
  EXPECT_EQ(results.next(), 0);
  const Failure failure([&] { results.next(); });
  ASSERT_TRUE(failure.is<std::invalid_argument>()) << failure;
  ASSERT_TRUE(failure.is<rp::RemoteInfo>()) << failure;
  EXPECT_EQ(failure.as<rp::RemoteInfo>()->task_index(), 1u);
}

TEST(Imap, a_lost_worker_costs_its_task_alone) {
  rp::Pool pool(2);
  auto results = pool.imap(
      [](long x) {
        if (x == 2) support::die_by(SIGKILL);
        return x;
      },
      numbers(6), {.chunksize = 2});
  EXPECT_EQ(results.next(), 0);
  EXPECT_EQ(results.next(), 1);
  const Failure failure([&] { results.next(); });
  ASSERT_TRUE(failure.is<rp::WorkerLost>()) << failure;
  EXPECT_EQ(failure.as<rp::WorkerLost>()->signal(), SIGKILL);
  EXPECT_EQ(failure.as<rp::WorkerLost>()->task_index(), 2u);
  EXPECT_EQ(results.to_vector(), (std::vector<long>{3, 4, 5}));
}

TEST(Imap, a_result_that_cannot_be_decoded_costs_itself_alone) {
  struct Picky {
    long number = 0;
    void serialize(rp::detail::MemoryOArchive& archive, unsigned) { archive << number; }
    void serialize(rp::detail::MemoryIArchive& archive, unsigned) {
      archive >> number;
      if (number == 1) throw std::domain_error("does not like 1");
    }
  };
  rp::Pool pool(2);
  auto results = pool.imap([](long x) { return Picky{x}; }, numbers(3));
  EXPECT_EQ(results.next()->number, 0);
  const Failure failure([&] { results.next(); });
  EXPECT_TRUE(failure.is<rp::SerializationError>()) << failure;
  EXPECT_EQ(results.next()->number, 2);
  EXPECT_FALSE(results.next());
}

// ---- iterating

TEST(ImapIteration, a_loop_that_an_error_has_ended_is_begun_again_behind_it) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {0u, 3u}) {
    auto results = pool.imap(odd_only, numbers(8), {.chunksize = chunksize});
    std::vector<long> values;
    int errors = 0;
    for (bool more = true; more;) {
      try {
        for (const long value : results) values.push_back(value);
        more = false;
      } catch (const std::invalid_argument&) {
        ++errors;
      }
    }
    EXPECT_EQ(values, (std::vector<long>{0, 20, 30, 50, 60}));
    EXPECT_EQ(errors, 3);
  }
}

TEST(ImapIteration, an_error_inside_of_a_loop_is_passed_by) {
  rp::Pool pool(2);
  auto results = pool.imap(odd_only, numbers(5));
  std::vector<std::string> seen;
  for (auto it = results.begin(); it != results.end(); ++it) {
    try {
      seen.push_back(std::to_string(*it));
    } catch (const std::invalid_argument& error) {
      seen.push_back(error.what());
      EXPECT_THROW(*it, std::invalid_argument) << "it stays in its place";
    }
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"0", "not 1", "20", "30", "not 4"}));
}

TEST(ImapIteration, an_error_is_never_passed_by_in_silence) {
  rp::Pool pool(2);
  auto results = pool.imap(odd_only, numbers(4));
  auto it = results.begin();
  ++it;
  EXPECT_THROW(++it, std::invalid_argument);
  EXPECT_EQ(*it, 20);
  ++it;
  EXPECT_EQ(*it, 30);
  it++;
  EXPECT_TRUE(it == results.end());
}

TEST(ImapIteration, goes_on_where_it_was_left) {
  rp::Pool pool(2);
  auto results = pool.imap(square, numbers(7));
  for (const long value : results)
    if (value == 1) break;
  EXPECT_EQ(results.next(), 4);
  auto it = results.begin();
  EXPECT_TRUE(it != results.end());
  EXPECT_EQ(results.next(), 9) << "nobody has looked at it";
  for (long& value : results) {
    EXPECT_EQ(value, 16);
    EXPECT_EQ(results.next(), 25);
    EXPECT_EQ(value, 16) << "the current one stays where it is";
    break;
  }
  auto moved = std::move(results);
  EXPECT_EQ(moved.to_vector(), std::vector<long>{36});
}

TEST(ImapIteration, works_with_the_standard_library) {
  rp::Pool pool(2);
  std::vector<long> seen;
  std::ranges::copy(pool.imap(square, numbers(4)), std::back_inserter(seen));
  for (const long value : pool.imap(square, std::views::iota(0L)) | std::views::drop(4) | std::views::take(2))
    seen.push_back(value);
  EXPECT_EQ(seen, (std::vector<long>{0, 1, 4, 9, 16, 25}));
}

TEST(ImapIteration, through_the_arrow) {
  rp::Pool pool(2);
  auto results = pool.imap([](long x) { return std::string(static_cast<std::size_t>(x), 'x'); }, numbers(3));
  std::size_t sum = 0;
  for (auto it = results.begin(); it != results.end(); ++it) sum += it->size();
  EXPECT_EQ(sum, 3u);
}

// ---- tasks that return nothing

TEST(ImapVoid, next_tells_whether_there_was_one) {
  rp::Pool pool(2);
  const auto work = [](long x) {
    if (x == 1) throw std::domain_error("one");
  };
  auto results = pool.imap(work, numbers(3));
  EXPECT_TRUE(results.next());
  EXPECT_THROW(results.next(long_enough), std::domain_error);
  EXPECT_TRUE(results.next(long_enough));
  EXPECT_FALSE(results.next());
  EXPECT_FALSE(results.next(0s));
}

TEST(ImapVoid, iterating_yields_places_in_the_input) {
  rp::Pool pool(2);
  std::size_t next = 0;
  for (const std::size_t place : pool.imap([](long) {}, numbers(500))) ASSERT_EQ(place, next++);
  EXPECT_EQ(next, 500u);
  auto places =
      pool.imap_unordered([](long x) { std::this_thread::sleep_for(std::chrono::milliseconds(x % 3)); }, numbers(20))
          .to_vector();
  std::sort(places.begin(), places.end());
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(places.at(i), i);
}

// ---- time limits

TEST(ImapTime, next_can_be_repeated_after_a_timeout) {
  rp::Pool pool(2);
  support::Scratch scratch;
  auto results = pool.imap(rp::partial(first_waits, scratch.file("go")), numbers(3), {.chunksize = 1});
  EXPECT_THROW(results.next(20ms), rp::TimeoutError);
  EXPECT_THROW(results.next(0s), rp::TimeoutError);
  EXPECT_THROW(results.next(-1s), rp::TimeoutError);
  support::add_line(scratch.file("go"), "");
  EXPECT_EQ(results.next(long_enough), 0);
  EXPECT_EQ(results.next(std::chrono::hours::max()), 1);
  EXPECT_TRUE(support::eventually([&] {
    try {
      return results.next(0s) == 2;
    } catch (const rp::TimeoutError&) {
      return false;
    }
  })) << "who only ever asks without waiting gets it too";
  EXPECT_EQ(results.next(1s), std::nullopt);
}

TEST(ImapTime, to_vector_keeps_what_it_has) {
  rp::Pool pool(2);
  support::Scratch scratch;
  const auto last_waits = [](const std::string& file, long x) {
    if (x == 4) support::wait_for_file(file);
    return x;
  };
  auto results = pool.imap(rp::partial(last_waits, scratch.file("go")), numbers(6), {.chunksize = 1});
  EXPECT_THROW(results.to_vector(100ms), rp::TimeoutError);
  EXPECT_THROW(results.to_vector(0s), rp::TimeoutError);
  EXPECT_EQ(results.next(long_enough), 0) << "the first of those that were kept";
  support::add_line(scratch.file("go"), "");
  EXPECT_EQ(results.to_vector(long_enough), (std::vector<long>{1, 2, 3, 4, 5}));
  EXPECT_EQ(results.to_vector(0s), std::vector<long>());
}

TEST(ImapTime, to_vector_keeps_what_comes_before_an_error) {
  rp::Pool pool(2);
  auto results = pool.imap(odd_only, numbers(6));
  EXPECT_THROW(results.to_vector(), std::invalid_argument);
  EXPECT_THROW(results.to_vector(long_enough), std::invalid_argument);
  EXPECT_EQ(results.to_vector(), (std::vector<long>{0, 20, 30, 50}));
}

TEST(ImapTime, a_timeout_of_the_task_itself_is_its_error) {
  rp::Pool pool(2);
  auto results = pool.imap(
      [](long x) {
        if (x == 0) throw rp::TimeoutError("of the task");
        return x;
      },
      numbers(2));
  const Failure failure([&] { results.next(); });
  EXPECT_TRUE(failure.is<rp::RemoteInfo>()) << failure;
  EXPECT_EQ(results.next(), 1);
}

// ---- threads

TEST(ImapThreads, share_the_results) {
  rp::Pool pool(2);
  for (const bool ordered : {true, false}) {
    support::Generator input(3000);
    const auto task = [](long x) { return x; };
    auto results = ordered ? pool.imap(task, input, {.buffersize = 5}) : pool.imap_unordered(task, input);
    std::mutex mutex;
    std::vector<long> all;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (;;) {
          std::optional<long> value;
          try {
            value = i == 0 ? results.next(1ms) : results.next();
          } catch (const rp::TimeoutError&) {
            continue;
          }
          if (!value) return;
          const std::lock_guard lock(mutex);
          all.push_back(*value);
        }
      });
    }
    threads.clear();
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, numbers(3000));
  }
}

TEST(ImapThreads, a_waiting_thread_learns_that_another_took_the_last) {
  rp::Pool pool(2);
  for (int round = 0; round < 20; ++round) {
    auto results = pool.imap(after, std::vector<long>{1, 1, 1});
    std::atomic<int> taken{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 6; ++i)
      threads.emplace_back([&] {
        if (results.next()) ++taken;
      });
    threads.clear();
    EXPECT_EQ(taken, 3);
  }
}

// ---- several at once

TEST(Imap, one_feeds_the_other) {
  rp::Pool pool(3);
  auto squares = pool.imap(square, std::views::iota(0L, 200L));
  auto texts = pool.imap([](long x) { return std::to_string(x); }, squares);
  long next = 0;
  for (const std::string& text : texts) {
    ASSERT_EQ(text, std::to_string(next * next));
    ++next;
  }
  EXPECT_EQ(next, 200);
}

TEST(Imap, in_turns_with_others_and_with_map) {
  rp::Pool pool(2);
  auto one = pool.imap(square, std::views::iota(0L));
  auto other = pool.imap_unordered(square, std::views::iota(0L, 100L));
  for (long i = 0; i < 100; ++i) {
    ASSERT_EQ(one.next(), i * i);
    ASSERT_TRUE(other.next());
    if (i % 10 == 0) {
      ASSERT_EQ(pool.map(square, numbers(3)), (std::vector<long>{0, 1, 4}));
    }
  }
  EXPECT_FALSE(other.next());
}

TEST(Imap, inside_of_a_task) {
  rp::Pool pool(2);
  const auto outer = [](long n) {
    rp::Pool inner(2);
    long sum = 0;
    for (const long value : inner.imap(square, std::views::iota(0L, n))) sum += value;
    return sum;
  };
  EXPECT_EQ(pool.imap(outer, std::vector<long>{1, 10, 100}).to_vector(), (std::vector<long>{0, 285, 328350}));
}
