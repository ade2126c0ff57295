// Where the results of a job are put together.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/copyable.hpp>
#include <rankpool/detail/job_state.hpp>

namespace rankpool::detail {

/// The state of a job whose outcome as a whole is a `T`.
template <class T>
class ResultState : public JobState {
 public:
  /// The outcome, moved out of the state; only when nobody else has a handle.
  virtual T take() = 0;
  /// The outcome as a copy.
  virtual T copy() const = 0;
};
template <>
class ResultState<void> : public JobState {};

/// The result of a job of one task, or of one that is done in this process.
template <class R>
class LocalResult : public ResultState<R> {
 public:
  /// Before the job ends.
  template <class... Value>
  void set(Value&&... value) {
    value_.emplace(std::forward<Value>(value)...);
  }
  R take() override { return std::move(*value_); }
  R copy() const override {
    if constexpr (IsCopyable<R>::value) {
      return *value_;
    } else {
      return std::move(*value_);
    }
  }

 private:
  mutable std::optional<R> value_;
};
/// A job without results.
template <>
class LocalResult<void> final : public ResultState<void> {};
using NoResults = LocalResult<void>;

/// The result of a job of one task.
template <class R>
class OneResult final : public LocalResult<R> {
 public:
  void store(std::uint64_t first, std::uint64_t, Reader& results) override {
    try {
      this->set(decode_item<R>(results));
    } catch (...) {
      this->decoding_failed(first);
    }
  }
};

/// The results of a map, in the order of its input.
template <class R>
class ManyResults final : public ResultState<std::vector<R>> {
  // Values that can lie about unset until they come need no optional around them.
  static constexpr bool plain = Codec<R>::raw && std::is_trivially_copyable_v<R> &&
                                std::is_default_constructible_v<R> && !std::is_same_v<R, bool>;
  using Place = std::conditional_t<plain, R, std::optional<R>>;

 public:
  explicit ManyResults(std::size_t expected) { places_.reserve(expected); }

  void store(std::uint64_t first, std::uint64_t count, Reader& results) override {
    // what is said to be there must be, before memory is asked for
    constexpr std::uint64_t least = item_bytes<R>() != 0 ? item_bytes<R>() : sizeof(std::uint64_t);
    if (count > results.remaining() / least) throw_damaged("it has fewer results than it says");
    const std::uint64_t end = first + count;
    if (places_.size() < end) {
      if (places_.capacity() < end) places_.reserve(std::max<std::uint64_t>(end, 2 * places_.capacity()));
      places_.resize(end);
    }
    if constexpr (plain) {
      results.read(places_.data() + first, count * sizeof(R));
    } else {
      for (std::uint64_t i = first; i < end; ++i) {
        try {
          places_[i].emplace(decode_item<R>(results));
        } catch (...) {
          this->decoding_failed(i);
        }
      }
    }
  }
  std::vector<R> take() override {
    if constexpr (plain) {
      return std::move(places_);
    } else {
      std::vector<R> all;
      all.reserve(places_.size());
      for (Place& place : places_) all.push_back(std::move(*place));
      return all;
    }
  }
  std::vector<R> copy() const override {
    if constexpr (plain) {
      return places_;
    } else {
      std::vector<R> all;
      all.reserve(places_.size());
      for (const Place& place : places_) {
        if constexpr (IsCopyable<R>::value) {
          all.push_back(*place);
        } else {
          all.push_back(std::move(const_cast<Place&>(place)).value());
        }
      }
      return all;
    }
  }

 private:
  std::vector<Place> places_;
};

}  // namespace rankpool::detail
