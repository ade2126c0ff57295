#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>

namespace mandelbrot {

/// Tells on stderr how far the work is: a bar that is redrawn in place where somebody watches, a few lines elsewhere.
class Progress {
 public:
  explicit Progress(std::size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// One more is done. Any thread may call it.
  void step();

 private:
  using Clock = std::chrono::steady_clock;

  void draw_bar(Clock::time_point now);
  void write_line(Clock::time_point now);

  std::mutex mutex_;
  const std::size_t total_;
  const bool interactive_;
  const Clock::time_point start_ = Clock::now();
  std::size_t done_ = 0;
  Clock::time_point drawn_;
  std::size_t next_percent_ = 1;
};

}  // namespace mandelbrot
