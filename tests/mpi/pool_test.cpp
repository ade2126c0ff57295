// The life of a pool: its workers, its end, several pools at once, and pools inside of tasks.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <numeric>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::long_enough;
using support::sleep_for_ever;
using support::square;

namespace {

std::vector<long> squares(rp::Pool& pool, long n) { return pool.map(square, std::views::iota(0L, n)); }
std::vector<long> expected_squares(long n) {
  std::vector<long> all;
  for (long i = 0; i < n; ++i) all.push_back(i * i);
  return all;
}

}  // namespace

// ---- workers

TEST(PoolWorkers, as_many_as_slots) {
  rp::Pool pool;
  EXPECT_EQ(pool.processes(), rp::slot_count());
  rp::Pool by_options(rp::PoolOptions{});
  EXPECT_EQ(by_options.processes(), rp::slot_count());
}

TEST(PoolWorkers, as_many_as_asked_for) {
  for (const int n : {1, 2, 5}) {
    rp::Pool pool(n);
    EXPECT_EQ(pool.processes(), n);
    const std::set<int> pids = support::worker_pids(pool);
    EXPECT_EQ(pids.size(), static_cast<std::size_t>(n)) << "each of them works, and nobody else";
    EXPECT_FALSE(pids.contains(::getpid())) << "tasks run in processes of their own";
  }
  EXPECT_EQ(rp::Pool(rp::PoolOptions{.processes = 3}).processes(), 3);
}

TEST(PoolWorkers, are_spread_over_the_ranks) {
  const int ranks = rp::rank_count();
  rp::Pool pool(2 * ranks);
  std::map<int, std::set<int>> pids;  // of each rank
  support::eventually([&] {
    const auto where = [](int) {
      ::usleep(2000);
      return std::pair(rp::rank(), static_cast<int>(::getpid()));
    };
    std::size_t seen = 0;
    for (const auto& [rank, pid] :
         pool.map(where, std::vector<int>(static_cast<std::size_t>(4 * ranks)), {.chunksize = 1}))
      pids[rank].insert(pid);
    for (const auto& [rank, of_rank] : pids) seen += of_rank.size();
    return seen >= static_cast<std::size_t>(2 * ranks);
  });
  for (int rank = 1; rank < ranks; ++rank) EXPECT_GE(pids[rank].size(), 2u) << "rank " << rank;
}

TEST(PoolWorkers, refuses_numbers_without_sense) {
  EXPECT_THROW(rp::Pool(0), std::invalid_argument);
  EXPECT_THROW(rp::Pool(-1), std::invalid_argument);
  EXPECT_THROW(rp::Pool(rp::PoolOptions{.processes = 0}), std::invalid_argument);
  EXPECT_THROW(rp::Pool(rp::PoolOptions{.processes = 1, .retries = -1}), std::invalid_argument);
}

TEST(PoolWorkers, keep_their_processes_from_map_to_map) {
  rp::Pool pool(3);
  const std::set<int> first = support::worker_pids(pool);
  squares(pool, 1000);
  EXPECT_EQ(support::worker_pids(pool), first);
}

// ---- close, terminate, join

TEST(PoolEnd, use_after_close) {
  rp::Pool pool(2);
  const rp::AsyncResult<std::vector<long>> pending = pool.map_async(square, std::views::iota(0L, 100L));
  pool.close();
  pool.close();
  for (const Failure& failure :
       {Failure([&] { pool.map(square, std::vector<long>{1}); }),
        Failure([&] { pool.map_async(square, std::vector<long>()); }), Failure([&] {
          pool.starmap(std::plus<>(), std::vector<std::pair<int, int>>{{1, 2}});
        }),
        Failure([&] { pool.apply(square, 1L); }), Failure([&] { pool.apply_async(square, 1L); })}) {
    EXPECT_TRUE(failure.is<rp::PoolClosed>()) << failure;
    EXPECT_NE(failure.what().find("closed"), std::string::npos) << failure;
  }
  EXPECT_EQ(pending.get(), expected_squares(100)) << "what was submitted still runs";
  pool.join();
  pool.join();
  pool.close();
}

TEST(PoolEnd, use_after_terminate) {
  rp::Pool pool(2);
  pool.terminate();
  pool.terminate();
  pool.close();
  EXPECT_THROW(pool.map(square, std::vector<long>{1}), rp::PoolClosed);
  EXPECT_THROW(pool.apply_async(square, 1L), rp::PoolClosed);
  pool.join();
  pool.terminate();
  EXPECT_TRUE(pool.join_for(0s));
}

