// An executor whose workers are processes.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/stream.hpp>
#include <rankpool/detail/submit_call.hpp>
#include <rankpool/future.hpp>
#include <rankpool/map_options.hpp>
#include <rankpool/pool.hpp>
#include <rankpool/task_options.hpp>

namespace rankpool {

struct ExecutorOptions {
  Initializer initializer = {};                 ///< run once per worker and replacement
  std::optional<int> max_tasks_per_child = {};  ///< a worker is replaced after so many tasks; none: never
};

/// Worker processes over every slot of the job that run what is submitted, each call with a future of its own. Mirrors
/// `concurrent.futures.ProcessPoolExecutor`; a task that crashes costs that task alone. Any thread may use it.
///
///     rp::ProcessPoolExecutor executor;
///     std::vector<rp::Future<long>> futures;
///     for (long x : data) futures.push_back(executor.submit(heavy_computation, x));
///     for (rp::Future<long>& future : futures) std::cout << future.result() << '\n';
///
/// Submitting does not wait. Constructing it outside of `run` throws NotRunning; to submit after `shutdown`,
/// `terminate_workers` or `kill_workers` throws PoolClosed.
class ProcessPoolExecutor {
 public:
  /// One worker per slot of the job. Does not wait for them. @throws NotRunning
  ProcessPoolExecutor() : ProcessPoolExecutor(0) {}
  /// `max_workers` workers, spread evenly over the ranks; 0: one per slot. @throws std::invalid_argument if it is
  /// negative, or an option makes no sense; NotRunning
  explicit ProcessPoolExecutor(int max_workers, const ExecutorOptions& options = {});
  explicit ProcessPoolExecutor(const ExecutorOptions& options) : ProcessPoolExecutor(0, options) {}
  ProcessPoolExecutor(const ProcessPoolExecutor&) = delete;
  ProcessPoolExecutor& operator=(const ProcessPoolExecutor&) = delete;
  /// Shuts down and waits for all tasks; while an exception unwinds, kills the workers.
  ~ProcessPoolExecutor();

  /// The future of `f(args...)` in a worker. Tasks begin in the order in which they were submitted. What cannot be
  /// encoded is the error of that future alone.
  /// @throws PoolClosed, or the error of an initializer that has failed
  template <class F, class... Args>
  requires(!std::same_as<std::decay_t<F>, TaskOptions> && detail::CallTask<F, Args...>) auto submit(F&& f,
                                                                                                    Args&&... args) {
    return submit_one({}, f, std::forward<Args>(args)...);
  }
  /// The same, with a priority, a time limit, or more attempts. @throws std::invalid_argument if an option makes no
  /// sense
  template <class F, class... Args>
  requires detail::CallTask<F, Args...>
  auto submit(const TaskOptions& options, F&& f, Args&&... args) {
    return submit_one(options, f, std::forward<Args>(args)...);
  }

  /// The results of `f(item)` one after the other, in order, as a ResultIterator<R>; tuples are unpacked if `f` is not
  /// callable with the tuple. The range, which may be endless, is drawn here and by whoever takes results, at most
  /// `buffersize` items ahead; an lvalue is referenced until the iterator goes. Waits for no task.
  /// @throws PoolClosed; std::invalid_argument for an option without sense
  template <class F, std::ranges::input_range Range>
  requires(detail::MapTask<F, Range, false> ||
           detail::MapTask<F, Range, true>) auto map(F&& f, Range&& range, const MapOptions& options = {}) {
    constexpr bool unpack = !detail::MapTask<F, Range, false>;
    return detail::make_stream<unpack, std::decay_t<F>>(client_, f, std::forward<Range>(range), options, true);
  }

  // What cannot be sent ends in a sentence of the compiler that says why.
  template <class F, class... Args>
  requires(!std::same_as<std::decay_t<F>, TaskOptions> && !detail::CallTask<F, Args...>) void submit(F&&, Args&&...) {
    detail::require_task<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>();
  }
  template <class F, class... Args>
  requires(!detail::CallTask<F, Args...>) void submit(const TaskOptions&, F&&, Args&&...) {
    detail::require_task<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>();
  }

  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false> && !detail::MapTask<F, Range, true>) void map(F&&, Range&&,
                                                                                           const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }

  /// Number of workers that the executor keeps.
  int max_workers() const noexcept;
  /// No more tasks. With `cancel_futures` every task that no worker has begun is cancelled, and is when this returns;
  /// the others still run; of a `map` what has not come yet is cancelled. With `wait` it waits until all have ended and
  /// the workers have left. Can be repeated, in any mix.
  void shutdown(bool wait = true, bool cancel_futures = false);
  /// Shuts down and waits at most `limit` (zero or negative: does not wait); false if workers are left.
  template <class Rep, class Period>
  bool shutdown_for(std::chrono::duration<Rep, Period> limit, bool cancel_futures = false) {
    return shutdown_until(detail::deadline_after(limit), cancel_futures);
  }
  /// Sends SIGTERM to every worker, and SIGKILL to those that stay; every future that is outstanding throws
  /// CancelledError. Does not wait. Nothing if all workers have left. Can be repeated.
  void terminate_workers();
  /// The same with SIGKILL at once.
  void kill_workers();

 private:
  bool shutdown_until(detail::Deadline deadline, bool cancel_futures);

  template <class F, class... Args>
  auto submit_one(const TaskOptions& options, F& f, Args&&... args) {
    detail::JobShape shape;
    detail::set_options(shape, options);
    return Future(detail::submit_call<true>(client_, shape, f, std::forward<Args>(args)...));
  }

  std::shared_ptr<detail::PoolClient> client_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace rankpool
