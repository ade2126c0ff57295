// How near the pool comes to the shortest possible time when tasks are of very different lengths.
#include <cmath>
#include <numeric>
#include <random>

#include "measurements.hpp"
#include "work.hpp"

namespace bench {
namespace {

/// Lognormal lengths with a mean of 2 ms and a few of up to 25 ms: the same in every run.
std::vector<double> task_milliseconds(const Session& session) {
  std::mt19937_64 bits(20'240'229);
  std::lognormal_distribution<double> length(std::log(2.0) - 0.5, 1.0);
  std::vector<double> lengths(session.amount<std::size_t>(400, 200));
  for (double& one : lengths) one = std::min(length(bits), 25.0);
  return lengths;
}

/// Time of the map over the shortest possible one; `unit` is what a task wants to be told for a millisecond.
template <class Task>
double ratio(Session& session, Task task, double unit) {
  const std::vector<double> lengths = task_milliseconds(session);
  std::vector<std::uint32_t> tasks;
  for (const double one : lengths) tasks.push_back(static_cast<std::uint32_t>(std::lround(one * unit)));
  const double total = std::accumulate(lengths.begin(), lengths.end(), 0.0);
  const double ideal = std::max(total / session.workers(), std::ranges::max(lengths)) / 1000;
  const auto start = Clock::now();
  session.pool().map(task, tasks, {.chunksize = 1});
  return seconds_since(start) / ideal;
}

template <class Measure>
void record_best(Session& session, const char* name, Measure measure) {
  double best = measure();
  for (int i = 1; i < session.amount(4, 2); ++i) best = std::min(best, measure());
  session.record(name, best, "", "1 is ideal");
}

}  // namespace

void measure_skew(Session& session) {
  record_best(session, "skew_ratio", [&] { return ratio(session, spin, 1e6); });
}

void measure_cpu_skew(Session& session) {
  record_best(session, "skew_cpu_ratio", [&] { return ratio(session, burn, 1e6 / round_nanoseconds(session)); });
}

}  // namespace bench