TEST(PoolEnd, join_needs_close_or_terminate) {
  rp::Pool pool(1);
  EXPECT_THROW(pool.join(), std::logic_error);
  EXPECT_THROW(pool.join_for(1s), std::logic_error);
  EXPECT_EQ(pool.apply(square, 4L), 16) << "the pool goes on";
}

TEST(PoolEnd, join_waits_for_the_workers) {
  rp::Pool pool(3);
  const std::set<int> pids = support::worker_pids(pool);
  pool.close();
  pool.join();
  for (const int pid : pids) EXPECT_TRUE(support::is_dead(pid)) << pid;
}

TEST(PoolEnd, join_for_gives_up) {
  const support::Scratch scratch;
  const std::string gate = scratch.file("gate");
  rp::Pool pool(2);
  const rp::AsyncResult<void> held = pool.apply_async(support::wait_for_file, gate);
  pool.close();
  EXPECT_FALSE(pool.join_for(0s));
  EXPECT_FALSE(pool.join_for(-1s));
  EXPECT_FALSE(pool.join_for(20ms));
  support::add_line(gate, "open");
  EXPECT_TRUE(pool.join_for(long_enough));
  EXPECT_TRUE(held.successful());
}

TEST(PoolEnd, terminate_is_prompt_and_cancels_what_is_outstanding) {
  rp::Pool pool(3);
  const rp::AsyncResult<void> many = pool.map_async(sleep_for_ever, std::vector<int>(10000), {.chunksize = 1});
  const rp::AsyncResult<void> one = pool.apply_async(sleep_for_ever, 1);
  const rp::AsyncResult<long> ended = pool.apply_async(square, 2L);
  std::this_thread::sleep_for(50ms);
  std::atomic<bool> told{false};
  std::thread waiting([&] { told = Failure([&] { many.get(); }).is<rp::CancelledError>(); });
  const auto time = support::time_of([&] {
    pool.terminate();
    waiting.join();
    pool.join();
  });
  EXPECT_LT(time, long_enough);
  EXPECT_TRUE(told) << "a thread that was waiting";
  for (int again = 0; again < 2; ++again) {
    EXPECT_THROW(many.get(), rp::CancelledError);
    EXPECT_THROW(one.get(0s), rp::CancelledError);
    EXPECT_THROW(ended.get(), rp::CancelledError) << "its turn never came";
  }
}

TEST(PoolEnd, terminate_keeps_results_that_have_come) {
  rp::Pool pool(2);
  const rp::AsyncResult<std::vector<long>> done = pool.map_async(square, std::views::iota(0L, 10L));
  done.wait();
  pool.terminate();
  pool.join();
  EXPECT_EQ(done.get(), expected_squares(10));
}

TEST(PoolEnd, terminate_from_another_thread_wakes_map) {
  rp::Pool pool(2);
  std::thread other([&] {
    std::this_thread::sleep_for(50ms);
    pool.terminate();
  });
  EXPECT_THROW(pool.map(sleep_for_ever, std::vector<int>(10)), rp::CancelledError);
  other.join();
}

TEST(PoolEnd, terminate_tells_callbacks) {
  std::atomic<bool> told{false};
  rp::Pool pool(1);
  rp::AsyncResult<void> pending = pool.apply_async(sleep_for_ever, 1);
  pending.on_done([&](rp::AsyncResult<void> done) { told = Failure([&] { done.get(); }).is<rp::CancelledError>(); });
  pool.terminate();
  EXPECT_TRUE(support::eventually([&] { return told.load(); }));
}

TEST(PoolEnd, the_destructor_drains) {
  const support::Scratch scratch;
  const std::string log = scratch.file("log");
  {
    rp::Pool pool(2);
    const auto report = [](const std::string& file, int i) {
      std::this_thread::sleep_for(1ms);
      support::add_line(file, std::to_string(i));
    };
    pool.map_async(rp::partial(report, log), std::views::iota(0, 60), {.chunksize = 1});
  }
  EXPECT_EQ(support::lines_of(log).size(), 60u);
}

TEST(PoolEnd, the_destructor_terminates_while_an_exception_unwinds) {
  std::unique_ptr<rp::AsyncResult<void>> outstanding;
  const auto time = support::time_of([&] {
    const Failure failure([&] {
      rp::Pool pool(2);
      outstanding = std::make_unique<rp::AsyncResult<void>>(pool.map_async(sleep_for_ever, std::vector<int>(1000)));
      throw std::runtime_error("something else");
    });
    EXPECT_EQ(failure.what(), "something else");
  });
  EXPECT_LT(time, long_enough);
  EXPECT_THROW(outstanding->get(), rp::CancelledError);
}

