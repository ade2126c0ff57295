// The smallest task worth sending one by one: at which length half of the workers' time goes into the tasks.
#include <cmath>
#include <functional>

#include "measurements.hpp"
#include "work.hpp"

namespace bench {
namespace {

/// Seconds that `count` tasks of `microseconds` take.
using Makespan = std::function<double(double microseconds, std::size_t count)>;

double efficiency(Session& session, const Makespan& makespan, double microseconds) {
  const double workers = session.workers();
  const double ideal = session.amount(0.08, 0.02);
  const auto count = static_cast<std::size_t>(std::clamp(workers * ideal * 1e6 / microseconds, 1'000.0, 300'000.0));
  const double best = static_cast<double>(count) * microseconds * 1e-6 / workers;
  double reached = 0;
  for (int i = 0; i < session.amount(3, 2) && reached < 0.5; ++i) {
    reached = std::max(reached, best / makespan(microseconds, count));
  }
  return reached;
}

void find_half(Session& session, const std::string& name, const Makespan& makespan) {
  constexpr double shortest = 0.1;
  constexpr double longest = 1000;
  constexpr double step = 1.4;
  double before = 0;
  for (double length = shortest; length < longest; length *= step) {
    const double reached = efficiency(session, makespan, length);
    if (reached >= 0.5) {
      const double back = length == shortest ? 0 : (reached - 0.5) / (reached - before);
      session.record(name, length * std::pow(step, -back), "us", "less is better");
      return;
    }
    before = reached;
  }
  throw std::runtime_error("no task of up to 1 ms was worth sending");
}

}  // namespace

void measure_grain(Session& session) {
  find_half(session, "metg50_us", [&session](double microseconds, std::size_t count) {
    const std::vector<std::uint32_t> tasks(count, static_cast<std::uint32_t>(microseconds * 1000));
    const auto start = Clock::now();
    session.pool().map(spin, tasks, {.chunksize = 1});
    return seconds_since(start);
  });
}

void measure_cpu_grain(Session& session) {
  find_half(session, "metg50_cpu_us", [&session](double microseconds, std::size_t count) {
    const double rounds = microseconds * 1000 / round_nanoseconds(session);
    const std::vector<std::uint32_t> tasks(count, static_cast<std::uint32_t>(std::lround(rounds)));
    const auto start = Clock::now();
    session.pool().map(burn, tasks, {.chunksize = 1});
    return seconds_since(start);
  });
}

}  // namespace bench
