#include "scheduler/chunk_policy.hpp"

#include <algorithm>
#include <cmath>

namespace rankpool::scheduler {

namespace {

constexpr double least_aim_ns = 1e6;
constexpr double aim_round_trips = 50;
constexpr double long_limit_ns = 500e3;
constexpr double long_round_trips = 20;
constexpr double window_ns = 400e3;  // of short chunks in a worker and on the way to it
constexpr std::uint64_t window_tasks = 8192;
constexpr double memory_tasks = 128;  // long enough to remember one long task among a hundred short ones
constexpr double fading = 1.0 / 256;  // of the longest chunk, per report
constexpr std::uint64_t plenty = 4;   // chunks per worker that allow sending ahead blindly
constexpr double trust = 4;  // so many times what was measured may be sent ahead: the first tasks may be the short ones
constexpr double guarded_round_trips = 4;

std::uint64_t to_count(double value) noexcept {
  return value < 1 ? 1 : value > 1e18 ? std::uint64_t{1'000'000'000'000'000'000} : static_cast<std::uint64_t>(value);
}

}  // namespace

void Timing::set_round_trip(Nanoseconds round_trip) noexcept {
  round_trip_ns_ = std::max(1.0, static_cast<double>(round_trip.count()));
}

double Timing::aim_ns() const noexcept { return std::max(aim_round_trips * round_trip_ns_, least_aim_ns); }

double Timing::long_ns() const noexcept { return std::min(long_round_trips * round_trip_ns_, long_limit_ns); }

void Pace::measured(std::uint64_t tasks, std::uint64_t chunk, Nanoseconds work) noexcept {
  const double count = static_cast<double>(tasks);
  const double total = std::max(0.0, static_cast<double>(work.count()));
  const double each = tasks == 1 ? total : total / count;
  seen_ += count;
  const double weight = seen_ < memory_tasks ? count / seen_ : count / (count + memory_tasks - 1);
  task_ns_ += weight * (each - task_ns_);
  if (forgets_) longest_chunk_ns_ -= longest_chunk_ns_ * fading;
  longest_chunk_ns_ = std::max(longest_chunk_ns_, each * static_cast<double>(chunk));
}

std::uint64_t window_chunks(const Pace& pace, std::uint64_t chunk, Supply supply, const Timing& timing) noexcept {
  if (!pace.known()) return supply.chunks / plenty > supply.workers ? 2 : 1;
  const double chunk_ns = std::max(1.0, static_cast<double>(chunk) * pace.task_ns());
  const bool is_long = chunk_ns > timing.long_ns();
  std::uint64_t window = 2;
  if (!is_long) {
    const double trusted = trust * pace.seen() / (static_cast<double>(chunk) * static_cast<double>(supply.workers));
    window = std::max(window, std::min(to_count(std::min(window_ns / chunk_ns, trusted)), window_tasks / chunk));
  }
  // Near the end a chunk that was sent ahead could wait behind the longest one while other ranks have nothing to do.
  const double left_ns = static_cast<double>(supply.chunks) * chunk_ns / static_cast<double>(supply.workers);
  const bool guarded = pace.longest_chunk_ns() > timing.long_ns() && left_ns <= 2 * pace.longest_chunk_ns();
  if (!guarded) return window;
  if (is_long) return 1;
  return std::min(window, 1 + to_count(std::ceil(guarded_round_trips * timing.round_trip_ns() / chunk_ns)));
}

void ChunkPolicy::measured(std::uint64_t tasks, std::uint64_t chunk, Nanoseconds work, const Timing& timing) noexcept {
  pace_.measured(tasks, chunk, work);
  if (given_ != 0) return;
  const std::uint64_t wanted = to_count(timing.aim_ns() / std::max(1.0, pace_.task_ns()));
  since_growth_ += tasks;
  if (wanted <= grown_) {
    grown_ = wanted;
    since_growth_ = 0;
  } else if (since_growth_ >= grown_) {
    grown_ = std::min(wanted, 2 * grown_);
    since_growth_ = 0;
  }
}

std::uint64_t ChunkPolicy::chunk(std::uint64_t unsent, std::uint64_t workers) const noexcept {
  if (given_ != 0) return given_;
  if (grown_ == 1) return 1;
  return std::max<std::uint64_t>(1, std::min(grown_, unsent / (4 * std::max<std::uint64_t>(1, workers))));
}

}  // namespace rankpool::scheduler
