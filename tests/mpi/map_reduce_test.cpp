// Pool::map_reduce: values that are reduced where they are computed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/scratch.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::square;

namespace {

using Counts = std::map<std::string, long>;

long sum_of_squares(long n) { return (n - 1) * n * (2 * n - 1) / 6; }

Counts count_words(const std::string& text) {
  Counts counts;
  std::istringstream in(text);
  for (std::string word; in >> word;) ++counts[word];
  return counts;
}
void add_counts(Counts& into, const Counts& from) {
  for (const auto& [word, count] : from) into[word] += count;
}

/// What a user writes: the moments of some numbers.
struct Moments {
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& count& sum& names;
  }
  long count = 0;
  double sum = 0;
  std::vector<std::string> names;
};
Moments moments_of(int x) { return {1, static_cast<double>(x), {std::to_string(x)}}; }
Moments join(Moments a, const Moments& b) {
  a.count += b.count;
  a.sum += b.sum;
  a.names.insert(a.names.end(), b.names.begin(), b.names.end());
  return a;
}

/// A number that can only be moved.
class Token {
 public:
  Token() = default;
  explicit Token(long number) : number_(number) {}
  Token(Token&&) = default;
  Token& operator=(Token&&) = default;
  long number() const { return number_; }

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number_;
  }

 private:
  long number_ = 0;
};
static_assert(!std::is_copy_constructible_v<Token>);

long add(long a, long b) { return a + b; }

class MapReduce : public testing::Test {
 protected:
  support::Scratch scratch_;
  rp::Pool pool_;
};

}  // namespace

// ---- values

TEST_F(MapReduce, a_sum) {
  EXPECT_EQ(pool_.map_reduce(square, add, std::views::iota(0L, 1000L), 0L), sum_of_squares(1000));
  EXPECT_EQ(pool_.map_reduce(square, std::plus<>(), std::vector<long>{7}, 0L), 49);
  const auto in_place = [](long& sum, long x) { sum += x; };
  EXPECT_EQ(pool_.map_reduce(square, in_place, std::views::iota(0L, 1000L), 0L), sum_of_squares(1000));
}

TEST_F(MapReduce, many_tasks) {
  constexpr long n = 200'000;
  const auto same = [](long x) { return x; };
  EXPECT_EQ(pool_.map_reduce(same, std::plus<>(), std::views::iota(0L, n), 0L), n * (n - 1) / 2);
}

TEST_F(MapReduce, with_any_chunksize) {
  for (const std::size_t chunksize : {1u, 2u, 7u, 100u, 5000u}) {
    EXPECT_EQ(pool_.map_reduce(square, add, std::views::iota(0L, 500L), 0L, {.chunksize = chunksize}),
              sum_of_squares(500));
  }
}

TEST_F(MapReduce, the_result_has_the_type_of_init) {
  const auto smallest = [](double a, double b) { return std::min(a, b); };
  const auto half = [](int x) { return x; };
  const auto least =
      pool_.map_reduce(half, smallest, std::vector<int>{5, -3, 8}, std::numeric_limits<double>::infinity());
  static_assert(std::is_same_v<decltype(least), const double>);
  EXPECT_EQ(least, -3.0);
  // min and max return references to their arguments
  const auto largest = [](const long& a, const long& b) -> const long& { return std::max(a, b); };
  EXPECT_EQ(pool_.map_reduce(square, largest, std::views::iota(-20L, 5L), 0L), 400);
}

TEST_F(MapReduce, strings_and_containers) {
  const auto name = [](int x) { return std::string(1, static_cast<char>('a' + x % 26)); };
  std::string letters = pool_.map_reduce(name, std::plus<>(), std::views::iota(0, 260), "");
  std::sort(letters.begin(), letters.end());
  std::string expected;
  for (char letter = 'a'; letter <= 'z'; ++letter) expected.append(10, letter);
  EXPECT_EQ(letters, expected);

  const auto single = [](int x) { return std::set<int>{x / 2}; };
  const auto unite = [](std::set<int>& into, std::set<int> from) { into.merge(from); };
  const std::set<int> all = pool_.map_reduce(single, unite, std::views::iota(0, 300), std::set<int>{-1});
  EXPECT_EQ(all.size(), 151u);
  EXPECT_EQ(*all.begin(), -1);
  EXPECT_EQ(*all.rbegin(), 149);
}

