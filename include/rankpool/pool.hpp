// A pool of worker processes.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/async_result.hpp>
#include <rankpool/callable.hpp>
#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/dispatch.hpp>
#include <rankpool/detail/fold.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/many_outcomes.hpp>
#include <rankpool/detail/pool_call.hpp>
#include <rankpool/detail/stream.hpp>
#include <rankpool/detail/submit_call.hpp>
#include <rankpool/errors.hpp>
#include <rankpool/insights.hpp>
#include <rankpool/map_options.hpp>
#include <rankpool/outcome.hpp>
#include <rankpool/result_iterator.hpp>
#include <rankpool/shared.hpp>

namespace rankpool {

/// Code that every worker runs once before its first task; any SendableCallable without parameters, type-erased.
class Initializer {
 public:
  Initializer() = default;
  template <class F>
  requires(!std::same_as<std::decay_t<F>, Initializer> && std::invocable<std::decay_t<F>&>) Initializer(F&& f)
      : encode_(detail::initializer_encoder(std::forward<F>(f))) {}  // NOLINT: converts on purpose

  explicit operator bool() const noexcept { return static_cast<bool>(encode_); }
  void encode(detail::Buffer& out) const { encode_(out); }

 private:
  std::function<void(detail::Buffer&)> encode_;
};

struct PoolOptions {
  std::optional<int> processes = {};            ///< workers; none: one per slot of the job
  Initializer initializer = {};                 ///< run once per worker and replacement
  std::optional<int> max_tasks_per_child = {};  ///< a worker is replaced after so many tasks; none: never
  int retries = 0;                              ///< a task whose worker was lost is run up to `retries` times more
  /// Bytes that a worker may have for itself while it runs a task: heap, private mappings, stacks of threads, and what
  /// the program has at its start; not shared memory, such as that of large payloads. Beyond it `new` throws
  /// std::bad_alloc, which is then the error of the task, and malloc returns null. A worker whose task has kept the
  /// memory is replaced. Less than what a worker has before its first task fails the pool (std::invalid_argument).
  /// 0: no limit.
  std::uint64_t memory_limit = 0;
};

/// Worker processes over every slot of the job, to which tasks are dealt as they become free. Mirrors
/// `multiprocessing.Pool`; a task that crashes costs that task alone. Any thread may use it.
///
///     rp::Pool pool;
///     std::vector<long> squares = pool.map(heavy_computation, data);
///
/// Submitting returns as soon as the input is written; `map`, `starmap`, `apply` and `get` wait. Constructing it
/// outside of `run` throws NotRunning; use after `close` or `terminate` throws PoolClosed.
class Pool {
 public:
  /// One worker per slot of the job. Does not wait for them. @throws NotRunning
  Pool() : Pool(PoolOptions{}) {}
  /// `processes` workers, spread evenly over the ranks. @throws std::invalid_argument if less than 1; NotRunning
  explicit Pool(int processes) : Pool(PoolOptions{.processes = processes}) {}
  /// @throws std::invalid_argument if an option makes no sense; NotRunning
  explicit Pool(const PoolOptions& options);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Closes and waits for all tasks; while an exception unwinds, terminates.
  ~Pool();

