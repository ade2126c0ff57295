#include "worker/running_task.hpp"

#include <pthread.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "link/futex.hpp"
#include "link/signal_mask.hpp"

namespace rankpool::worker {
namespace {

constexpr std::uint32_t low(std::uint64_t number) noexcept { return static_cast<std::uint32_t>(number); }
constexpr std::uint32_t high(std::uint64_t number) noexcept { return static_cast<std::uint32_t>(number >> 32); }

}  // namespace

RunningTask& RunningTask::here() {
  static RunningTask& only = *new RunningTask;
  return only;
}

void RunningTask::open(link::TaskWords& words, std::uint64_t seed) noexcept {
  words_ = &words;
  seed_ = seed;
}

void RunningTask::begin(std::uint64_t index, std::int32_t attempt) noexcept {
  if (asked_.load(std::memory_order_relaxed)) end();  // of a task whose end nobody has announced
  index_.store(index, std::memory_order_relaxed);
  attempt_.store(attempt, std::memory_order_relaxed);
  running_.store(true, std::memory_order_release);
}

void RunningTask::end() noexcept {
  running_.store(false, std::memory_order_relaxed);
  if (!asked_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  asked_.store(false, std::memory_order_relaxed);
  stop_.reset();
  rng_is_ready_ = false;
}

TaskContext RunningTask::context() {
  const std::lock_guard lock(mutex_);
  require_task("this_task");
  if (!stop_) {
    if (!watching_) start_watcher();
    stop_.emplace();
    asked_.store(true, std::memory_order_relaxed);
    // looked at after there is a source: a request is seen here or by the watcher
    if (stop_requested()) stop_->request_stop();
  }
  return {static_cast<std::size_t>(index_.load(std::memory_order_relaxed)), attempt_.load(std::memory_order_relaxed),
          stop_->get_token()};
}

std::mt19937_64& RunningTask::rng() {
  const std::lock_guard lock(mutex_);
  require_task("task_rng");
  if (!rng_is_ready_) {
    const std::uint64_t index = index_.load(std::memory_order_relaxed);
    std::seed_seq seeds{low(seed_), high(seed_), low(index), high(index)};
    rng_.seed(seeds);
    rng_is_ready_ = true;
    asked_.store(true, std::memory_order_relaxed);
  }
  return rng_;
}

void RunningTask::require_task(const char* function) const {
  if (!running_.load(std::memory_order_acquire))
    throw std::logic_error("rankpool::" + std::string(function) +
                           "() was called outside of a task: call it in a function that a pool runs, or in a thread of "
                           "it that ends with it");
}

bool RunningTask::stop_requested() const noexcept {
  return words_->stop().load(std::memory_order_acquire) == low(words_->begun());
}

void RunningTask::start_watcher() {
  const link::AllSignalsBlocked blocked;
  std::thread([this] { watch(); }).detach();
  watching_ = true;
}

void RunningTask::watch() noexcept {
  ::pthread_setname_np(::pthread_self(), "rankpool-stop");
  std::uint32_t seen = 0;  // no task's
  for (;;) {
    const std::uint32_t asked = words_->stop().load(std::memory_order_acquire);
    if (asked == seen) {
      link::futex_wait(&words_->stop(), seen, std::chrono::hours(1));
      continue;
    }
    seen = asked;
    std::optional<std::stop_source> source;
    {
      const std::lock_guard lock(mutex_);  // the task that has a source cannot end meanwhile
      if (stop_ && stop_requested()) source = stop_;
    }
    if (source) source->request_stop();  // without the lock: what the user wants called then may ask for the context
  }
}

}  // namespace rankpool::worker
