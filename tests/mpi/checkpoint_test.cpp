// MapOptions::checkpoint: what is in the file is not computed again, and what is not of this map is refused.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/inputs.hpp"
#include "../support/scratch.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::square;

namespace {

std::vector<long> numbers(long n) {
  std::vector<long> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0L);
  return all;
}
std::vector<long> squares(long n) {
  std::vector<long> all = numbers(n);
  for (long& x : all) x *= x;
  return all;
}

/// Says that it was run.
long logged(const std::string& log, long x) {
  support::add_line(log, std::to_string(x));
  return x * x;
}
/// The same, and fails for these while the file is there.
long logged_or_fails(const std::string& log, const std::string& obstacle, long x) {
  support::add_line(log, std::to_string(x));
  if (x % 7 == 3 && support::exists(obstacle)) throw std::domain_error("no " + std::to_string(x));
  return x * x;
}
std::string words(long x) { return std::string(static_cast<std::size_t>(x % 40), 'a') + std::to_string(x); }

class Checkpoint : public testing::Test {
 protected:
  rp::MapOptions options() const { return {.checkpoint = file_}; }
  std::set<long> ran() const {
    const auto lines = support::numbers_of(log_);
    const std::set<long> once(lines.begin(), lines.end());
    EXPECT_EQ(once.size(), lines.size()) << "a task ran twice";
    return once;
  }
  void forget_what_ran() { std::filesystem::remove(log_); }
  /// Cuts the file to about this part of it.
  void tear(double part) {
    const auto size = static_cast<double>(std::filesystem::file_size(file_));
    std::filesystem::resize_file(file_, static_cast<std::uintmax_t>(size * part));
  }
  Failure refused(auto call) {
    const std::string before = support::content_of(file_);
    Failure failure(call);
    EXPECT_TRUE(failure.template is<rp::CheckpointError>()) << failure;
    EXPECT_NE(failure.what().find(file_), std::string::npos) << failure;
    EXPECT_EQ(support::content_of(file_), before) << "it is left as it was";
    return failure;
  }
  static bool says(const Failure& failure, const std::string& text) {
    return failure.what().find(text) != std::string::npos;
  }

  support::Scratch scratch_;
  const std::string file_ = scratch_.file("map.journal");
  const std::string log_ = scratch_.file("log");
  rp::Pool pool_;
};

}  // namespace

// ---- what is computed

TEST_F(Checkpoint, of_a_map_that_has_ended_leaves_nothing_to_do) {
  const auto task = rp::partial(logged, log_);
  EXPECT_EQ(pool_.map(task, numbers(300), options()), squares(300));
  EXPECT_EQ(ran().size(), 300u);
  const std::string file = support::content_of(file_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pool_.map(task, numbers(300), options()), squares(300));
  EXPECT_EQ(ran().size(), 300u);
  EXPECT_EQ(support::content_of(file_), file);
  EXPECT_EQ(pool_.insights().submitted, 300u) << "what was in the file is not counted";
}

TEST_F(Checkpoint, of_any_part_of_a_map_leaves_the_rest_to_do) {
  const auto task = rp::partial(logged, log_);
  pool_.map(task, numbers(500), options());
  const std::string whole = support::content_of(file_);
  for (const double part : {0.9, 0.5, 0.1, 0.0}) {
    std::ofstream(file_, std::ios::binary) << whole;
    tear(part);
    forget_what_ran();
    EXPECT_EQ(pool_.map(task, numbers(500), options()), squares(500));
    const auto rest = ran().size();
    EXPECT_NEAR(static_cast<double>(rest), 500 * (1 - part), 120) << "of " << part;
    EXPECT_EQ(pool_.map(task, numbers(500), options()), squares(500));
    EXPECT_EQ(ran().size(), rest);
  }
}

