#include <rankpool/detail/stream_window.hpp>

#include <algorithm>

namespace rankpool::detail {
namespace {

constexpr double aim_ns = 1e6;
constexpr double memory_tasks = 128;  // long enough to remember one long task among a hundred short ones
constexpr double most_chunk_bytes = 256 * 1024;
constexpr double most_window_bytes = 64 * 1024 * 1024;
constexpr std::uint64_t most_automatic = 128 * 1024;  // items in a window: milliseconds of what one process can yield
constexpr std::uint64_t most = std::uint64_t{1} << 60;
constexpr double fading = 1.0 / 16;          // of the size of large items, per message
constexpr std::uint64_t most_messages = 32;  // that fill a window, so that many workers do not make many messages

std::uint64_t times(std::uint64_t a, std::uint64_t b) noexcept { return a > most / b ? most : a * b; }

/// Grows at once and fades slowly.
void follow(double& size, std::uint64_t count, std::uint64_t bytes) noexcept {
  if (count == 0) return;
  const double each = static_cast<double>(bytes) / static_cast<double>(count);
  size = std::max(each, size + fading * (each - size));
}

}  // namespace

StreamWindow::StreamWindow(std::uint64_t chunksize, std::uint64_t buffersize, std::uint64_t workers) noexcept
    : chunksize_(chunksize), buffersize_(buffersize), workers_(std::max<std::uint64_t>(1, workers)) {
  set_bound();
}

void StreamWindow::drawn(std::uint64_t count, std::uint64_t bytes) noexcept { follow(item_bytes_, count, bytes); }

void StreamWindow::received(std::uint64_t count, std::uint64_t bytes) noexcept { follow(result_bytes_, count, bytes); }

void StreamWindow::computed(std::uint64_t tasks, std::uint64_t work) noexcept {
  if (tasks == 0) return;
  const double count = static_cast<double>(tasks);
  seen_ += count;
  const double weight = seen_ < memory_tasks ? count / seen_ : count / (count + memory_tasks - 1);
  task_ns_ += weight * (static_cast<double>(work) / count - task_ns_);
}

std::uint64_t StreamWindow::wanted() const noexcept {
  if (seen_ == 0) return 1;
  const double workers = static_cast<double>(workers_);
  const double bytes = std::min(most_chunk_bytes, most_window_bytes / (2 * workers));
  const double chunk = std::min({aim_ns / std::max(1.0, task_ns_), bytes / std::max({1.0, item_bytes_, result_bytes_}),
                                 static_cast<double>(most_automatic) / (2 * workers)});
  return chunk < 1 ? 1 : static_cast<std::uint64_t>(chunk);
}

void StreamWindow::adapt(std::uint64_t yielded) noexcept {
  const std::uint64_t chunk = wanted();
  if (chunk <= chunk_) {
    chunk_ = chunk;
  } else if (yielded - grown_at_ >= chunk_) {
    chunk_ = std::min(chunk, 2 * chunk_);
    grown_at_ = yielded;
  }
  set_bound();
}

void StreamWindow::set_bound() noexcept {
  const std::uint64_t granule = this->granule();
  if (buffersize_ != 0) {
    bound_ = std::max(buffersize_, granule);
  } else {
    bound_ = times(times(2, workers_), chunksize_ == 0 ? chunk_ : chunksize_);
  }
  // While workers have a millisecond of work left, a message for each of them would be one too many.
  step_ = std::max({std::min(chunk_, bound_ / 2), bound_ / most_messages, granule});
  step_ -= step_ % granule;
}

}  // namespace rankpool::detail
