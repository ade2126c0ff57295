// The end of a job: who ends it, who is told, and who is asked before.
#include <algorithm>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/job_inbox.hpp"

namespace rankpool::detail {

bool JobState::end(std::exception_ptr error, bool cancelled) {
  std::vector<Shared::Observation> observers;
  std::shared_ptr<JobOrigin> origin;  // its destructor must not run under the lock
  {
    const std::lock_guard lock(shared_->mutex);
    if (ended()) return false;
    if (error) {
      shared_->error = std::move(error);
      shared_->cancelled = cancelled;
    }
    shared_->done.store(true, std::memory_order_release);
    observers.swap(shared_->observers);
    origin.swap(shared_->origin);
    if (!shared_->callbacks.empty()) {  // under the lock: no later one overtakes them
      const auto client = client::Client::get();
      for (auto& callback : shared_->callbacks) client->call_back(std::move(callback));
      shared_->callbacks.clear();
    }
  }
  for (const auto& [observer, index] : observers) observer->ended(index, ending());
  return true;
}

bool JobState::end_here(std::exception_ptr error, bool cancelled) {
  if (!end(std::move(error), cancelled)) return false;
  client::Client::get()->link().wake();
  return true;
}

Ending JobState::ending() const noexcept {
  if (!shared_->error) return Ending::value;
  return shared_->cancelled ? Ending::cancelled : Ending::error;
}

std::exception_ptr JobState::error() const noexcept { return shared_->error; }

std::exception_ptr JobState::wait_for_error(Deadline deadline, std::string_view call) const {
  if (!wait_until(deadline)) throw not_ended(call);
  if (cancelled()) std::rethrow_exception(shared_->error);
  return shared_->error;
}

bool JobState::observe(std::shared_ptr<EndObserver> observer, std::size_t index) {
  const std::lock_guard lock(shared_->mutex);
  if (ended()) return false;
  shared_->observers.push_back({std::move(observer), index});
  return true;
}

void JobState::ignore(const EndObserver& observer) noexcept {
  const std::lock_guard lock(shared_->mutex);
  std::erase_if(shared_->observers, [&](const auto& entry) { return entry.observer.get() == &observer; });
}

void JobState::set_origin(std::shared_ptr<JobOrigin> origin) {
  const std::lock_guard lock(shared_->mutex);
  if (!ended()) shared_->origin = std::move(origin);
}

std::shared_ptr<JobOrigin> JobState::origin() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->origin;
}

bool JobState::cancel() {
  if (const auto asked = origin()) asked->cancel(*this);
  return cancelled();
}

bool JobState::running() const {
  const auto asked = origin();
  return asked && asked->running(*this);
}

std::shared_ptr<JobState> JobState::awaited() const {
  const auto asked = origin();
  return asked ? asked->awaited() : nullptr;
}

}  // namespace rankpool::detail
