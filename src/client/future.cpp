#include <stdexcept>
#include <string>

#include <rankpool/detail/submit_call.hpp>
#include <rankpool/detail/then.hpp>
#include <rankpool/errors.hpp>

#include "client/client.hpp"

namespace rankpool::detail {

void encoding_failed(JobState& job) {
  std::exception_ptr error = std::current_exception();
  try {
    throw;
  } catch (const Error&) {
  } catch (const std::bad_alloc&) {
  } catch (const std::exception& thrown) {
    error = std::make_exception_ptr(SerializationError(
        std::string("the function or an argument of the task could not be encoded: ") + thrown.what()));
  } catch (...) {
    error = std::make_exception_ptr(SerializationError(
        "the function or an argument of the task could not be encoded: something that is no std::exception was "
        "thrown"));
  }
  job.end_here(std::move(error));
}

bool ThenOrigin::begin() {
  const std::lock_guard lock(mutex_);
  if (step_ != Step::waiting) return false;
  step_ = Step::called;
  awaited_.reset();
  return true;
}

void ThenOrigin::follow(std::shared_ptr<JobState> inner, const JobState& self) {
  // functions of `then` are called one after the other, so nobody closes a circle while this one is looked for
  for (std::shared_ptr<JobState> next = inner; next; next = next->awaited())
    if (next.get() == &self)
      throw std::logic_error("Future::then: the function returned a future that waits for its own result");
  const std::lock_guard lock(mutex_);
  step_ = Step::following;
  awaited_ = std::move(inner);
}

void ThenOrigin::cancel(JobState& self) {
  std::shared_ptr<JobState> awaited;
  {
    const std::lock_guard lock(mutex_);
    if (step_ == Step::called) return;
    step_ = Step::cancelled;
    awaited = awaited_;
  }
  const bool ended_now = self.end_here(
      std::make_exception_ptr(CancelledError("the future was cancelled before its function was called")), true);
  if (ended_now && awaited) awaited->cancel();
}

bool ThenOrigin::running(const JobState&) {
  std::shared_ptr<JobState> awaited;
  {
    const std::lock_guard lock(mutex_);
    if (step_ == Step::called) return true;
    if (step_ != Step::following) return false;
    awaited = awaited_;
  }
  return awaited->running();
}

std::shared_ptr<JobState> ThenOrigin::awaited() const {
  const std::lock_guard lock(mutex_);
  return awaited_;
}

}  // namespace rankpool::detail
