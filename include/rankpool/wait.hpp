// Waiting for several futures.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/detail/end_watch.hpp>
#include <rankpool/future.hpp>

namespace rankpool {

/// When `wait` returns.
enum class ReturnWhen {
  all_completed,
  first_completed,  ///< as soon as one has ended or was cancelled
  first_exception,  ///< as soon as one has ended with an error (a cancelled one has none), or all have ended
};

/// The futures given to `wait`, each once, in the order in which they were given.
template <class R>
struct WaitResult {
  std::vector<Future<R>> done;      ///< ended or cancelled
  std::vector<Future<R>> not_done;  ///< the others
};

namespace detail {

template <class Range>
concept FutureRange = std::ranges::input_range<Range> && IsFuture<std::ranges::range_value_t<Range>>::value;
template <class Range>
using result_of_futures = typename IsFuture<std::ranges::range_value_t<Range>>::Result;

template <class R>
std::vector<std::shared_ptr<JobState>> states_of(const std::vector<Future<R>>& futures) {
  std::vector<std::shared_ptr<JobState>> states;
  states.reserve(futures.size());
  for (const Future<R>& future : futures) states.push_back(FutureAccess::state(future));
  return states;
}

template <class R, class Range>
std::vector<Future<R>> futures_of(Range&& range) {
  std::vector<Future<R>> futures;
  if constexpr (std::ranges::sized_range<Range>) futures.reserve(std::ranges::size(range));
  for (auto&& future : range) futures.push_back(future);
  return futures;
}

}  // namespace detail

/// Waits for the futures, at most `limit` (any duration, std::nullopt or nothing; zero or negative: does not wait), and
/// says which have ended. Futures of several executors, and of `then`, may be mixed. Mirrors `concurrent.futures.wait`.
///
///     auto [done, not_done] = rp::wait(futures, 10s, rp::ReturnWhen::first_completed);
template <detail::FutureRange Range>
auto wait(Range&& futures, detail::Limit limit = {}, ReturnWhen when = ReturnWhen::all_completed)
    -> WaitResult<detail::result_of_futures<Range>> {
  using R = detail::result_of_futures<Range>;
  std::vector<Future<R>> given = detail::futures_of<R>(futures);
  const detail::EndWatch watch(detail::states_of(given));
  if (watch.size() > 0) {
    watch.wait(when == ReturnWhen::first_completed ? 1 : watch.size(), when == ReturnWhen::first_exception,
               limit.deadline());
  }
  WaitResult<R> result;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (!watch.counts(i)) continue;
    const bool ended = detail::FutureAccess::state(given[i])->ended();
    (ended ? result.done : result.not_done).push_back(std::move(given[i]));
  }
  return result;
}
template <class R>
WaitResult<R> wait(std::initializer_list<Future<R>> futures, detail::Limit limit = {},
                   ReturnWhen when = ReturnWhen::all_completed) {
  return wait(std::ranges::subrange(futures.begin(), futures.end()), limit, when);
}

}  // namespace rankpool