TEST_F(Checkpoint, serves_all_calls_for_the_same_tasks) {
  const auto task = rp::partial(logged, log_);
  pool_.map(task, numbers(200), options());
  EXPECT_EQ(pool_.map_async(task, numbers(200), options()).get(), squares(200));
  EXPECT_EQ(pool_.imap(task, numbers(200), options()).to_vector(), squares(200));
  auto unordered = pool_.imap_unordered(task, numbers(200), options()).to_vector();
  std::sort(unordered.begin(), unordered.end());
  EXPECT_EQ(unordered, squares(200));
  const auto outcomes = pool_.try_map(task, numbers(200), options());
  ASSERT_EQ(outcomes.size(), 200u);
  EXPECT_EQ(outcomes[7].value(), 49);
  EXPECT_EQ(pool_.try_map_async(task, numbers(200), options()).get().size(), 200u);
  rp::ProcessPoolExecutor executor(2);
  EXPECT_EQ(executor.map(task, numbers(200), options()).to_vector(), squares(200));
  EXPECT_EQ(ran().size(), 200u);
}

TEST_F(Checkpoint, of_starmap) {
  std::vector<std::tuple<long, long>> pairs;
  for (long i = 0; i < 100; ++i) pairs.emplace_back(i, i + 1);
  const auto add = [](long a, long b) { return a + b; };
  const auto sums = pool_.starmap(add, pairs, options());
  tear(0.5);
  EXPECT_EQ(pool_.starmap(add, pairs, options()), sums);
  EXPECT_EQ(pool_.starmap_async(add, pairs, options()).get(), sums);
}

