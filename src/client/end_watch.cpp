#include <rankpool/detail/end_watch.hpp>

#include <atomic>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>

#include <rankpool/as_completed.hpp>
#include <rankpool/errors.hpp>

#include "client/client.hpp"

namespace rankpool::detail {

/// The ends so far. The counts are for predicates, which may not wait for a mutex.
class EndWatch::Ends final : public EndObserver {
 public:
  explicit Ends(std::size_t jobs) { order_.reserve(jobs); }

  void ended(std::size_t index, Ending how) noexcept override {
    const std::lock_guard lock(mutex_);
    order_.push_back(index);  // there is room
    if (how == Ending::error) error_.store(true, std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_release);
  }
  std::size_t count() const noexcept { return count_.load(std::memory_order_acquire); }
  bool error() const noexcept { return error_.load(std::memory_order_relaxed); }
  std::size_t at(std::size_t number) const {
    const std::lock_guard lock(mutex_);
    return order_[number];
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::size_t> order_;
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> error_{false};
};

EndWatch::EndWatch(std::vector<std::shared_ptr<JobState>> jobs)
    : jobs_(std::move(jobs)), ends_(std::make_shared<Ends>(jobs_.size())) {
  client::Client::get()->link().look();  // those first that have ended before
  std::unordered_set<const JobState*> seen;
  seen.reserve(jobs_.size());
  for (auto& job : jobs_)
    if (!seen.insert(job.get()).second) job.reset();
  count_ = seen.size();
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (!jobs_[i]) continue;
    if (jobs_[i]->ended()) {
      ends_->ended(i, jobs_[i]->ending());
    } else {
      open.push_back(i);
    }
  }
  for (const std::size_t i : open)
    if (!jobs_[i]->observe(ends_, i)) ends_->ended(i, jobs_[i]->ending());
}

EndWatch::~EndWatch() {
  for (const auto& job : jobs_)
    if (job && !job->ended()) job->ignore(*ends_);
}

bool EndWatch::wait(std::size_t count, bool or_error, Deadline deadline) const {
  return client::Client::get()->link().wait([&] { return ends_->count() >= count || (or_error && ends_->error()); },
                                            deadline);
}

std::optional<std::size_t> EndWatch::next(Deadline deadline) {
  if (!wait(told_ + 1, false, deadline)) return std::nullopt;
  const std::size_t index = ends_->at(told_++);
  jobs_[index].reset();
  return index;
}

void throw_unfinished(std::size_t left, std::size_t all) {
  throw TimeoutError(std::to_string(left) + " (of " + std::to_string(all) + ") futures unfinished");
}

}  // namespace rankpool::detail
