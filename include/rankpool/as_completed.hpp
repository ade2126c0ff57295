// Futures in the order in which they end.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include <rankpool/detail/end_watch.hpp>
#include <rankpool/future.hpp>
#include <rankpool/wait.hpp>

namespace rankpool {

namespace detail {

/// @throws TimeoutError
[[noreturn]] void throw_unfinished(std::size_t left, std::size_t all);

}  // namespace detail

/// What as_completed returns: an input range of futures that can be gone through once. It has no handle any more of a
/// future that was passed.
template <class R>
class CompletedFutures {
  struct Source {
    Source(std::vector<Future<R>> given, detail::Deadline until) : watch(detail::states_of(given)), deadline(until) {
      futures.reserve(given.size());
      for (Future<R>& future : given) futures.emplace_back(std::move(future));
    }
    void advance() {
      current.reset();
      if (watch.left() == 0) return;
      const std::optional<std::size_t> index = watch.next(deadline);
      if (!index) detail::throw_unfinished(watch.left(), watch.size());
      current.swap(futures[*index]);
    }

    detail::EndWatch watch;
    detail::Deadline deadline;
    std::vector<std::optional<Future<R>>> futures;
    std::optional<Future<R>> current;
  };

 public:
  CompletedFutures(std::vector<Future<R>> futures, detail::Deadline deadline)
      : source_(std::make_unique<Source>(std::move(futures), deadline)) {}

  class Iterator {
   public:
    using value_type = Future<R>;
    using difference_type = std::ptrdiff_t;

    Future<R>& operator*() const noexcept { return *source_->current; }
    Future<R>* operator->() const noexcept { return &*source_->current; }
    /// Waits for the next one. @throws TimeoutError
    Iterator& operator++() {
      source_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) noexcept { return !it.source_->current; }

   private:
    friend class CompletedFutures;
    explicit Iterator(Source& source) : source_(&source) {}
    Source* source_;
  };

  /// Waits for the first one. Once. @throws TimeoutError
  Iterator begin() {
    source_->advance();
    return Iterator(*source_);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::unique_ptr<Source> source_;
};

/// The futures, each once, in the order in which they end, those first that have ended before. Whoever goes through
/// them waits for each; TimeoutError if not all have ended within `limit` of this call (any duration, std::nullopt or
/// nothing). Futures of several executors, and of `then`, may be mixed. Mirrors `concurrent.futures.as_completed`.
///
///     for (rp::Future<long> future : rp::as_completed(futures, 60s)) std::cout << future.result() << '\n';
template <detail::FutureRange Range>
auto as_completed(Range&& futures, detail::Limit limit = {}) -> CompletedFutures<detail::result_of_futures<Range>> {
  using R = detail::result_of_futures<Range>;
  return {detail::futures_of<R>(futures), limit.deadline()};
}
template <class R>
CompletedFutures<R> as_completed(std::initializer_list<Future<R>> futures, detail::Limit limit = {}) {
  return {std::vector<Future<R>>(futures), limit.deadline()};
}

}  // namespace rankpool
