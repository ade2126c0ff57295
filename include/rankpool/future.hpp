// The result of a task that was submitted to an executor.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/job_source.hpp>
#include <rankpool/detail/result_state.hpp>
#include <rankpool/detail/then.hpp>
#include <rankpool/detail/wait_source.hpp>

namespace rankpool {

/// A handle of a submitted task; copies share one state, and are equal. Any thread may use it, inside `run`. Mirrors
/// `concurrent.futures.Future`.
///
///     rp::Future<long> six = executor.submit(heavy_computation, 6);
///     six.add_done_callback([](rp::Future<long> done) { std::cout << done.result() << '\n'; });
///     rp::Future<std::string> text = six.then([](long value) { return std::to_string(value); });
///
/// Callbacks and the functions of `then` run one after the other on the callback thread of this process, so they must
/// not wait for one another.
template <class R>
class Future {
 public:
  explicit Future(std::shared_ptr<detail::ResultState<R>> state) : state_(std::move(state)) {}

  /// Waits and returns the result: a copy each time, or, if an R cannot be copied, once the result itself.
  /// @throws the error of the task; CancelledError if it was cancelled; WorkerLost, TaskTimeout, SerializationError
  R result() const { return outcome({}); }
  /// Waits at most `limit`; can be repeated. @throws TimeoutError if the task has not ended by then
  template <class Rep, class Period>
  R result(std::chrono::duration<Rep, Period> limit) const {
    return outcome(detail::deadline_after(limit));
  }
  /// Waits and returns the error of the task, or null. @throws CancelledError if it was cancelled
  std::exception_ptr exception() const { return state_->wait_for_error({}, "Future::exception"); }
  /// Waits at most `limit`; can be repeated. @throws TimeoutError if the task has not ended by then; CancelledError
  template <class Rep, class Period>
  std::exception_ptr exception(std::chrono::duration<Rep, Period> limit) const {
    return state_->wait_for_error(detail::deadline_after(limit), "Future::exception");
  }

  /// Has it ended, or was it cancelled? Does not block.
  bool done() const { return state_->ready(); }
  /// Was it cancelled, or its executor terminated, before it had ended? Does not block.
  bool cancelled() const { return state_->ready() && state_->cancelled(); }
  /// Has a worker begun it, and not ended? Asks the scheduler and waits for its answer. A task whose worker was lost
  /// may wait again.
  bool running() const { return !state_->ready() && state_->running(); }
  /// Cancels the task if no worker has begun it; true if it is cancelled now, or was before. A task that runs is asked
  /// to stop through its stop token, and the result is false, as it is for one that has ended. Waits for the answer of
  /// the scheduler, not for the task. A future made by `then` is cancelled before its function is called, together with
  /// what it waits for if that can be.
  bool cancel() const { return state_->cancel(); }

  /// Calls `f(Future)` on the callback thread of this process once the task has ended or was cancelled; several are
  /// called in the order they were given, and what they throw is logged. Does not block.
  template <class F>
  requires std::invocable<F&, Future>
  void add_done_callback(F f) const {
    auto shared = std::make_shared<F>(std::move(f));
    state_->on_done([shared, self = *this] { std::invoke(*shared, self); });
  }

  /// The future of `f(value)` (`f()` if R is void), which is called on the callback thread of this process. An error or
  /// a cancellation passes by `f`. If `f` returns a Future<U>, so does `then`: with the outcome of that one. Does not
  /// block. Mirrors mpi4py's `Future.then`.
  template <class F>
  requires(detail::IsContinuation<F, R>::value) auto then(F f) const {
    auto state = detail::continue_with(state_, std::move(f));
    using Next = typename detail::Flattened<typename detail::ContinuationResult<F, R>::type>::type;
    return Future<Next>(std::move(state));
  }

  friend bool operator==(const Future& a, const Future& b) noexcept { return a.state_ == b.state_; }

 private:
  friend struct detail::FutureAccess;
  friend struct detail::WaitAccess;
  std::shared_ptr<detail::WaitSource> wait_source() const { return std::make_shared<detail::JobSource>(state_); }
  R outcome(detail::Deadline deadline) const {
    state_->finish(deadline, "Future::result");
    if constexpr (!std::is_void_v<R>) return state_->copy();
  }

  std::shared_ptr<detail::ResultState<R>> state_;
};

}  // namespace rankpool
