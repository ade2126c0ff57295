// The input of imap: how much of it is drawn, what it may be, and what becomes of it when the iterator or the pool
// goes.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/inputs.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::Generator;
using support::long_enough;
using support::sleep_for_ever;
using support::square;

namespace {

long same(long x) { return x; }
std::vector<long> numbers(long n) {
  std::vector<long> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0L);
  return all;
}

}  // namespace

// ---- how much is drawn

TEST(ImapWindow, two_chunks_a_worker_unless_told_otherwise) {
  rp::Pool pool(3);
  for (const bool ordered : {true, false}) {
    const auto drawn_of = [&](const rp::MapOptions& options) {
      Generator input;
      auto results = ordered ? pool.imap(same, input, options) : pool.imap_unordered(same, input, options);
      std::this_thread::sleep_for(20ms);
      return input.drawn()->load();
    };
    EXPECT_EQ(drawn_of({}), 6);
    EXPECT_EQ(drawn_of({.chunksize = 1}), 6);
    EXPECT_EQ(drawn_of({.chunksize = 5}), 30);
    EXPECT_EQ(drawn_of({.buffersize = 1}), 1);
    EXPECT_EQ(drawn_of({.buffersize = 17}), 17);
    EXPECT_EQ(drawn_of({.chunksize = 5, .buffersize = 2}), 5) << "raised to a chunk";
    EXPECT_EQ(drawn_of({.chunksize = 5, .buffersize = 13}), 10) << "whole chunks";
  }
}

TEST(ImapWindow, is_never_exceeded) {
  rp::Pool pool(2);
  for (const std::size_t buffersize : {1u, 2u, 3u, 8u, 100u}) {
    for (const bool ordered : {true, false}) {
      Generator input;
      const rp::MapOptions options{.buffersize = buffersize};
      auto results = ordered ? pool.imap(same, input, options) : pool.imap_unordered(same, input, options);
      for (long yielded = 0; yielded < 1000; ++yielded) {
        ASSERT_LE(input.drawn()->load() - yielded, static_cast<long>(buffersize));
        ASSERT_TRUE(results.next());
      }
    }
  }
}

TEST(ImapWindow, grows_for_short_tasks_and_stays_for_long_ones) {
  rp::Pool pool(2);
  const auto furthest = [&](auto task, long count) {
    Generator input;
    long ahead = 0;
    auto results = pool.imap(task, input);
    for (long yielded = 0; yielded < count; ++yielded) {
      ahead = std::max(ahead, input.drawn()->load() - yielded);
      EXPECT_TRUE(results.next());
    }
    return ahead;
  };
  EXPECT_GT(furthest(same, 20000), 50);
  EXPECT_LE(furthest(
                [](long x) {
                  std::this_thread::sleep_for(3ms);
                  return x;
                },
                40),
            4);
}