TEST_F(MapReduce, counts_words) {
  std::vector<std::string> blocks;
  Counts expected;
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int j = 0; j < 50; ++j) text += "word" + std::to_string((i * 31 + j * j) % 97) + (j % 5 == 4 ? "\n" : " ");
    add_counts(expected, count_words(text));
    blocks.push_back(std::move(text));
  }
  EXPECT_EQ(pool_.map_reduce(count_words, add_counts, blocks, Counts{}), expected);
}

TEST_F(MapReduce, a_struct_of_the_user) {
  const Moments all = pool_.map_reduce(moments_of, join, std::views::iota(1, 101), Moments{});
  EXPECT_EQ(all.count, 100);
  EXPECT_EQ(all.sum, 5050);
  EXPECT_EQ(std::set<std::string>(all.names.begin(), all.names.end()).size(), 100u);
}

TEST_F(MapReduce, values_that_can_only_be_moved) {
  const auto make = [](long x) { return Token(x); };
  const auto fuse = [](Token a, Token b) { return Token(a.number() + b.number()); };
  EXPECT_EQ(pool_.map_reduce(make, fuse, std::views::iota(0L, 100L), Token(1)).number(), 4951);
}

TEST_F(MapReduce, large_values) {
  constexpr std::size_t size = 500'000;  // 4 MB
  const auto ones = [](int x) { return std::vector<long>(size, x); };
  const auto sum = [](std::vector<long>& into, const std::vector<long>& from) {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] += from[i];
  };
  const std::vector<long> total = pool_.map_reduce(ones, sum, std::views::iota(0, 20), std::vector<long>(size, 1));
  ASSERT_EQ(total.size(), size);
  EXPECT_EQ(std::count(total.begin(), total.end(), 191), static_cast<std::ptrdiff_t>(size));
}

TEST_F(MapReduce, large_items) {
  const std::vector<std::string> items(30, std::string(200'000, 'x'));
  EXPECT_EQ(pool_.map_reduce(&std::string::size, std::plus<>(), items, std::size_t{0}), 6'000'000u);
}

TEST_F(MapReduce, callables_with_data) {
  const auto scale = [](const std::vector<long>& factors, long x) { return factors[0] * x; };
  const auto bounded = [](const std::vector<long>& limit, long a, long b) { return std::min(a + b, limit[0]); };
  const auto partial = rp::partial(scale, std::vector<long>{3});
  EXPECT_EQ(pool_.map_reduce(partial, add, std::views::iota(0L, 100L), 0L), 3 * 4950);
  EXPECT_EQ(pool_.map_reduce(partial, rp::partial(bounded, std::vector<long>{1000}), std::views::iota(0L, 100L), 0L),
            1000);
}

// ---- init

TEST_F(MapReduce, init_is_used_once) {
  for (long n = 1; n < 40; n += 3)
    EXPECT_EQ(pool_.map_reduce(square, add, std::views::iota(0L, n), 1'000'000L), 1'000'000 + sum_of_squares(n));
}

TEST_F(MapReduce, of_nothing_is_init) {
  EXPECT_EQ(pool_.map_reduce(square, add, std::vector<long>{}, 42L), 42);
  EXPECT_EQ(pool_.map_reduce_async(square, add, std::vector<long>{}, 43L).get(), 43);
  EXPECT_EQ(pool_.map_reduce(count_words, add_counts, std::vector<std::string>{}, Counts{{"a", 1}}),
            (Counts{{"a", 1}}));
}

// ---- asynchronous

TEST_F(MapReduce, returns_at_once) {
  const std::string gate = scratch_.file("gate");
  const auto wait = [](const std::string& file, long x) {
    support::wait_for_file(file);
    return x;
  };
  rp::AsyncResult<long> result =
      pool_.map_reduce_async(rp::partial(wait, gate), add, std::views::iota(0L, 20L), 5L, {.chunksize = 1});
  EXPECT_FALSE(result.ready());
  EXPECT_FALSE(result.wait_for(5ms));
  EXPECT_THROW(result.get(1ms), rp::TimeoutError);
  support::add_line(gate, "open");
  EXPECT_EQ(result.get(), 195);
  EXPECT_EQ(result.get(), 195) << "init is used once";
  EXPECT_TRUE(result.successful());
}

TEST_F(MapReduce, several_at_once) {
  std::vector<rp::AsyncResult<long>> results;
  for (long i = 0; i < 20; ++i)
    results.push_back(pool_.map_reduce_async(square, add, std::views::iota(0L, 100L + i), i));
  const std::vector<long> squares = pool_.map(square, std::views::iota(0L, 100L));
  for (long i = 0; i < 20; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)].get(), i + sum_of_squares(100 + i));
  EXPECT_EQ(squares.back(), 99 * 99);
}

