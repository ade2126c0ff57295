// The cases of CPython 3.13's _TestPool (Lib/test/_test_multiprocessing.py) about jobs and their results, and those of
// _TestPoolWorkerErrors, under their names. One pool of four serves all, as there.
//
// On purpose other than there: ValueError and its like are std::invalid_argument and its like; every error of a task
// carries RemoteInfo instead of a RemoteTraceback; map throws the first error in input order, not the first in time; a
// senseless chunk size throws; both callbacks are one `on_done`; a pool that goes out of scope drains.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/pool_fixture.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;
using support::sqr;
using support::sqr_after;

namespace {

long mul(long x, long y) { return x * y; }
int to_int(const std::string& text) { return std::stoi(text); }

template <std::ranges::input_range Range, class F>
auto serial(F f, Range&& range) {
  std::vector<decltype(f(*std::ranges::begin(range)))> results;
  for (auto&& item : range) results.push_back(f(item));
  return results;
}

struct SayWhenError : std::runtime_error {
  SayWhenError() : std::runtime_error("somebody said when") {}
};

/// Numbers below `total`; throws in place of number `when`, or before anything if that is negative.
class ThrowingGenerator {
 public:
  ThrowingGenerator(long total, long when) : total_(total), when_(when) {}

  struct Iterator {
    using value_type = long;
    using difference_type = std::ptrdiff_t;
    long operator*() const {
      if (at == when) throw SayWhenError();
      return at;
    }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    void operator++(int) { ++at; }
    bool operator==(std::default_sentinel_t) const { return at == total; }
    long at, when, total;
  };
  Iterator begin() const {
    if (when_ < 0) throw SayWhenError();
    return {0, when_, total_};
  }
  std::default_sentinel_t end() const { return {}; }

 private:
  long total_, when_;
};

/// Says that it has one element, and throws instead of giving it.
struct SpecialIterable {
  struct Iterator {
    using value_type = long;
    using difference_type = std::ptrdiff_t;
    long operator*() const { throw SayWhenError(); }
    Iterator& operator++() { return *this; }
    void operator++(int) {}
    bool operator==(const Iterator&) const { return false; }
  };
  Iterator begin() const { return {}; }
  Iterator end() const { return {}; }
  std::size_t size() const { return 1; }
};

using support::TestPool;

}  // namespace

TEST_F(TestPool, test_apply) {
  EXPECT_EQ(pool->apply(sqr, 5L), sqr(5));
  EXPECT_EQ(pool->apply(rp::partial(sqr, 3L)), sqr(3));  // in place of keywords
}

TEST_F(TestPool, test_map) {
  EXPECT_EQ(pool->map(sqr, std::views::iota(0L, 10L)), serial(sqr, std::views::iota(0L, 10L)));
  EXPECT_EQ(pool->map(sqr, std::views::iota(0L, 100L), {.chunksize = 20}), serial(sqr, std::views::iota(0L, 100L)));
}

TEST_F(TestPool, test_starmap) {
  for (const auto& [count, chunksize] : {std::pair(10L, 0u), std::pair(100L, 20u)}) {
    std::vector<std::pair<long, long>> pairs;
    std::vector<long> products;
    for (long i = 0; i < count; ++i) {
      pairs.emplace_back(i, count - 1 - i);
      products.push_back(i * (count - 1 - i));
    }
    EXPECT_EQ(pool->starmap(mul, pairs, {.chunksize = chunksize}), products);
  }
}

TEST_F(TestPool, test_starmap_async) {
  std::vector<std::pair<long, long>> pairs;
  std::vector<long> products;
  for (long i = 0; i < 100; ++i) {
    pairs.emplace_back(i, 99 - i);
    products.push_back(i * (99 - i));
  }
  EXPECT_EQ(pool->starmap_async(mul, pairs).get(), products);
}

TEST_F(TestPool, test_map_async) {
  EXPECT_EQ(pool->map_async(sqr, std::views::iota(0L, 10L)).get(), serial(sqr, std::views::iota(0L, 10L)));
}

TEST_F(TestPool, test_map_async_callbacks) {
  std::mutex mutex;
  std::vector<std::string> calls;
  const auto call_count = [&] {
    const std::lock_guard lock(mutex);
    return calls.size();
  };
  const auto record = [&](rp::AsyncResult<std::vector<int>> result) {
    const Failure failure([&] { static_cast<void>(result.get()); });
    const std::lock_guard lock(mutex);
    if (failure) {
      calls.push_back(failure.is<std::invalid_argument>() ? "refused" : "?");
    } else {
      calls.push_back(std::to_string(result.get().at(0)));
    }
  };
  pool->map_async(to_int, std::vector<std::string>{"1"}).on_done(record);
  ASSERT_TRUE(support::eventually([&] { return call_count() == 1; }));
  pool->map_async(to_int, std::vector<std::string>{"a"}).on_done(record);
  ASSERT_TRUE(support::eventually([&] { return call_count() == 2; }));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, (std::vector<std::string>{"1", "refused"})) << "one call for each job";
}

namespace {

struct Unsendable {
  template <class Archive>
  void serialize(Archive&, unsigned) {
    if (Archive::is_saving::value) throw std::runtime_error("cannot be sent");
  }
};

}  // namespace

TEST_F(TestPool, test_map_unplicklable) {
  const auto task = [](const Unsendable&) {};
  const Failure failure([&] { pool->map(task, std::vector<Unsendable>(10)); });
  EXPECT_EQ(failure.what(), "cannot be sent");
  EXPECT_TRUE(failure.is<std::runtime_error>()) << failure;
}

TEST_F(TestPool, test_map_chunksize) {
  EXPECT_TRUE(pool->map_async(sqr, std::vector<long>(), {.chunksize = 1}).get(long_enough).empty());
}

