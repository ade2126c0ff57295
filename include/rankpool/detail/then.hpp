// What is done with the result of a future when it comes.
#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include <rankpool/detail/job_state.hpp>
#include <rankpool/detail/result_state.hpp>

namespace rankpool {
template <class R>
class Future;
}

namespace rankpool::detail {

/// Can `f` be given an R? Without one, if R is void.
template <class F, class R>
struct IsContinuation : std::bool_constant<std::invocable<F&, R>> {};
template <class F>
struct IsContinuation<F, void> : std::bool_constant<std::invocable<F&>> {};

template <class F, class R>
struct ContinuationResult {
  using type = std::remove_cvref_t<std::invoke_result_t<F&, R>>;
};
template <class F>
struct ContinuationResult<F, void> {
  using type = std::remove_cvref_t<std::invoke_result_t<F&>>;
};

template <class T>
struct IsFuture : std::false_type {};
template <class R>
struct IsFuture<Future<R>> : std::true_type {
  using Result = R;
};

/// For what works on several futures.
struct FutureAccess {
  template <class R>
  static const std::shared_ptr<ResultState<R>>& state(const Future<R>& future) noexcept {
    return future.state_;
  }
};

/// Of what type the future is that stands for a T: a future of a future is none.
template <class T>
struct Flattened {
  using type = T;
};
template <class R>
struct Flattened<Future<R>> {
  using type = R;
};

/// What a future made by `then` waits for, until it has ended.
class ThenOrigin final : public JobOrigin {
 public:
  explicit ThenOrigin(std::shared_ptr<JobState> source) : awaited_(std::move(source)) {}

  /// The function is about to be called; false if the future was cancelled first.
  bool begin();
  /// The function has returned the future `inner`, whose outcome will be that of `self`. @throws std::logic_error if
  /// `inner` waits for `self`
  void follow(std::shared_ptr<JobState> inner, const JobState& self);

  void cancel(JobState& self) override;
  bool running(const JobState& self) override;
  std::shared_ptr<JobState> awaited() const override;

 private:
  enum class Step { waiting, called, following, cancelled };

  mutable std::mutex mutex_;
  Step step_ = Step::waiting;
  std::shared_ptr<JobState> awaited_;  // null while the function runs
};

/// Gives the outcome of `from`, which has ended, to `to`.
template <class T>
void pass_on(ResultState<T>& from, LocalResult<T>& to) {
  if (from.ending() == Ending::value) {
    if constexpr (!std::is_void_v<T>) to.set(from.copy());
    to.end_here();
  } else {
    to.end_here(from.error(), from.cancelled());
  }
}

/// Does `what`; what it throws is the error of `job`.
template <class What>
void guarded(JobState& job, What&& what) {
  try {
    what();
  } catch (...) {
    job.end_here(std::current_exception());
  }
}

/// Calls `f` with the value of `source` once it has ended, on the callback thread; the state of the future that stands
/// for its result.
template <class R, class F>
auto continue_with(const std::shared_ptr<ResultState<R>>& source, F f) {
  using Returned = typename ContinuationResult<F, R>::type;
  using T = typename Flattened<Returned>::type;
  const auto result = std::make_shared<LocalResult<T>>();
  const auto origin = std::make_shared<ThenOrigin>(source);
  result->set_origin(origin);

  const auto call = [source](F& function) -> Returned {
    if constexpr (std::is_void_v<R>) {
      return std::invoke(function);
    } else {
      return std::invoke(function, source->copy());
    }
  };
  source->on_done([source, result, origin, call, function = std::make_shared<F>(std::move(f))] {
    if (source->ending() != Ending::value) {
      result->end_here(source->error(), source->cancelled());
    } else if (origin->begin()) {
      guarded(*result, [&] {
        if constexpr (IsFuture<Returned>::value) {
          const auto inner = FutureAccess::state(call(*function));
          origin->follow(inner, *result);
          inner->on_done([inner, result] { guarded(*result, [&] { pass_on(*inner, *result); }); });
        } else if constexpr (std::is_void_v<Returned>) {
          call(*function);
          result->end_here();
        } else {
          result->set(call(*function));
          result->end_here();
        }
      });
    }
  });
  return std::shared_ptr<ResultState<T>>(result);
}

}  // namespace rankpool::detail