TEST_F(MapReduce, calls_back) {
  std::atomic<long> seen{0};
  auto result = pool_.map_reduce_async(square, add, std::views::iota(0L, 10L), 0L);
  result.on_done([&](rp::AsyncResult<long> done) { seen = done.get(); });
  EXPECT_TRUE(support::eventually([&] { return seen == 285; }));
}

TEST_F(MapReduce, inside_of_a_task) {
  const auto nested = [](int n) {
    rp::Pool inner(2);
    return inner.map_reduce(square, add, std::views::iota(0L, static_cast<long>(n)), 0L);
  };
  EXPECT_EQ(pool_.map_reduce(nested, add, std::vector<int>{10, 20, 30}, 0L),
            sum_of_squares(10) + sum_of_squares(20) + sum_of_squares(30));
}

// ---- errors

TEST_F(MapReduce, throws_the_first_error_in_input_order) {
  const std::string log = scratch_.file("log");
  const auto task = [](const std::string& file, long x) {
    if (x == 3) std::this_thread::sleep_for(30ms);
    if (x % 10 == 3) throw std::out_of_range("item " + std::to_string(x));
    support::add_line(file, "done");
    return x;
  };
  for (const std::size_t chunksize : {0u, 1u, 7u}) {
    const Failure failure([&] {
      pool_.map_reduce(rp::partial(task, log), add, std::views::iota(0L, 50L), 0L, {.chunksize = chunksize});
    });
    EXPECT_TRUE(failure.is<std::out_of_range>()) << failure;
    EXPECT_NE(failure.what().find("item 3"), std::string::npos) << failure;
    const auto* const info = failure.as<rp::RemoteInfo>();
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->task_index(), std::size_t{3});
    EXPECT_EQ(support::lines_of(log).size(), 45u) << "the others have run";
    ::unlink(log.c_str());
  }
  EXPECT_EQ(pool_.map_reduce(square, add, std::views::iota(0L, 100L), 0L), sum_of_squares(100));
}

TEST_F(MapReduce, reduce_that_throws) {
  const auto careful = [](long a, long b) -> long {
    if (a + b > 1000) throw std::overflow_error("too much");
    return a + b;
  };
  EXPECT_THROW(pool_.map_reduce(square, careful, std::views::iota(0L, 100L), 0L), std::overflow_error);
  EXPECT_EQ(pool_.map_reduce(square, careful, std::views::iota(0L, 5L), 0L), 30);
  // only when the values of several workers meet
  rp::Pool two(2);
  const auto own = [](int) {
    std::this_thread::sleep_for(1ms);
    return std::set<int>{::getpid()};
  };
  const auto alike = [](std::set<int>& into, const std::set<int>& from) {
    into.insert(from.begin(), from.end());
    if (into.size() > 1) throw std::domain_error("strangers");
  };
  support::worker_pids(two);
  const Failure failure([&] { two.map_reduce(own, alike, std::vector<int>(60), std::set<int>{}, {.chunksize = 1}); });
  EXPECT_TRUE(failure.is<std::domain_error>()) << failure;
}

TEST_F(MapReduce, reduce_that_throws_for_init) {
  const auto refuse = [](long a, long b) -> long {
    if (a == -1 || b == -1) throw std::domain_error("no init");
    return a + b;
  };
  rp::AsyncResult<long> result = pool_.map_reduce_async(square, refuse, std::views::iota(0L, 10L), -1L);
  EXPECT_THROW(result.get(), std::domain_error);
  EXPECT_THROW(result.get(), std::domain_error);
}

