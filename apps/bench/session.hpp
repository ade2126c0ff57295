// What the measurements share: the pool, how long they may take, and where their results go.
#pragma once

#include <rankpool/rankpool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "report.hpp"

namespace bench {

namespace rp = rankpool;
using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Session {
 public:
  explicit Session(bool quick) : quick_(quick) {}

  /// Fewer tasks and repeats: for a look, not for the record.
  bool quick() const { return quick_; }
  /// The normal amount of something, or the one for a quick look.
  template <class T>
  T amount(T normal, T quick) const {
    return quick_ ? quick : normal;
  }

  /// A pool over every slot, warmed up; opened at the first use and kept.
  rp::Pool& pool();
  int workers() { return pool().processes(); }
  /// Makes whatever waits for the pool throw. Any thread may call it while the pool is in use.
  void stop_pool();
  /// Has the pool been stopped?
  bool stopped() const { return stopped_; }
  /// The next use opens a fresh one.
  void drop_pool();

  void record(std::string name, double value, std::string unit, std::string mark) {
    metrics_.push_back({std::move(name), value, std::move(unit), std::move(mark)});
  }
  /// For one that could not be measured.
  void record_failure(std::string name, std::string reason) {
    metrics_.push_back({std::move(name), {}, "", std::move(reason)});
  }
  std::vector<Metric>& metrics() { return metrics_; }

  /// The shortest time of several runs, since others use the machine as well.
  template <class Run>
  double best_seconds(int repeats, Run run) const {
    const auto begin = Clock::now();
    double best = 0;
    for (int i = 0; i < repeats && (i == 0 || seconds_since(begin) < patience_); ++i) {
      const auto start = Clock::now();
      run();
      const double seconds = seconds_since(start);
      best = i == 0 ? seconds : std::min(best, seconds);
    }
    return best;
  }

 private:
  /// Seconds after which nothing is repeated any more.
  static constexpr double patience_ = 4;

  const bool quick_;
  std::optional<rp::Pool> pool_;
  std::atomic<rp::Pool*> in_use_{nullptr};
  std::atomic<bool> stopped_{false};
  std::vector<Metric> metrics_;
};

}  // namespace bench