TEST(PoolEnd, a_pool_made_while_an_exception_unwinds_still_drains) {
  struct Farewell {
    ~Farewell() {
      rp::Pool pool(1);
      *last = std::make_unique<rp::AsyncResult<long>>(pool.apply_async(square, 6L));
    }
    std::unique_ptr<rp::AsyncResult<long>>* last;
  };
  std::unique_ptr<rp::AsyncResult<long>> last;
  const Failure failure([&] {
    const Farewell farewell{&last};
    throw std::runtime_error("on the way out");
  });
  EXPECT_EQ(last->get(), 36);
}

TEST(PoolEnd, pools_leave_nothing_behind) {
  {
    rp::Pool warm_up(2);
    squares(warm_up, 10);
  }
  const std::set<int> processes_before = support::job_processes();
  const std::size_t descriptors_before = support::open_descriptors();
  for (int i = 0; i < 50; ++i) {
    rp::Pool pool(2);
    ASSERT_EQ(squares(pool, 20), expected_squares(20));
    if (i % 3 == 1) pool.terminate();
  }
  EXPECT_TRUE(support::eventually([&] { return support::job_processes() == processes_before; }))
      << processes_before.size() << " processes before, " << support::job_processes().size() << " after";
  EXPECT_LE(support::open_descriptors(), descriptors_before);
}

TEST(PoolEnd, unused_pools_go_at_once) {
  const auto time = support::time_of([] {
    for (int i = 0; i < 20; ++i) rp::Pool pool(2);
  });
  EXPECT_LT(time, long_enough);
}

// ---- several at once

TEST(PoolCrowd, several_pools) {
  rp::Pool first(1);
  rp::Pool second(2);
  auto third = std::make_unique<rp::Pool>(3);
  const auto of_first = first.map_async(square, std::views::iota(0L, 500L));
  const auto of_second = second.map_async(square, std::views::iota(0L, 700L));
  const auto of_third = third->map_async(square, std::views::iota(0L, 900L));
  EXPECT_EQ(of_third.get(), expected_squares(900));
  third.reset();
  EXPECT_EQ(of_first.get(), expected_squares(500));
  EXPECT_EQ(of_second.get(), expected_squares(700));
  second.terminate();
  EXPECT_EQ(squares(first, 10), expected_squares(10));
  EXPECT_TRUE(support::worker_pids(first) != support::worker_pids(*std::make_unique<rp::Pool>(1)));
}

