// The result of a call that goes on elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <rankpool/detail/job_source.hpp>
#include <rankpool/detail/result_state.hpp>
#include <rankpool/detail/wait_source.hpp>

namespace rankpool {

/// A handle of a submitted job; copies share one state. Any thread may use it, inside `run`. Mirrors
/// `multiprocessing.pool.AsyncResult`.
///
///     rp::AsyncResult<long> answer = pool.apply_async(heavy_computation, 6);
///     answer.on_done([](rp::AsyncResult<long> done) { std::cout << done.get() << '\n'; });
///     if (!answer.wait_for(1s)) std::cout << "still computing\n";
///     std::cout << answer.get() << '\n';
template <class T>
class AsyncResult {
 public:
  explicit AsyncResult(std::shared_ptr<detail::ResultState<T>> state) : state_(std::move(state)) {}

  /// Waits and returns the result, a copy each time. Of several errors that of the first task in input order is thrown.
  /// @throws the error of the task; WorkerLost, CancelledError, SerializationError
  T get() const { return outcome({}); }
  /// Waits at most `limit`; can be repeated. @throws TimeoutError if it has not ended by then
  template <class Rep, class Period>
  T get(std::chrono::duration<Rep, Period> limit) const {
    return outcome(detail::deadline_after(limit));
  }
  /// Waits until the job has ended, whatever the outcome.
  void wait() const { state_->wait_until({}); }
  /// Waits at most `limit`; false if it has not ended by then.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> limit) const {
    return state_->wait_until(detail::deadline_after(limit));
  }
  /// Has it ended? Does not block.
  bool ready() const { return state_->ready(); }
  /// Has it ended without an error? Does not block. @throws std::logic_error if it has not ended
  bool successful() const { return state_->successful(); }
  /// Calls `f(AsyncResult)` on the callback thread of this process once it has ended; several are called in the order
  /// they were given, and what they throw is logged. Does not block. Mirrors `callback` and `error_callback`.
  template <class F>
  requires std::invocable<F&, AsyncResult>
  void on_done(F f) {
    auto shared = std::make_shared<F>(std::move(f));
    state_->on_done([shared, self = *this] { std::invoke(*shared, self); });
  }

 private:
  friend class Pool;
  friend struct detail::WaitAccess;
  std::shared_ptr<detail::WaitSource> wait_source() const { return std::make_shared<detail::JobSource>(state_); }
  T outcome(detail::JobState::Deadline deadline) const {
    state_->finish(deadline);
    if constexpr (!std::is_void_v<T>) return state_->copy();
  }
  /// The result of a handle that nobody else has.
  T take() {
    state_->finish({});
    if constexpr (!std::is_void_v<T>) return state_->take();
  }

  std::shared_ptr<detail::ResultState<T>> state_;
};

}  // namespace rankpool
