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
#include <rankpool/detail/dispatch.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/pool_call.hpp>
#include <rankpool/errors.hpp>

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
  std::uint64_t memory_limit = 0;               ///< bytes of address space per worker; 0: no limit
};

struct MapOptions {
  std::size_t chunksize = 0;        ///< tasks that travel together; 0: automatic
  std::optional<int> retries = {};  ///< none: the pool's
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
  /// `f(args...)` in a worker; waits for it.
  template <class F, class... Args>
  requires detail::CallTask<F, Args...>
  auto apply(F&& f, Args&&... args) { return submit_one(f, std::forward<Args>(args)...).take(); }
  template <class F, class... Args>
  requires detail::CallTask<F, Args...>
  auto apply_async(F&& f, Args&&... args) { return submit_one(f, std::forward<Args>(args)...); }

  // What cannot be sent ends in a sentence of the compiler that says why.
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
  /// No more tasks; those submitted still run. Does not wait, can be repeated.
  void close();
  /// Stops all workers at once; every result that is outstanding throws CancelledError. Can be repeated.
  void terminate();
  /// Waits until all workers have left. @throws std::logic_error before `close` or `terminate`
  void join();
  /// Waits at most `limit`; false if workers are left. @throws std::logic_error before `close` or `terminate`
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> limit) {
    return join_until(detail::deadline_after(limit));
  }

 private:
  bool join_until(detail::JobState::Deadline deadline);

  template <bool unpack, class F, class Range>
  auto submit(F& f, Range& range, const MapOptions& options) {
    using Item = detail::ItemOf<Range>;
    using Call = detail::PoolCall<std::decay_t<F>, Item, unpack>;
    using R = typename Call::Result;
    detail::JobShape shape = Call::shape();
    shape.chunksize = detail::checked_chunksize(options.chunksize);
    if (options.retries) shape.retries = detail::checked_retries(*options.retries);

    std::size_t expected = 0;
    if constexpr (std::ranges::sized_range<Range>) expected = static_cast<std::size_t>(std::ranges::size(range));
    auto result = detail::make_many<R>(expected);
    detail::JobWriter writer(client_, result, shape, Call::encode(f));
    writer.template add_all<Item>(range);
    writer.finish();
    return AsyncResult<detail::many_t<R>>(std::move(result));
  }

  template <class F, class... Args>
  auto submit_one(F& f, Args&&... args) {
    using Item = std::tuple<detail::Stored<Args>...>;
    using Call = detail::PoolCall<std::decay_t<F>, Item, true>;
    using R = typename Call::Result;
    auto result = detail::make_one<R>();
    detail::JobWriter writer(client_, result, Call::shape(), Call::encode(f));
    writer.add(Item(std::forward<Args>(args)...));
    writer.finish();
    return AsyncResult<R>(std::move(result));
  }

  std::shared_ptr<detail::PoolClient> client_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace rankpool
