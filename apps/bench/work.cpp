#include "work.hpp"

#include <algorithm>
#include <ctime>

namespace bench {
namespace {

double thread_cpu_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double time_one_round(std::uint32_t rounds) {
  const double start = thread_cpu_nanoseconds();
  const std::uint64_t result = burn(rounds);
  const double taken = thread_cpu_nanoseconds() - start;
  // The result counts for nothing but has to be used, or the arithmetic would be dropped.
  return taken / static_cast<double>(rounds) + (result == 0 ? 1e-9 : 0);
}

}  // namespace

int identity(int x) { return x; }

std::vector<double> send_back(std::vector<double> values) { return values; }

std::uint32_t spin(std::uint32_t nanoseconds) {
  const auto end = Clock::now() + std::chrono::nanoseconds(nanoseconds);
  while (Clock::now() < end) {
  }
  return nanoseconds;
}

std::uint64_t burn(std::uint32_t rounds) {
  std::uint64_t state = rounds | 1U;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
  }
  return state;
}

double round_nanoseconds(Session& session) {
  constexpr std::uint32_t rounds = 500'000;
  const std::vector<std::uint32_t> probes(static_cast<std::size_t>(session.workers()) * 3, rounds);
  std::vector<double> costs = session.pool().map(time_one_round, probes, {.chunksize = 1});
  std::ranges::nth_element(costs, costs.begin() + static_cast<std::ptrdiff_t>(costs.size() / 2));
  return costs[costs.size() / 2];
}

}  // namespace bench