TEST(PoolCrowd, one_pool_from_several_threads) {
  rp::Pool pool;
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (long t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (long i = 0; i < 25; ++i) {
        const auto cube = [t](long x) { return t * x; };
        const std::vector<long> results = pool.map(cube, std::views::iota(0L, 10 * i));
        bool same = results.size() == static_cast<std::size_t>(10 * i);
        for (long x = 0; same && x < 10 * i; ++x) same = results[static_cast<std::size_t>(x)] == t * x;
        if (same && pool.apply(square, i) == i * i) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

TEST(PoolCrowd, a_pool_in_every_thread) {
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) {
        rp::Pool pool(2);
        if (squares(pool, 30) == expected_squares(30)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 12);
}

// ---- inside of tasks

namespace {

long sum_of_squares(long n) {
  rp::Pool pool(2);
  const std::vector<long> all = squares(pool, n);
  return std::accumulate(all.begin(), all.end(), 0L);
}

/// Adds 1 for each process of a tree of pools.
long tree_of_pools(int depth) {
  if (depth == 0) return 1;
  rp::Pool pool(2);
  const std::vector<long> below = pool.map(tree_of_pools, std::vector<int>{depth - 1, depth - 1});
  return 1 + std::accumulate(below.begin(), below.end(), 0L);
}

}  // namespace

TEST(PoolInTask, maps) {
  rp::Pool pool(2);
  EXPECT_EQ(pool.map(sum_of_squares, std::vector<long>{3, 4, 5, 6}), (std::vector<long>{5, 14, 30, 55}));
}

TEST(PoolInTask, to_any_depth) { EXPECT_EQ(tree_of_pools(3), 15); }

TEST(PoolInTask, tells_errors_upwards) {
  rp::Pool pool(1);
  const auto outer = [](int) {
    rp::Pool inner(1);
    return inner.apply(
        [](int i) {
          if (i == 1) throw std::out_of_range("deep down");
          return i;
        },
        1);
  };
  const Failure failure([&] { pool.map(outer, std::vector<int>{0}); });
  ASSERT_TRUE(failure.is<std::out_of_range>()) << failure;
  EXPECT_EQ(failure.what(), "deep down");
  EXPECT_EQ(pool.apply(sum_of_squares, 3L), 5) << "the pool goes on";
}

TEST(PoolInTask, ends_with_a_worker_that_is_killed) {
  const support::Scratch scratch;
  const std::string log = scratch.file("pids");
  {
    rp::Pool pool(1);
    const auto outer = [](const std::string& file) {
      rp::Pool inner(2);
      const auto nap = [](const std::string& to, int) {
        support::add_line(to, std::to_string(::getpid()));
        sleep_for_ever(0);
      };
      inner.map(rp::partial(nap, file), std::vector<int>(4), {.chunksize = 1});
    };
    const rp::AsyncResult<void> pending = pool.apply_async(outer, log);
    ASSERT_TRUE(support::eventually([&] { return support::lines_of(log).size() >= 2; }))
        << "the inner workers never began";
    const auto time = support::time_of([&] {
      pool.terminate();
      pool.join();
    });
    EXPECT_LT(time, long_enough);
  }
  for (const long pid : support::numbers_of(log))
    EXPECT_TRUE(support::eventually([pid] { return support::is_dead(static_cast<int>(pid)); }))
        << "worker " << pid << " of the inner pool";
}

// ---- output

namespace {

const support::SmallProgram prints("prints", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(4);
    const auto talk = [](int i) {
      std::printf("%s", "printf ");
      std::printf("%d ", i);
      std::printf("%s\n", std::string(300, 'p').c_str());
      std::cout << "cout " << i << ' ';
      std::cout << std::string(300, 'c') << '\n';
      std::cout << "half a line of " << i;  // flushed at the end of the task all the same
      std::fprintf(stderr, "stderr %d\n", i);
      std::printf("\n");
      return i;
    };
    for (const int i : pool.map(talk, std::views::iota(0, 200), {.chunksize = 5})) static_cast<void>(i);
    std::printf("all mapped\n");
    std::fflush(stdout);
    for (int i = 200; i < 220; ++i) {
      std::printf("result %d\n", pool.apply(talk, i));
      std::fflush(stdout);
    }
  });
});

const support::SmallProgram reads_input("reads_input", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(2);
    const auto read = [](int) {
      std::string word;
      std::cin >> word;
      return word + (std::getchar() == EOF ? " end" : " more");
    };
    for (const std::string& word : pool.map(read, std::vector<int>(4))) std::cout << "task:" << word << '\n';
    std::string word;
    std::cin >> word;
    std::cout << "program: " << word << '\n';
  });
});

}  // namespace

TEST(PoolOutput, lines_come_whole_and_before_the_result) {
  const support::Ended ended = support::start("prints");
  ASSERT_EQ(ended.status, 0) << ended.err;
  std::istringstream out(ended.out);
  std::multiset<std::string> lines;
  std::set<int> finished;
  std::size_t before_result = 0;
  for (std::string line; std::getline(out, line);) {
    if (line == "all mapped") before_result = lines.size();
    if (line.rfind("result ", 0) == 0) {
      const std::string number = line.substr(7);
      EXPECT_TRUE(lines.contains("cout " + number + ' ' + std::string(300, 'c')))
          << "result " << number << " overtook what its task printed";
      EXPECT_TRUE(lines.contains("half a line of " + number)) << number;
    } else {
      lines.insert(line);
    }
  }
  EXPECT_EQ(before_result, 600u) << "the map overtook what its tasks printed";
  for (int i = 0; i < 220; ++i) {
    const std::string number = std::to_string(i);
    EXPECT_EQ(lines.count("printf " + number + ' ' + std::string(300, 'p')), 1u) << number;
    EXPECT_EQ(lines.count("cout " + number + ' ' + std::string(300, 'c')), 1u) << number;
    EXPECT_NE(("\n" + ended.err).find("\nstderr " + number + "\n"), std::string::npos) << number;
  }
}

TEST(PoolOutput, the_input_of_tasks_is_empty) {
  const support::Ended ended = support::start("reads_input", {.input = "hello world\n"});
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_EQ(ended.out, "task: end\ntask: end\ntask: end\ntask: end\nprogram: hello\n");
}