TEST_F(TestPool, test_map_handle_iterable_exception) {
  for (int again = 0; again < 2; ++again) {  // nothing of the first time may stay
    EXPECT_THROW(pool->map(sqr, ThrowingGenerator(1, -1), {.chunksize = 1}), SayWhenError);
    EXPECT_THROW(pool->map(sqr, ThrowingGenerator(10, 3), {.chunksize = 1}), SayWhenError);
    EXPECT_THROW(pool->map(sqr, SpecialIterable(), {.chunksize = 1}), SayWhenError);
  }
  EXPECT_EQ(pool->apply(sqr, 2L), 4);
}

TEST_F(TestPool, test_async) {
  const rp::AsyncResult<long> result = pool->apply_async(sqr_after, 7L, 100ms);
  long value = 0;
  const auto time = support::time_of([&] { value = result.get(); });
  EXPECT_EQ(value, 49);
  EXPECT_LT(time, long_enough);
}

TEST_F(TestPool, test_async_timeout) {
  rp::Pool own(3);
  const rp::AsyncResult<long> result = own.apply_async(sqr_after, 6L, std::chrono::milliseconds(300s));
  const auto time = support::time_of([&] { EXPECT_THROW(result.get(100ms), rp::TimeoutError); });
  EXPECT_GE(time, 100ms);
  EXPECT_LT(time, long_enough);
  own.terminate();
  own.join();
}

TEST_F(TestPool, test_empty_iterable) {
  rp::Pool own(1);
  EXPECT_TRUE(own.map(sqr, std::vector<long>()).empty());
  EXPECT_TRUE(own.map_async(sqr, std::vector<long>()).get().empty());
  EXPECT_TRUE(own.starmap(mul, std::vector<std::pair<long, long>>()).empty());
  own.close();
  own.join();
}

TEST_F(TestPool, test_traceback) {
  // the exception as it was, with the text of where it came from
  rp::Pool own(1);
  const Failure remote([&] { own.apply([] { throw std::runtime_error("123"); }); });
  const auto* const error = remote.as<rp::RemoteError>();
  ASSERT_NE(error, nullptr) << remote;
  EXPECT_STREQ(error->what(), "123");
  EXPECT_EQ(error->type_name(), "std::runtime_error");
  EXPECT_NE(error->trace().find("std::runtime_error: 123"), std::string::npos) << error->trace();
  // what the caller's own iterator throws is not remote
  const Failure local([&] { own.map(sqr, ThrowingGenerator(1, -1), {.chunksize = 1}); });
  EXPECT_TRUE(local.is<SayWhenError>()) << local;
  EXPECT_FALSE(local.is<rp::RemoteInfo>()) << local;
}

TEST_F(TestPool, test_map_no_failfast) {
  const support::Scratch scratch;
  const std::string log = scratch.file("ended");
  const auto raise_large = [](const std::string& file, int nap) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200 * nap));
    support::add_line(file, "ended");
    throw std::invalid_argument(std::string(1024 * 1024, 'x'));
  };
  const Failure failure([&] {
    rp::Pool own(2);
    const Failure of_map([&] { own.map(rp::partial(raise_large, log), std::vector<int>{0, 1}); });
    EXPECT_EQ(support::lines_of(log).size(), 2u) << "all jobs were awaited";
    own.close();
    own.join();
    if (of_map.is<std::invalid_argument>()) throw std::invalid_argument(of_map.what());
  });
  EXPECT_TRUE(failure.is<std::invalid_argument>());
  EXPECT_EQ(failure.what().size(), 1024u * 1024u);
}

namespace {

/// Counts those that are alive in this process.
struct Counted {
  static inline std::atomic<int> alive{0};
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --alive; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};

}  // namespace

TEST_F(TestPool, test_release_task_refs) {
  {
    std::vector<Counted> objects(10);
    static_cast<void>(pool->map([](const Counted& object) { return object; }, objects));
  }
  EXPECT_TRUE(support::eventually([] { return Counted::alive == 0; })) << Counted::alive << " are alive here";
  const auto alive_there = [] { return Counted::alive.load(); };
  EXPECT_TRUE(support::eventually([&] { return pool->apply(alive_there) == 0; })) << "in a worker";
}

namespace {

int raising() { throw std::out_of_range("key"); }

/// Cannot be sent back.
Unsendable unpickleable_result() { return {}; }

}  // namespace

// ---- _TestPoolWorkerErrors

TEST(TestPoolWorkerErrors, test_async_error_callback) {
  rp::Pool pool(2);
  std::atomic<bool> told{false};
  rp::AsyncResult<int> result = pool.apply_async(raising);
  result.on_done([&](rp::AsyncResult<int> done) { told = Failure([&] { done.get(); }).is<std::out_of_range>(); });
  EXPECT_THROW(result.get(), std::out_of_range);
  EXPECT_TRUE(support::eventually([&] { return told.load(); }));
  pool.close();
  pool.join();
}

TEST(TestPoolWorkerErrors, test_unpickleable_result) {
  rp::Pool pool(2);
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> told{false};
    rp::AsyncResult<Unsendable> result = pool.apply_async(unpickleable_result);
    result.on_done([&](const rp::AsyncResult<Unsendable>& done) {
      told = Failure([&] { static_cast<void>(done.get()); }).is<rp::SerializationError>();
    });
    const Failure failure([&] { static_cast<void>(result.get()); });
    EXPECT_TRUE(failure.is<rp::SerializationError>()) << failure;
    EXPECT_TRUE(support::eventually([&] { return told.load(); }, 2s)) << "result " << i;
  }
  pool.close();
  pool.join();
}
