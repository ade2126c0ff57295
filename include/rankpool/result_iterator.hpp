// Results that come one after the other.
#pragma once

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/detail/stream_results.hpp>

namespace rankpool {

/// The results of `Pool::imap`, of which only a few are under way: the input is drawn as they are taken, by the thread
/// that takes them. Mirrors the iterator of `multiprocessing.Pool.imap`, with any chunk size.
///
///     rp::ResultIterator<long> results = pool.imap(heavy_computation, data);
///     for (long result : results) std::cout << result << '\n';
///
/// An input range. The error of a task is thrown in its place, and what comes behind it can still be had: by `next`, or
/// by iterating again, since that goes on where it was left. An exception of the input itself is thrown behind the
/// results of what was drawn, and is the end.
///
///     for (auto it = results.begin(); it != results.end(); ++it)
///       try { use(*it); } catch (const std::exception& error) { report(error); }
///
/// Tasks that return nothing yield their places in the input when iterated; `next` just tells whether there was one.
///
/// Several threads may call `next` and `to_vector`; only one may iterate, and no other use it meanwhile. Destroying it
/// cancels what was not begun, and nothing touches the input afterwards. It may outlive its pool: `join` and the
/// destructor of the pool draw an input of known size to its end and cut off any other, which then ends with
/// PoolClosed.
template <class R>
class ResultIterator {
  using Value = detail::Yield<R>;
  using Results = detail::StreamResults<R>;

 public:
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;

    /// Waits for the result. @throws its error
    Value& operator*() const { return results_->current(); }
    Value* operator->() const { return &**this; }
    /// @throws the error that is passed by, unless `*` has thrown it
    Iterator& operator++() {
      results_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    /// Waits until there is another result, or an error in its place, or the end.
    bool operator==(std::default_sentinel_t) const { return results_->at_end(); }

   private:
    friend class ResultIterator;
    explicit Iterator(Results* results) : results_(results) {}

    Results* results_;
  };

  explicit ResultIterator(std::shared_ptr<Results> results) : results_(std::move(results)) {}
  ResultIterator(ResultIterator&&) noexcept = default;
  ResultIterator& operator=(ResultIterator&& other) noexcept {
    ResultIterator old(std::move(other));
    std::swap(results_, old.results_);
    return *this;
  }
  ~ResultIterator() {
    if (results_) results_->abandon();
  }

  /// Goes on behind the last result that was looked at.
  Iterator begin() {
    results_->begin();
    return Iterator(results_.get());
  }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// Waits for the next result; none (false for tasks that return nothing) at the end, also when called again.
  /// @throws the error of the task; once, what ended the input early; CancelledError
  auto next() { return outcome(results_->next({})); }
  /// Waits at most `limit`; the time that the input itself takes is not limited. @throws TimeoutError if there is none
  /// by then, and it can be called again
  template <class Rep, class Period>
  auto next(std::chrono::duration<Rep, Period> limit) {
    return outcome(results_->next(detail::deadline_after(limit)));
  }
  /// Waits for all that is left. When the error of a task is thrown, what came before it is kept for the next call, be
  /// it of `next` or of `to_vector`.
  std::vector<Value> to_vector() { return results_->take_all({}); }
  /// Waits at most `limit`. @throws TimeoutError, which loses nothing either
  template <class Rep, class Period>
  std::vector<Value> to_vector(std::chrono::duration<Rep, Period> limit) {
    return results_->take_all(detail::deadline_after(limit));
  }

 private:
  static auto outcome(std::optional<Value> value) {
    if constexpr (std::is_void_v<R>) {
      return value.has_value();
    } else {
      return value;
    }
  }

  std::shared_ptr<Results> results_;
};

}  // namespace rankpool