TEST_F(Checkpoint, of_results_of_any_size) {
  const auto expected = pool_.map(words, numbers(1000));
  EXPECT_EQ(pool_.map(words, numbers(1000), options()), expected);
  for (int i = 0; i < 3; ++i) {
    tear(0.6);
    EXPECT_EQ(pool_.imap(words, numbers(1000), options()).to_vector(), expected);
  }
  const std::string large = scratch_.file("large.journal");
  const auto block = [](long x) {
    return std::vector<double>(static_cast<std::size_t>(20'000 * x), 0.5 * static_cast<double>(x));
  };
  const auto blocks = pool_.map(block, numbers(12));
  EXPECT_EQ(pool_.map(block, numbers(12), {.checkpoint = large}), blocks);
  std::filesystem::resize_file(large, std::filesystem::file_size(large) / 2);
  EXPECT_EQ(pool_.map(block, numbers(12), {.checkpoint = large}), blocks);
  EXPECT_EQ(pool_.map(block, numbers(12), {.checkpoint = large}), blocks);
}

TEST_F(Checkpoint, of_tasks_that_return_nothing) {
  const auto task = [](const std::string& log, long x) { support::add_line(log, std::to_string(x)); };
  pool_.map(rp::partial(task, log_), numbers(100), options());
  pool_.map(rp::partial(task, log_), numbers(100), options());
  const auto places = pool_.imap(rp::partial(task, log_), numbers(100), options()).to_vector();
  EXPECT_EQ(places.size(), 100u);
  EXPECT_EQ(places.back(), 99u);
  EXPECT_EQ(ran().size(), 100u);
}

TEST_F(Checkpoint, of_an_empty_map) {
  EXPECT_TRUE(pool_.map(square, std::vector<long>(), options()).empty());
  EXPECT_TRUE(pool_.imap(square, std::vector<long>(), options()).to_vector().empty());
  EXPECT_EQ(pool_.map(square, numbers(3), options()), squares(3));
}

TEST_F(Checkpoint, of_a_map_that_grows) {
  const auto task = rp::partial(logged, log_);
  for (const long n : {1L, 2L, 50L, 51L, 400L}) {
    EXPECT_EQ(pool_.map(task, numbers(n), options()), squares(n));
    EXPECT_EQ(ran().size(), static_cast<std::size_t>(n));
  }
}

TEST_F(Checkpoint, keeps_no_errors) {
  const std::string obstacle = scratch_.file("obstacle");
  support::add_line(obstacle, "");
  const auto task = rp::partial(logged_or_fails, log_, obstacle);
  const Failure failure([&] { pool_.map(task, numbers(100), options()); });
  EXPECT_TRUE(failure.is<std::domain_error>()) << failure;
  EXPECT_EQ(failure.what(), "no 3");
  EXPECT_EQ(ran().size(), 100u);
  forget_what_ran();
  const auto outcomes = pool_.try_map(task, numbers(100), options());
  EXPECT_EQ(ran().size(), 14u);
  EXPECT_EQ(outcomes[10].message(), "no 10");
  EXPECT_EQ(outcomes[11].value(), 121);
  std::filesystem::remove(obstacle);
  forget_what_ran();
  EXPECT_EQ(pool_.map(task, numbers(100), options()), squares(100));
  EXPECT_EQ(ran().size(), 14u);
}

TEST_F(Checkpoint, of_tasks_here_and_there) {
  const std::string obstacle = scratch_.file("obstacle");
  const auto task = [](const std::string& file, long x) {
    if (x % 2 == 1 && support::exists(file)) throw std::range_error("odd");
    return x * x;
  };
  support::add_line(obstacle, "");
  pool_.try_map(rp::partial(task, obstacle), numbers(20'000), options());
  std::filesystem::remove(obstacle);
  const auto before = pool_.insights().submitted;
  EXPECT_EQ(pool_.map(rp::partial(task, obstacle), numbers(20'000), options()), squares(20'000));
  EXPECT_EQ(pool_.insights().submitted - before, 10'000u);
  EXPECT_EQ(pool_.imap(rp::partial(task, obstacle), numbers(20'000), options()).to_vector(), squares(20'000));
  EXPECT_EQ(pool_.insights().submitted - before, 10'000u);
}

TEST_F(Checkpoint, keeps_nothing_of_lost_tasks) {
  const auto task = [](const std::string& log, long x) {
    support::add_line(log, std::to_string(x));
    if (x == 5 && support::numbers_of(log).size() < 1000) support::die(support::Death::kill);
    return x;
  };
  EXPECT_THROW(pool_.map(rp::partial(task, log_), numbers(20), {.chunksize = 1, .checkpoint = file_}), rp::WorkerLost);
  forget_what_ran();
  const auto outcomes = pool_.try_map(rp::partial(task, log_), numbers(20), {.chunksize = 1, .checkpoint = file_});
  EXPECT_EQ(ran(), std::set<long>{5});
  EXPECT_FALSE(outcomes[5].ok());
  EXPECT_TRUE(outcomes[6].ok());
}

TEST_F(Checkpoint, tasks_keep_their_index_and_their_random_numbers) {
  const auto task = [](long) { return std::pair(rp::this_task().index, rp::task_rng()()); };
  const auto expected = pool_.map(task, numbers(300));
  EXPECT_EQ(pool_.map(task, numbers(300), options()), expected);
  for (int i = 0; i < 4; ++i) {
    tear(0.7);
    EXPECT_EQ(pool_.map(task, numbers(300), {.chunksize = 1u + 10u * static_cast<std::size_t>(i), .checkpoint = file_}),
              expected);
  }
  tear(0.7);
  const auto fails = [](long) -> std::pair<std::size_t, std::uint64_t> {
    throw std::range_error(std::to_string(rp::this_task().index));
  };
  const Failure failure([&] { pool_.map(fails, numbers(9), {.checkpoint = scratch_.file("other")}); });
  ASSERT_TRUE(failure.is<rp::RemoteInfo>()) << failure;
  EXPECT_EQ(failure.as<rp::RemoteInfo>()->task_index(), 0u);
}

// ---- streams

TEST_F(Checkpoint, of_an_endless_input) {
  const auto task = rp::partial(logged, log_);
  for (const long n : {100L, 250L, 90L}) {
    support::Generator input;
    rp::MapOptions few = options();
    few.buffersize = 8;
    auto results = pool_.imap(task, input, few);
    for (long i = 0; i < n; ++i) {
      ASSERT_EQ(results.next(), i * i);
      ASSERT_LE(*input.drawn(), i + 1 + 9);
    }
  }
  // some that were under way when a stream was dropped are run again
  EXPECT_LE(support::numbers_of(log_).size(), 290u);
}

TEST_F(Checkpoint, of_other_items_ends_a_stream_behind_what_was_right) {
  pool_.map(square, numbers(100), options());
  std::vector<long> other = numbers(100);
  other[60] = -1;
  auto results = pool_.imap(square, other, {.buffersize = 4, .checkpoint = file_});
  std::vector<long> seen;
  const Failure failure = refused([&] {
    for (const long result : results) seen.push_back(result);
  });
  EXPECT_TRUE(says(failure, "item 60 of the input")) << failure;
  EXPECT_GE(seen.size(), 50u);
  EXPECT_EQ(seen, squares(static_cast<long>(seen.size())));
  EXPECT_EQ(results.next(), std::nullopt);
}

TEST_F(Checkpoint, can_be_used_again_when_a_stream_is_dropped) {
  const auto task = rp::partial(logged, log_);
  {
    auto results = pool_.imap(task, numbers(1000), {.buffersize = 4, .checkpoint = file_});
    EXPECT_EQ(results.next(), 0);
  }
  EXPECT_EQ(pool_.map(task, numbers(30), options()), squares(30));
}

TEST_F(Checkpoint, is_written_while_nobody_waits) {
  const auto result = pool_.map_async(square, numbers(1000), options());
  const auto size = [&] { return std::filesystem::file_size(file_); };
  EXPECT_TRUE(support::eventually([&] { return size() >= 1000 * 16; })) << size();
  EXPECT_EQ(result.get(), squares(1000));

  const std::string slow = scratch_.file("slow.journal");
  auto results = pool_.imap(square, numbers(1000), {.buffersize = 10, .checkpoint = slow});
  EXPECT_TRUE(support::eventually([&] { return std::filesystem::file_size(slow) >= 48 + 10 * 16; }))
      << "of the results that are under way";
  EXPECT_EQ(results.to_vector(), squares(1000));
}

TEST_F(Checkpoint, has_what_came_before_the_pool_was_terminated) {
  {
    rp::Pool pool(2);
    const auto result = pool.map_async(rp::partial(logged, log_), numbers(100'000), options());
    EXPECT_TRUE(support::eventually([&] { return std::filesystem::file_size(file_) > 3000; }));
    pool.terminate();
    EXPECT_THROW(result.get(), rp::CancelledError);
  }
  forget_what_ran();
  EXPECT_EQ(pool_.map(rp::partial(logged, log_), numbers(100'000), options()).back(), 99'999L * 99'999L);
  EXPECT_LT(ran().size(), 100'000u);
}

// ---- what is refused

TEST_F(Checkpoint, of_another_function_is_refused) {
  pool_.map(square, numbers(10), options());
  EXPECT_TRUE(says(refused([&] { pool_.map(support::sqr, numbers(10), options()); }), "another function"));
  EXPECT_TRUE(says(refused([&] { pool_.map(words, numbers(10), options()); }), "another function"));
  EXPECT_TRUE(says(refused([&] { pool_.map(square, std::vector<int>(10), options()); }), "another function"));
  EXPECT_TRUE(says(refused([&] { static_cast<void>(pool_.imap(words, numbers(10), options())); }), "another function"));
}

TEST_F(Checkpoint, of_other_data_is_refused) {
  const auto times = [](long factor, long x) { return factor * x; };
  pool_.map(rp::partial(times, 3L), numbers(10), options());
  EXPECT_TRUE(says(refused([&] { pool_.map(rp::partial(times, 4L), numbers(10), options()); }), "other data"));
  EXPECT_EQ(pool_.map(rp::partial(times, 3L), numbers(10), options())[4], 12);
}

TEST_F(Checkpoint, of_other_items_is_refused) {
  pool_.map(square, numbers(100), options());
  std::vector<long> other = numbers(100);
  other[99] = 7;
  EXPECT_TRUE(says(refused([&] { pool_.map(square, other, options()); }), "item 99 of the input"));
  EXPECT_TRUE(says(refused([&] { pool_.map_async(square, other, options()); }), "item 99 of the input"));
  const Failure fewer = refused([&] { pool_.map(square, numbers(99), options()); });
  EXPECT_TRUE(says(fewer, "the result of task 99, and the input has only 99 items")) << fewer;
  EXPECT_TRUE(says(refused([&] { pool_.imap(square, numbers(99), options()).to_vector(); }), "has only 99 items"));
  EXPECT_EQ(pool_.map(square, numbers(100), options()), squares(100));
}

TEST_F(Checkpoint, is_not_spoilt_by_a_map_of_other_items) {
  pool_.map(square, numbers(2000), options());
  tear(0.5);
  std::vector<long> other = numbers(2000);
  for (long& x : other) x += 1'000'000;
  // its first items may be unknown, so that they are computed before it shows that they are others
  EXPECT_THROW(pool_.map(square, other, options()), rp::CheckpointError);
  EXPECT_EQ(pool_.map(square, numbers(2000), options()), squares(2000));
}

TEST_F(Checkpoint, damaged_in_the_middle_is_refused) {
  pool_.map(square, numbers(1000), {.chunksize = 10, .checkpoint = file_});
  std::string bytes = support::content_of(file_);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  std::ofstream(file_, std::ios::binary) << bytes;
  EXPECT_TRUE(says(refused([&] { pool_.map(square, numbers(1000), options()); }), "it is damaged"));
}

TEST_F(Checkpoint, that_is_none_is_left_alone) {
  std::ofstream(file_) << "my thesis";
  EXPECT_TRUE(says(refused([&] { pool_.map(square, numbers(10), options()); }), "no checkpoint of rankpool"));
  EXPECT_THROW(pool_.map(square, numbers(10), {.checkpoint = scratch_.file("")}), rp::CheckpointError);
  EXPECT_THROW(pool_.map(square, numbers(10), {.checkpoint = scratch_.file("a/b")}), rp::CheckpointError);
}

TEST_F(Checkpoint, in_use_is_refused) {
  auto first = pool_.imap(square, numbers(1000), {.buffersize = 2, .checkpoint = file_});
  EXPECT_EQ(first.next(), 0);
  const Failure failure([&] { pool_.map(square, numbers(10), options()); });
  EXPECT_TRUE(failure.is<rp::CheckpointError>()) << failure;
  EXPECT_TRUE(says(failure, "in use")) << failure;
  EXPECT_EQ(first.to_vector().size(), 999u);
  EXPECT_EQ(pool_.map(square, numbers(1000), options()), squares(1000));
}

TEST_F(Checkpoint, is_not_for_map_reduce) {
  const Failure failure([&] { pool_.map_reduce(square, std::plus<>(), numbers(10), 0L, options()); });
  EXPECT_TRUE(failure.is<std::invalid_argument>()) << failure;
  EXPECT_TRUE(says(failure, "use map or imap")) << failure;
  EXPECT_THROW(pool_.map_reduce_async(square, std::plus<>(), numbers(10), 0L, options()), std::invalid_argument);
  EXPECT_FALSE(support::exists(file_));
}

TEST_F(Checkpoint, an_input_that_throws_loses_nothing) {
  const auto task = rp::partial(logged, log_);
  EXPECT_THROW(pool_.map(task, support::Generator(100'000, 90'000), options()), support::SayWhenError);
  forget_what_ran();
  EXPECT_EQ(pool_.map(task, numbers(200), options()).size(), 200u);
}

// ---- values and handles

namespace {

struct Padded {
  char c;
  double d;
};
/// On memory that is not zero.
Padded padded(char c, double d) {
  Padded value;
  std::memset(static_cast<void*>(&value), ::getpid() + static_cast<int>(d) % 90, sizeof value);
  static volatile unsigned char noise = 0;
  noise = static_cast<unsigned char>(noise + 1);
  std::memset(static_cast<void*>(&value), noise, sizeof value);
  value.c = c;
  value.d = d;
  return value;
}

}  // namespace

TEST_F(Checkpoint, does_not_mind_what_lies_between_members) {
  const auto items = [] {
    std::vector<Padded> all;
    for (int i = 0; i < 50; ++i) all.push_back(padded('x', i));
    return all;
  };
  const auto nested = [&] { return std::vector<std::vector<Padded>>(20, items()); };
  const auto lists = [&] { return std::deque<std::tuple<int, std::vector<Padded>>>(20, {1, items()}); };
  const auto weigh = [](const Padded& bound, Padded x) { return bound.d + x.d; };
  const auto sum = [](const std::vector<Padded>& all) {
    return std::accumulate(all.begin(), all.end(), 0.0, [](double s, const Padded& x) { return s + x.d; });
  };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(pool_.map(rp::partial(weigh, padded('y', 2)), items(), options())[9], 11);
    EXPECT_EQ(pool_.map(sum, nested(), {.checkpoint = scratch_.file("nested")})[9], 1225);
    EXPECT_EQ(pool_.starmap([](int, const std::vector<Padded>& all) { return all.size(); }, lists(),
                            {.checkpoint = scratch_.file("lists")})[9],
              50u);
    const auto imapped = pool_.imap(rp::partial(weigh, padded('y', 2)), items(), options()).to_vector();
    EXPECT_EQ(imapped[9], 11);
    const Padded captured = padded('z', 3);
    EXPECT_EQ(pool_.map([captured](long x) { return captured.d * static_cast<double>(x); }, numbers(10),
                        {.checkpoint = scratch_.file("captured")})[2],
              6);
  }
}

TEST_F(Checkpoint, knows_the_value_of_what_is_shared) {
  const auto look_up = [](const rp::Shared<std::vector<long>>& table, long i) {
    return table.get()[static_cast<std::size_t>(i)];
  };
  const auto run = [&](long factor) {
    std::vector<long> table = numbers(100);
    for (long& x : table) x *= factor;
    const auto shared = pool_.share(table);
    return pool_.map(rp::partial(look_up, shared), numbers(100), {.checkpoint = file_});
  };
  EXPECT_EQ(run(2)[50], 100);
  const Failure failure([&] { run(3); });
  EXPECT_TRUE(failure.is<rp::CheckpointError>()) << failure;
}

TEST_F(Checkpoint, has_no_handles_in_items_or_results) {
  rp::Queue<long> queue;
  const auto put = [](rp::Queue<long> to) { to.put(1); };
  const Failure items([&] { pool_.map(put, std::vector<rp::Queue<long>>{queue}, options()); });
  EXPECT_TRUE(items.is<std::invalid_argument>()) << items;
  const auto make = [](long) { return rp::Queue<long>(); };
  const Failure results([&] { pool_.map(make, numbers(3), {.checkpoint = scratch_.file("queues")}); });
  EXPECT_TRUE(results.is<rp::SerializationError>()) << results;
  EXPECT_TRUE(says(results, "cannot keep handles")) << results;
  const auto bound = [](const rp::Queue<long>& to, long x) {
    to.put(x);
    return x;
  };
  EXPECT_EQ(pool_.map(rp::partial(bound, queue), numbers(10), {.checkpoint = scratch_.file("bound")}), numbers(10));
  EXPECT_EQ(queue.qsize(), 10u);
}

// ---- a disk that is full

TEST_F(Checkpoint, that_cannot_be_written_ends_the_map) {
  // Other files of this process are smaller than its largest file may be now.
  struct Limit {
    explicit Limit(rlim_t bytes) {
      ::getrlimit(RLIMIT_FSIZE, &before);
      const rlimit now{bytes, before.rlim_max};
      ::setrlimit(RLIMIT_FSIZE, &now);
      handler = ::signal(SIGXFSZ, SIG_IGN);
    }
    ~Limit() {
      ::setrlimit(RLIMIT_FSIZE, &before);
      ::signal(SIGXFSZ, handler);
    }
    rlimit before{};
    void (*handler)(int) = nullptr;
  };
  const auto block = [](long x) { return std::string(10'000, static_cast<char>('a' + x % 26)); };
  const auto expected = pool_.map(block, numbers(1000));
  {
    const Limit limit(4'000'000);
    const Failure failure([&] { pool_.map(block, numbers(1000), {.chunksize = 1, .checkpoint = file_}); });
    ASSERT_TRUE(failure.is<rp::CheckpointError>()) << failure;
    EXPECT_TRUE(says(failure, "it cannot be written: File too large; it has the results of ")) << failure;
    EXPECT_GT(std::filesystem::file_size(file_), 1'000'000u);
    auto results = pool_.imap(block, numbers(1000), {.chunksize = 1, .checkpoint = file_});
    std::vector<std::string> seen;
    const Failure stream([&] {
      for (const std::string& result : results) seen.push_back(result);
    });
    EXPECT_TRUE(stream.is<rp::CheckpointError>()) << stream;
    EXPECT_EQ(results.next(), std::nullopt);
  }
  EXPECT_EQ(pool_.map(block, numbers(1000), options()), expected);
  EXPECT_LT(pool_.insights().done, 3000u) << "what was written was not computed again";
}
