// The cases of CPython 3.13's _TestBarrier (Lib/test/_test_multiprocessing.py), under their names; the tasks of a pool
// are the processes, and the lists that they fill are rankpool's.
//
// On purpose other than there: a barrier has no `action`, whoever is given 0 does it; nor a default timeout.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

constexpr int N = 5;

using Marks = rp::List<int>;

/// What CPython's functions are given.
struct Given {
  rp::Barrier barrier{N};
  rp::Barrier barrier2{N};
  std::vector<Marks> results;

  Given() {
    const rp::Manager manager;
    for (int i = 0; i < 3; ++i) results.push_back(manager.list<int>());
  }
};
using Arguments = std::tuple<rp::Barrier, rp::Barrier, std::vector<Marks>>;

class TestBarrier : public testing::Test {
 protected:
  template <class F>
  void run_threads(F f) {
    for (const std::string& error :
         pool.map(f, std::vector<Arguments>(N, {given.barrier, given.barrier2, given.results}), {.chunksize = 1}))
      EXPECT_EQ(error, "");
  }
  std::size_t marks(std::size_t list) { return given.results[list].size(); }

  rp::Pool pool{N};
  Given given;
};

std::string multipass(Arguments given, int n) {
  auto& [barrier, unused, results] = given;
  for (int i = 0; i < n; ++i) {
    results[0].append(1);
    if (results[1].size() != static_cast<std::size_t>(i) * N) return "somebody went on before all had come";
    barrier.wait_for(support::long_enough);
    results[1].append(1);
    if (results[0].size() != static_cast<std::size_t>(i + 1) * N) return "somebody was lapped";
    barrier.wait_for(support::long_enough);
  }
  if (barrier.n_waiting() != 0) return "somebody still waits";
  if (barrier.broken()) return "it is broken";
  return "";
}

TEST_F(TestBarrier, test_barrier) {
  run_threads([](Arguments all) { return multipass(std::move(all), 1); });
}

TEST_F(TestBarrier, test_barrier_10) {
  run_threads([](Arguments all) { return multipass(std::move(all), 10); });
}

std::string wait_return_f(Arguments given) {
  auto& [barrier, unused, results] = given;
  results[0].append(barrier.wait());
  return "";
}

TEST_F(TestBarrier, test_wait_return) {
  run_threads(wait_return_f);
  const std::vector<int> places = given.results[0].to_vector();
  EXPECT_EQ(std::count(places.begin(), places.end(), 0), 1);
  EXPECT_FALSE(given.barrier.broken());
}

std::string action_f(Arguments given) {
  auto& [barrier, unused, results] = given;
  if (barrier.wait() == 0) results[0].append(1);
  barrier.wait();
  return results[0].size() == 1 ? "" : "the action did not run once";
}

TEST_F(TestBarrier, test_action) { run_threads(action_f); }

std::string abort_f(Arguments given) {
  auto& [barrier, unused, results] = given;
  try {
    if (barrier.wait() == N / 2) throw std::runtime_error("abort");
    barrier.wait();
    results[0].append(1);
  } catch (const rp::BrokenBarrier&) {
    results[1].append(1);
  } catch (const std::runtime_error&) {
    barrier.abort();
  }
  return "";
}

TEST_F(TestBarrier, test_abort) {
  run_threads(abort_f);
  EXPECT_EQ(marks(0), 0u);
  EXPECT_EQ(marks(1), N - 1u);
  EXPECT_TRUE(given.barrier.broken());
}

std::string reset_f(Arguments given) {
  auto& [barrier, unused, results] = given;
  if (barrier.wait() == N / 2) {
    while (barrier.n_waiting() < N - 1) std::this_thread::sleep_for(1ms);
    barrier.reset();
  } else {
    try {
      barrier.wait();
      results[0].append(1);
    } catch (const rp::BrokenBarrier&) {
      results[1].append(1);
    }
  }
  barrier.wait();
  results[2].append(1);
  return "";
}

TEST_F(TestBarrier, test_reset) {
  run_threads(reset_f);
  EXPECT_EQ(marks(0), 0u);
  EXPECT_EQ(marks(1), N - 1u);
  EXPECT_EQ(marks(2), N + 0u);
}

std::string abort_and_reset_f(Arguments given) {
  auto& [barrier, barrier2, results] = given;
  abort_f(given);
  if (barrier2.wait() == N / 2) barrier.reset();
  barrier2.wait();
  barrier.wait();
  results[2].append(1);
  return "";
}

TEST_F(TestBarrier, test_abort_and_reset) {
  run_threads(abort_and_reset_f);
  EXPECT_EQ(marks(0), 0u);
  EXPECT_EQ(marks(1), N - 1u);
  EXPECT_EQ(marks(2), N + 0u);
}

std::string timeout_f(Arguments given) {
  auto& [barrier, unused, results] = given;
  if (barrier.wait() == N / 2) {
    while (!barrier.broken()) std::this_thread::sleep_for(1ms);  // for the others' time to run out
  }
  try {
    barrier.wait_for(100ms);
  } catch (const rp::BrokenBarrier&) {
    results[0].append(1);
  }
  return "";
}

TEST_F(TestBarrier, test_timeout) {
  run_threads(timeout_f);
  EXPECT_EQ(marks(0), N + 0u);
  EXPECT_TRUE(given.barrier.broken());
}

TEST_F(TestBarrier, test_single_thread) {
  rp::Barrier barrier(1);
  barrier.wait();
  barrier.wait();
}

std::string thousand_f(Arguments given) {
  auto& [barrier, unused, results] = given;
  for (int i = 0; i < 1000; ++i) {
    barrier.wait();
    results[0].append(i);
  }
  return "";
}

TEST_F(TestBarrier, test_thousand) {
  run_threads(thousand_f);
  std::vector<int> expected;
  for (int i = 0; i < 1000; ++i) expected.insert(expected.end(), N, i);
  EXPECT_EQ(given.results[0].to_vector(), expected);
}

}  // namespace