TEST(ImapWindow, large_items_keep_it_small) {
  rp::Pool pool(2);
  long ahead = 0, yielded = 0, drawn = 0;
  const auto item = [&drawn](long) {
    ++drawn;
    return std::string(100'000, 'x');
  };
  auto results = pool.imap([](const std::string& text) { return text.size(); },
                           std::views::iota(0L, 300L) | std::views::transform(item));
  while (results.next()) {
    ++yielded;
    ahead = std::max(ahead, drawn - yielded);
  }
  EXPECT_EQ(yielded, 300);
  EXPECT_LE(ahead, 4 * 2 + 1) << "a chunk is at most 256 KiB";
}

TEST(ImapWindow, senseless_options_are_refused) {
  rp::Pool pool(1);
  const auto minus_one = static_cast<std::size_t>(-1);
  EXPECT_THROW(pool.imap(same, numbers(3), {.chunksize = minus_one}), std::invalid_argument);
  EXPECT_THROW(pool.imap(same, numbers(3), {.buffersize = minus_one}), std::invalid_argument);
  EXPECT_THROW(pool.imap_unordered(same, numbers(3), {.task_timeout = -1s}), std::invalid_argument);
  EXPECT_THROW(pool.imap_unordered(same, numbers(3), {.retries = -1}), std::invalid_argument);
  EXPECT_EQ(pool.imap(same, numbers(3), {.chunksize = minus_one / 2, .buffersize = minus_one / 2}).to_vector(),
            numbers(3))
      << "large ones have sense";
}

TEST(ImapWindow, a_slow_input_holds_no_result_back) {
  rp::Pool pool(1);
  long drawn = 0;
  const auto slowly = [&](long x) {
    if (x > 0) std::this_thread::sleep_for(5ms);
    ++drawn;
    return x;
  };
  auto results = pool.imap(same, std::views::iota(0L, 30L) | std::views::transform(slowly), {.buffersize = 20});
  EXPECT_EQ(drawn, 20);
  long yielded = 0;
  for (; yielded < 15; ++yielded) ASSERT_TRUE(results.next());
  EXPECT_LT(drawn, 30) << "not all that there is room for was drawn before a result that was ready";
  while (results.next()) ++yielded;
  EXPECT_EQ(yielded, 30);
}

// ---- what it may be

TEST(ImapInput, containers_and_views) {
  rp::Pool pool(2);
  const std::vector<long> by_reference{1, 2, 3};
  EXPECT_EQ(pool.imap(square, by_reference).to_vector(), (std::vector<long>{1, 4, 9}));
  EXPECT_EQ(pool.imap(square, std::vector<long>{1, 2, 3}).to_vector(), (std::vector<long>{1, 4, 9}));
  EXPECT_EQ(pool.imap(square, std::list<long>{1, 2}).to_vector(), (std::vector<long>{1, 4}));
  EXPECT_EQ(pool.imap(square, std::forward_list<long>{1, 2}).to_vector(), (std::vector<long>{1, 4}));
  const long array[] = {5, 6};
  EXPECT_EQ(pool.imap(square, array).to_vector(), (std::vector<long>{25, 36}));
  EXPECT_EQ(pool.imap([](bool b) { return b ? 1 : 0; }, std::vector<bool>{true, false, true}).to_vector(),
            (std::vector<int>{1, 0, 1}));
  const std::map<std::string, int> entries{{"a", 1}, {"b", 2}};
  EXPECT_EQ(pool.imap([](const std::pair<std::string, int>& e) { return e.first + std::to_string(e.second); }, entries)
                .to_vector(),
            (std::vector<std::string>{"a1", "b2"}));
  EXPECT_EQ(pool.imap(square, std::vector<long>()).to_vector(), std::vector<long>());
}

TEST(ImapInput, what_can_be_read_only_once) {
  rp::Pool pool(2);
  std::istringstream in("3 4 5");
  EXPECT_EQ(pool.imap(square, std::views::istream<long>(in)).to_vector(), (std::vector<long>{9, 16, 25}));
  EXPECT_EQ(pool.imap(same, Generator(100)).to_vector(), numbers(100));
  std::istringstream lines("one two three four");
  auto results = pool.imap([](const std::string& text) { return text.size(); }, std::views::istream<std::string>(lines),
                           {.buffersize = 1});
  EXPECT_EQ(results.next(), 3u);
  std::string rest;
  lines >> rest;
  EXPECT_EQ(rest, "two") << "no step is made before it is wanted";
}

TEST(ImapInput, without_end) {
  rp::Pool pool(2);
  auto results = pool.imap(square, std::views::iota(0L));
  for (long i = 0; i < 5000; ++i) ASSERT_EQ(results.next(), i * i);
}

TEST(ImapInput, handles_among_the_items) {
  rp::Pool pool(2);
  const auto put = [](std::pair<rp::Queue<long>, long> to) { to.first.put(to.second); };
  std::optional<rp::Queue<long>> last;
  const auto fresh = [&](long x) {
    last.emplace();
    return std::pair(*last, x);
  };
  std::size_t count = 0;
  for ([[maybe_unused]] const std::size_t place :
       pool.imap_unordered(put, std::views::iota(0L, 200L) | std::views::transform(fresh)))
    ++count;
  EXPECT_EQ(count, 200u);
  EXPECT_EQ(last->get(long_enough), 199);
}

TEST(ImapInput, an_exception_comes_behind_the_results_of_what_was_drawn) {
  rp::Pool pool(2);
  for (const std::size_t chunksize : {0u, 1u, 2u, 4u}) {
    auto results = pool.imap(same, Generator(20, 7), {.chunksize = chunksize});
    for (long i = 0; i < 7; ++i) EXPECT_EQ(results.next(), i);
    const Failure failure([&] { results.next(); });
    EXPECT_TRUE(failure.is<support::SayWhenError>()) << failure;
    EXPECT_FALSE(failure.is<rp::RemoteInfo>());
    EXPECT_EQ(results.next(), std::nullopt);
    auto unordered = pool.imap_unordered(same, Generator(20, 7), {.chunksize = chunksize});
    EXPECT_THROW(unordered.to_vector(), support::SayWhenError);
    std::vector<long> before = unordered.to_vector();
    std::sort(before.begin(), before.end());
    EXPECT_EQ(before, numbers(7));
  }
}

TEST(ImapInput, an_item_that_cannot_be_encoded_is_an_error_in_its_place) {
  struct Fussy {
    long number = 0;
    void serialize(rp::detail::MemoryOArchive& archive, unsigned) {
      if (number % 4 == 1) throw std::domain_error("does not like " + std::to_string(number));
      archive << number;
    }
    void serialize(rp::detail::MemoryIArchive& archive, unsigned) { archive >> number; }
  };
  rp::Pool pool(2);
  const auto input = [] { return std::views::iota(0L, 12L) | std::views::transform([](long x) { return Fussy{x}; }); };
  for (const std::size_t chunksize : {0u, 3u}) {
    auto results = pool.imap([](const Fussy& f) { return f.number; }, input(), {.chunksize = chunksize});
    for (long i = 0; i < 12; ++i) {
      if (i % 4 == 1) {
        EXPECT_THROW(results.next(), std::domain_error);
      } else {
        EXPECT_EQ(results.next(), i);
      }
    }
    EXPECT_FALSE(results.next());
  }
  auto places = pool.imap_unordered([](const Fussy&) {}, input());
  std::vector<std::size_t> seen;
  int errors = 0;
  for (auto it = places.begin(); it != places.end(); ++it) {
    try {
      seen.push_back(*it);
    } catch (const std::domain_error&) {
      ++errors;
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<std::size_t>{0, 2, 3, 4, 6, 7, 8, 10, 11}));
  EXPECT_EQ(errors, 3);
}

// ---- an iterator that goes early

TEST(ImapGone, cancels_what_was_not_begun) {
  rp::Pool pool(1);
  support::Scratch scratch;
  {
    const auto work = [](const std::string& folder, long x) {
      support::add_line(folder + "begun", std::to_string(x));
      if (x == 0) support::wait_for_file(folder + "go");
    };
    auto results = pool.imap(rp::partial(work, scratch.file("")), Generator(), {.chunksize = 1});
    EXPECT_TRUE(support::eventually([&] { return support::exists(scratch.file("begun")); }));
  }
  EXPECT_FALSE(support::exists(scratch.file("go")));
  auto last = pool.apply_async(square, 3L);
  support::add_line(scratch.file("go"), "");
  EXPECT_EQ(last.get(long_enough), 9);
  EXPECT_EQ(support::numbers_of(scratch.file("begun")), std::vector<long>{0});
}

TEST(ImapGone, touches_the_input_no_more) {
  rp::Pool pool(2);
  auto input = std::make_unique<Generator>();
  const auto drawn = input->drawn();
  {
    auto results = pool.imap(same, *input);
    EXPECT_EQ(results.next(), 0);
    auto assigned = pool.imap(same, numbers(2));
    assigned = std::move(results);
    EXPECT_EQ(assigned.next(), 1);
  }
  const long before = *drawn;
  input.reset();
  EXPECT_EQ(pool.map(square, numbers(2)), (std::vector<long>{0, 1}));
  pool.close();
  pool.join();
  EXPECT_EQ(*drawn, before);
}

// ---- the end of the pool

TEST(ImapEnd, nothing_new_after_close) {
  rp::Pool pool(1);
  pool.close();
  EXPECT_THROW(pool.imap(same, numbers(3)), rp::PoolClosed);
  EXPECT_THROW(pool.imap_unordered(same, Generator()), rp::PoolClosed);
}

TEST(ImapEnd, close_does_not_end_the_input) {
  rp::Pool pool(2);
  auto results = pool.imap(same, Generator(500));
  EXPECT_EQ(results.next(), 0);
  pool.close();
  for (long i = 1; i < 500; ++i) ASSERT_EQ(results.next(), i);
  EXPECT_EQ(results.next(), std::nullopt);
  EXPECT_TRUE(pool.join_for(long_enough));
}

TEST(ImapEnd, join_draws_an_input_of_known_size_to_its_end) {
  std::optional<rp::ResultIterator<long>> results;
  {
    rp::Pool pool(2);
    results.emplace(pool.imap(same, numbers(70'000), {.buffersize = 2}));
    EXPECT_EQ(results->next(), 0);
    pool.close();
    EXPECT_TRUE(pool.join_for(long_enough));
    EXPECT_EQ(results->next(0s), 1) << "it is here already";
  }
  const std::vector<long> rest = results->to_vector(0s);
  EXPECT_EQ(rest.size(), 69'998u) << "it outlives its pool";
  EXPECT_EQ(rest.back(), 69'999);
}

TEST(ImapEnd, join_cuts_any_other_input_off) {
  for (const bool ordered : {true, false}) {
    rp::Pool pool(2);
    auto results = ordered ? pool.imap(same, Generator(), {.buffersize = 5})
                           : pool.imap_unordered(same, Generator(), {.buffersize = 5});
    EXPECT_TRUE(results.next());
    pool.close();
    EXPECT_TRUE(pool.join_for(long_enough));
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(results.next(0s)) << "what was drawn is finished";
    const Failure failure([&] { results.next(); });
    EXPECT_TRUE(failure.is<rp::PoolClosed>()) << failure;
    EXPECT_EQ(results.next(), std::nullopt) << "it is said once";
  }
}

TEST(ImapEnd, an_input_at_its_end_is_not_cut_off) {
  rp::Pool pool(2);
  const std::forward_list<long> five{0, 1, 2, 3, 4};
  auto results = pool.imap(same, five, {.buffersize = 5});
  pool.close();
  pool.join();
  EXPECT_EQ(results.to_vector(), numbers(5));
}

TEST(ImapEnd, the_destructor_of_the_pool_does_not_wait_for_a_reader) {
  auto pool = std::make_unique<rp::Pool>(2);
  auto endless = pool->imap(same, std::views::iota(0L));
  auto unread = pool->imap_unordered(same, numbers(1000), {.chunksize = 3});
  EXPECT_EQ(endless.next(), 0);
  pool.reset();
  EXPECT_EQ(unread.to_vector().size(), 1000u);
  EXPECT_EQ(endless.next(), 1);
}

TEST(ImapEnd, join_while_another_thread_reads) {
  rp::Pool pool(2);
  auto results = pool.imap(same, Generator());
  std::thread reader([&] {
    try {
      for (long next = 0;; ++next) {
        const std::optional<long> value = results.next();
        ASSERT_EQ(value, next);
      }
    } catch (const rp::PoolClosed&) {
    }
  });
  std::this_thread::sleep_for(20ms);
  pool.close();
  EXPECT_TRUE(pool.join_for(long_enough));
  reader.join();
}

TEST(ImapEnd, terminate_is_told_once) {
  rp::Pool pool(2);
  const auto first_only = [](long x) {
    if (x > 0) sleep_for_ever(0);
    return x;
  };
  auto results = pool.imap(first_only, Generator(), {.chunksize = 1});
  EXPECT_EQ(results.next(long_enough), 0);
  std::thread other([&] {
    std::this_thread::sleep_for(20ms);
    pool.terminate();
  });
  EXPECT_THROW(results.next(), rp::CancelledError);
  EXPECT_EQ(results.next(), std::nullopt);
  other.join();
  pool.join();
  EXPECT_EQ(results.next(), std::nullopt);
}

TEST(ImapEnd, terminate_keeps_results_that_have_come) {
  rp::Pool pool(2);
  auto results = pool.imap(same, std::views::iota(0L, 3L));
  EXPECT_TRUE(support::eventually([&] {  // an iterator looks without taking
    return results.begin() != results.end();
  }));
  pool.terminate();
  EXPECT_EQ(results.next(), 0);
}

TEST(ImapEnd, a_failed_initializer_is_told_once) {
  rp::Pool pool(rp::PoolOptions{.processes = 2, .initializer = [] { throw std::domain_error("no worker"); }});
  const Failure failure([&] {
    auto results = pool.imap(same, Generator());
    Failure told([&] { results.next(); });
    EXPECT_EQ(results.next(), std::nullopt);
    EXPECT_TRUE(told.is<std::domain_error>()) << told;
  });
  EXPECT_TRUE(!failure || failure.is<std::domain_error>()) << "it may have failed before: " << failure;
}