  /// The results of `f(item)` for every item, in order. Waits for all tasks, then throws the first error in input
  /// order.
  /// @throws the error of a task; what iterating the range throws; std::invalid_argument for a chunk size without sense
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, false>
  auto map(F&& f, Range&& range, const MapOptions& options = {}) { return submit<false>(f, range, options).take(); }
  /// As `map`, but returns at once: AsyncResult<std::vector<R>>, or AsyncResult<void> if `f` returns nothing.
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, false>
  auto map_async(F&& f, Range&& range, const MapOptions& options = {}) { return submit<false>(f, range, options); }
  /// As `map`, with the elements of each tuple as arguments.
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, true>
  auto starmap(F&& f, Range&& range, const MapOptions& options = {}) { return submit<true>(f, range, options).take(); }
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, true>
  auto starmap_async(F&& f, Range&& range, const MapOptions& options = {}) { return submit<true>(f, range, options); }
  /// The results of `f(item)` one after the other, in order, as a ResultIterator<R>. The range, which may be endless,
  /// is drawn here and by whoever takes results, at most `buffersize` items ahead; an lvalue is referenced until the
  /// iterator goes. Waits for no task.
  /// @throws std::invalid_argument for an option without sense. What iterating the range throws comes in its place.
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, false>
  auto imap(F&& f, Range&& range, const MapOptions& options = {}) {
    return detail::make_stream<false, std::decay_t<F>>(client_, f, std::forward<Range>(range), options, true);
  }
  /// As `imap`, with the results in the order in which they come.
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, false>
  auto imap_unordered(F&& f, Range&& range, const MapOptions& options = {}) {
    return detail::make_stream<false, std::decay_t<F>>(client_, f, std::forward<Range>(range), options, false);
  }
  /// As `map`, with an Outcome<R> for every item, in order: the error of a task is its outcome and is not thrown.
  /// @throws what iterating the range throws; CancelledError; std::invalid_argument for an option without sense
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, false>
  auto try_map(F&& f, Range&& range, const MapOptions& options = {}) { return submit_all(f, range, options).take(); }
  /// As `try_map`, but returns at once: AsyncResult<std::vector<Outcome<R>>>.
  template <class F, std::ranges::input_range Range>
  requires detail::MapTask<F, Range, false>
  auto try_map_async(F&& f, Range&& range, const MapOptions& options = {}) { return submit_all(f, range, options); }
  /// `f(item)` for every item, and all these values reduced to one with `init`, whose type is that of the result:
  /// `reduce(T, T) -> T`, or `reduce(T&, T)` that changes its first argument. It must be associative and commutative:
  /// the values are reduced where they are computed, then over the ranks, in no certain order, so nothing but one value
  /// a rank travels. `init` is used once. If a worker dies, tasks that it had done are done again by others, whatever
  /// `retries` says: it is their value that was lost. Waits for all tasks, then throws the first error in input order.
  ///
  ///     const long sum = pool.map_reduce(heavy_computation, std::plus<>(), data, 0L);
  ///
  /// @throws as `map`; what `reduce` throws
  template <class F, class Reduce, std::ranges::input_range Range, class Init>
  requires detail::FoldTask<F, Reduce, Range, Init>
  auto map_reduce(F&& f, Reduce&& reduce, Range&& range, Init&& init, const MapOptions& options = {}) {
    return submit_fold(f, reduce, range, std::forward<Init>(init), options).take();
  }
  /// As `map_reduce`, but returns at once: AsyncResult<T>.
  template <class F, class Reduce, std::ranges::input_range Range, class Init>
  requires detail::FoldTask<F, Reduce, Range, Init>
  auto map_reduce_async(F&& f, Reduce&& reduce, Range&& range, Init&& init, const MapOptions& options = {}) {
    return submit_fold(f, reduce, range, std::forward<Init>(init), options);
  }
  /// `f(args...)` in a worker; waits for it.
  template <class F, class... Args>
  requires detail::CallTask<F, Args...>
  auto apply(F&& f, Args&&... args) { return submit_one(f, std::forward<Args>(args)...).take(); }
  template <class F, class... Args>
  requires detail::CallTask<F, Args...>
  auto apply_async(F&& f, Args&&... args) { return submit_one(f, std::forward<Args>(args)...); }

  /// A constant for the tasks of this pool, and for any other process: see Shared. Encodes the value and waits for
  /// nothing. The value lives as long as its handles, also after the pool. @throws PoolClosed, or the error of a failed
  /// initializer; what a `serialize` of the user's throws; std::logic_error if a Connection is in it
  template <class T>
  requires Sendable<T> Shared<T> share(T value) {
    check_open();
    return Shared<T>::make(value);
  }

  // What cannot be sent ends in a sentence of the compiler that says why.
  template <class T>
  requires(!Sendable<std::decay_t<T>>) void share(T&&) { detail::require_sendable<std::decay_t<T>>(); }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false>) void map(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false>) void map_async(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, true>) void starmap(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, true>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, true>) void starmap_async(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, true>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false>) void imap(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false>) void imap_unordered(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false>) void try_map(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }
  template <class F, std::ranges::input_range Range>
  requires(!detail::MapTask<F, Range, false>) void try_map_async(F&&, Range&&, const MapOptions& = {}) {
    detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>();
  }
  template <class F, class Reduce, std::ranges::input_range Range, class Init>
  requires(!detail::FoldTask<F, Reduce, Range, Init>) void map_reduce(F&&, Reduce&&, Range&&, Init&&,
                                                                      const MapOptions& = {}) {
    detail::require_fold<std::decay_t<F>, detail::ItemOf<Range>, std::decay_t<Reduce>, detail::Stored<Init>>();
  }
  template <class F, class Reduce, std::ranges::input_range Range, class Init>
  requires(!detail::FoldTask<F, Reduce, Range, Init>) void map_reduce_async(F&&, Reduce&&, Range&&, Init&&,
                                                                            const MapOptions& = {}) {
    detail::require_fold<std::decay_t<F>, detail::ItemOf<Range>, std::decay_t<Reduce>, detail::Stored<Init>>();
  }
  template <class F, class... Args>
  requires(!detail::CallTask<F, Args...>) void apply(F&&, Args&&...) {
    detail::require_task<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>();
  }
  template <class F, class... Args>
  requires(!detail::CallTask<F, Args...>) void apply_async(F&&, Args&&...) {
    detail::require_task<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>();
  }

