// soak SECONDS: mixed load for so long, while the memory and the descriptors of every process of the job are watched.
//
// Fails if anything comes out wrong, or if a process that lives all the time grows by more than 1 % (and a quarter of a
// MiB, since an allocator keeps up to 128 KiB at the end of each of its heaps that nobody uses; workers: and two of the
// large payloads) between the first and the last third of the time after a warm-up, or ends with more descriptors. A
// run of less than a minute sees caches that are not full yet, so it only looks for what is grossly wrong.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>

#include <rankpool/rankpool.hpp>

#include "load.hpp"
#include "process_watch.hpp"

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

int soak_for(std::chrono::seconds time) {
  const bool is_long = time >= 60s;
  const auto begin = Clock::now();
  const auto warm = begin + time / 5;
  auto next_sample = begin;
  bool is_warm = false;
  long rounds = 0;
  soak::Load load;
  soak::ProcessWatch watch;
  load.warm_up();
  while (Clock::now() < begin + time) {
    load.round();
    ++rounds;
    if (Clock::now() < next_sample) continue;
    load.rest();
    if (!is_warm && Clock::now() >= warm) {
      is_warm = true;
      watch.forget();
    }
    watch.sample();
    next_sample = Clock::now() + 1s;
  }
  std::cout << rounds << " rounds on " << rankpool::rank_count() << " ranks, " << watch.count() << " samples\n";
  if (soak::sanitized) return 0;
  const int grown = is_long ? watch.judge(0.01, 256, 2048) : watch.judge(0.10, 2048, 2048);
  if (grown != 0) std::cout << grown << " processes have grown\n";
  return grown == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return rankpool::run(argc, argv, [](int count, char** words) {
    const int seconds = count > 1 ? std::atoi(words[1]) : 600;
    return soak_for(std::chrono::seconds(seconds));
  });
}