TEST_F(MapReduce, an_item_that_cannot_be_drawn_ends_it) {
  const auto draw = [](long x) {
    if (x == 20'000) throw std::length_error("no more");
    return x;
  };
  EXPECT_THROW(pool_.map_reduce(square, add, std::views::iota(0L, 30'000L) | std::views::transform(draw), 0L),
               std::length_error);
  EXPECT_EQ(pool_.map_reduce(square, add, std::views::iota(0L, 100L), 0L), sum_of_squares(100));
}

TEST_F(MapReduce, a_lost_worker_without_retries) {
  const auto task = [](long x) {
    if (x == 11) support::die_by(SIGKILL);
    return x;
  };
  const Failure failure([&] { pool_.map_reduce(task, add, std::views::iota(0L, 40L), 0L, {.chunksize = 1}); });
  EXPECT_TRUE(failure.is<rp::WorkerLost>()) << failure;
  EXPECT_EQ(pool_.map_reduce(square, add, std::views::iota(0L, 100L), 0L), sum_of_squares(100));
}

TEST_F(MapReduce, a_lost_worker_with_retries) {
  for (const std::size_t chunksize : {1u, 8u, 0u}) {
    const std::string prefix = scratch_.file(std::to_string(chunksize) + ".");
    const auto task = [](const std::string& files, long x) {
      if (x % 100 == 57) {
        const std::string file = files + std::to_string(x);
        if (!support::exists(file)) {
          support::add_line(file, "was here");
          support::die_by(SIGKILL);
        }
      }
      return x;
    };
    EXPECT_EQ(pool_.map_reduce(rp::partial(task, prefix), add, std::views::iota(0L, 400L), 1L,
                               {.chunksize = chunksize, .retries = 3}),
              79'801);
  }
}

// ---- the pool

TEST_F(MapReduce, workers_that_are_replaced) {
  for (const int tasks : {1, 3, 50}) {
    rp::Pool pool(rp::PoolOptions{.processes = 2, .max_tasks_per_child = tasks});
    EXPECT_EQ(pool.map_reduce(square, add, std::views::iota(0L, 60L), 0L), sum_of_squares(60));
    const auto large = [](int x) { return std::vector<int>(20'000, x); };
    const auto sum = [](std::vector<int>& into, const std::vector<int>& from) {
      for (std::size_t i = 0; i < into.size(); ++i) into[i] += from[i];
    };
    EXPECT_EQ(pool.map_reduce(large, sum, std::views::iota(0, 40), std::vector<int>(20'000, 0)),
              std::vector<int>(20'000, 780));
  }
}

TEST_F(MapReduce, close_waits_for_it) {
  rp::AsyncResult<long> result = [] {
    rp::Pool pool(3);
    const auto slow = [](long x) {
      std::this_thread::sleep_for(1ms);
      return x;
    };
    const auto slow_sum = [](long a, long b) {
      std::this_thread::sleep_for(1ms);
      return a + b;
    };
    auto last = pool.map_reduce_async(slow, slow_sum, std::views::iota(0L, 30L), 0L);
    pool.close();
    pool.join();
    return last;
  }();
  EXPECT_TRUE(result.ready());
  EXPECT_EQ(result.get(), 435);
}

TEST_F(MapReduce, terminate_cancels_it) {
  rp::Pool pool(2);
  auto result = pool.map_reduce_async(
      [](int x) {
        support::sleep_for_ever(x);
        return x;
      },
      std::plus<>(), std::views::iota(0, 10), 0);
  pool.terminate();
  EXPECT_THROW(result.get(), rp::CancelledError);

  // while values are reduced
  rp::Pool other(3);
  const std::string log = scratch_.file("log");
  const auto endless = [](const std::string& file, std::vector<int> a, const std::vector<int>& b) {
    if (a.front() != b.front()) {
      support::add_line(file, "two workers have met");
      support::sleep_for_ever(0);
    }
    return a;
  };
  const auto own = [](int) {
    std::this_thread::sleep_for(1ms);
    return std::vector<int>{::getpid()};
  };
  support::worker_pids(other);
  auto reducing = other.map_reduce_async(own, rp::partial(endless, log), std::vector<int>(60), std::vector<int>{0},
                                         {.chunksize = 1});
  EXPECT_TRUE(support::eventually([&] { return support::exists(log); }));
  other.terminate();
  EXPECT_THROW(reducing.get(), rp::CancelledError);
  other.join();
}