  /// Number of workers that the pool keeps.
  int processes() const noexcept;
  /// What the pool has done so far. Asks rank 0 and waits for its answer; any time, also after `join`: then the last
  /// numbers.
  Insights insights() const { return insights_until({}); }
  /// As `insights`, but waits at most `limit`. @throws TimeoutError
  template <class Rep, class Period>
  Insights insights(std::chrono::duration<Rep, Period> limit) const {
    return insights_until(detail::deadline_after(limit));
  }
  /// No more tasks; those submitted still run, and the input of an `imap` is drawn further. Does not wait, can be
  /// repeated.
  void close();
  /// Stops all workers at once; every result that is outstanding throws CancelledError. Can be repeated.
  void terminate();
  /// Waits until all workers have left. The input of an `imap` that has not come to its end is drawn to its end now if
  /// its size is known, and cut off if not. @throws std::logic_error before `close` or `terminate`
  void join();
  /// As `join`, but waits at most `limit`; false if workers are left. @throws std::logic_error before `close` or
  /// `terminate`
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> limit) {
    return join_until(detail::deadline_after(limit));
  }

 private:
  void check_open() const;
  Insights insights_until(detail::Deadline deadline) const;
  bool join_until(detail::JobState::Deadline deadline);

  template <bool unpack, class F, class Range>
  auto submit(F& f, Range& range, const MapOptions& options) {
    using R = typename detail::PoolCall<std::decay_t<F>, detail::ItemOf<Range>, unpack>::Result;
    return submit_into<unpack>(detail::make_many<R>(detail::expected_size(range)), f, range, options);
  }

  template <class F, class Range>
  auto submit_all(F& f, Range& range, const MapOptions& options) {
    using R = typename detail::PoolCall<std::decay_t<F>, detail::ItemOf<Range>, false>::Result;
    std::shared_ptr<detail::ResultState<std::vector<Outcome<R>>>> result =
        std::make_shared<detail::ManyOutcomes<R>>(detail::expected_size(range));
    return submit_into<false>(std::move(result), f, range, options);
  }

  template <bool unpack, class T, class F, class Range>
  AsyncResult<T> submit_into(std::shared_ptr<detail::ResultState<T>> result, F& f, Range& range,
                             const MapOptions& options) {
    using Item = detail::ItemOf<Range>;
    using Call = detail::PoolCall<std::decay_t<F>, Item, unpack>;
    detail::JobShape shape = Call::shape();
    detail::set_options(shape, options);
    detail::Buffer callable = Call::encode(f);
    auto checkpoint = detail::open_checkpoint(options.checkpoint, Call::types(), callable);
    detail::JobWriter writer(client_, result, shape, std::move(callable), std::move(checkpoint));
    writer.template add_all<Item>(range);
    writer.finish();
    return AsyncResult<T>(std::move(result));
  }

  template <class F, class Reduce, class Range, class Init>
  auto submit_fold(F& f, Reduce& reduce, Range& range, Init&& init, const MapOptions& options) {
    using Item = detail::ItemOf<Range>;
    using T = detail::Stored<Init>;
    using Call = detail::FoldCall<std::decay_t<F>, Item, std::decay_t<Reduce>, T>;
    detail::JobShape shape = Call::shape();
    detail::set_options(shape, options);
    detail::refuse_checkpoint(options.checkpoint);

    std::shared_ptr<detail::ResultState<T>> result =
        std::make_shared<detail::FoldResult<std::decay_t<Reduce>, T>>(reduce, T(std::forward<Init>(init)));
    detail::JobWriter writer(client_, result, shape, Call::encode(f, reduce));
    writer.template add_all<Item>(range);
    writer.finish();
    return AsyncResult<T>(std::move(result));
  }

  template <class F, class... Args>
  auto submit_one(F& f, Args&&... args) {
    return AsyncResult(detail::submit_call<false>(client_, {}, f, std::forward<Args>(args)...));
  }

  std::shared_ptr<detail::PoolClient> client_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace rankpool
