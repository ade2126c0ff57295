#include "progress.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace mandelbrot {
namespace {

using namespace std::chrono_literals;

/// mpirun gives its ranks a pipe as stderr even at a terminal, so under it the question is where its own stderr goes.
bool somebody_watches() {
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string(terminal) == "dumb") return false;
  if (isatty(STDERR_FILENO) == 1) return true;
  const std::string parent = "/proc/" + std::to_string(getppid());
  std::string launcher;
  std::getline(std::ifstream(parent + "/comm"), launcher);
  if (launcher != "mpirun" && launcher != "orterun" && launcher != "prterun") return false;
  const int launcher_stderr = open((parent + "/fd/2").c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (launcher_stderr < 0) return false;
  const bool terminal_there = isatty(launcher_stderr) == 1;
  close(launcher_stderr);
  return terminal_there;
}

std::string minutes(double seconds) {
  const int whole = static_cast<int>(seconds + 0.5);
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%02d", whole / 60, whole % 60);
  return text;
}

}  // namespace

Progress::Progress(std::size_t total) : total_(total), interactive_(somebody_watches()) {}

Progress::~Progress() {
  if (interactive_ && done_ > 0 && done_ < total_) std::fputc('\n', stderr);
}

void Progress::step() {
  const std::lock_guard lock(mutex_);
  ++done_;
  const auto now = Clock::now();
  if (interactive_) {
    if (done_ == total_ || now - drawn_ >= 100ms) draw_bar(now);
  } else if (done_ * 100 >= next_percent_ * total_) {
    write_line(now);
  }
}

void Progress::draw_bar(Clock::time_point now) {
  constexpr std::size_t width = 20;
  drawn_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done_) / elapsed;
  const std::size_t filled = width * done_ / total_;
  const std::string bar = std::string(filled, '#') + std::string(width - filled, '-');
  std::fprintf(stderr, "\r%3zu%%|%s| %zu/%zu tiles  %.0f/s  elapsed %s  left %s ", 100 * done_ / total_, bar.c_str(),
               done_, total_, rate, minutes(elapsed).c_str(),
               minutes(static_cast<double>(total_ - done_) / rate).c_str());
  if (done_ == total_) std::fputc('\n', stderr);
}

void Progress::write_line(Clock::time_point now) {
  const std::size_t percent = 100 * done_ / total_;
  next_percent_ = percent < 5 ? 5 : (percent / 10 + 1) * 10;
  std::fprintf(stderr, "%3zu%%  %zu/%zu tiles  elapsed %s\n", percent, done_, total_,
               minutes(std::chrono::duration<double>(now - start_).count()).c_str());
}

}  // namespace mandelbrot
