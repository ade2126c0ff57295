// The results of a stream, until they are taken.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/stream_state.hpp>

namespace rankpool::detail {

/// What a stream of tasks that return R yields: tasks that return nothing yield their places in the input.
template <class R>
using Yield = std::conditional_t<std::is_void_v<R>, std::size_t, R>;

template <class R>
class StreamResults : public StreamState {
  using Value = Yield<R>;

 public:
  /// The next result; none at the end. @throws its error; TimeoutError; what ended the input or the job, once
  std::optional<Value> next(Deadline deadline) {
    std::unique_lock lock(mutex_);
    return value_of(take(lock, deadline));
  }

  /// All that are left. What it has when it throws is kept for the next call.
  std::vector<Value> take_all(Deadline deadline) {
    std::unique_lock lock(mutex_);
    while (std::optional<Value> value = value_of(take_new(lock, deadline))) kept_.push_back(std::move(*value));
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(std::exchange(kept_taken_, 0)));
    return std::exchange(kept_, {});
  }

  // What an iterator points to: the current result, looked for when it is first asked for. One thread, while no other
  // takes results.

  void begin() {
    if (seen_) drop_current();
  }
  bool at_end() {
    fetch();
    return current_.index() == 0;
  }
  Value& current() {
    if (at_end()) throw std::out_of_range("ResultIterator: there is nothing behind the end of the results");
    seen_ = true;
    if (const auto* error = std::get_if<std::exception_ptr>(&current_)) std::rethrow_exception(*error);
    return std::get<1>(current_);
  }
  void advance() {
    fetch();
    std::exception_ptr error;
    if (const auto* found = std::get_if<std::exception_ptr>(&current_); found != nullptr && !seen_) error = *found;
    drop_current();
    if (error) std::rethrow_exception(error);
  }

  void store(std::uint64_t first, std::uint64_t count, Reader& results) override {
    const std::uint64_t bytes = results.remaining();
    std::unique_lock lock(mutex_);
    for (std::uint64_t task = first; task < first + count; ++task) {
      if constexpr (std::is_void_v<R>) {
        const std::uint64_t place = position(task);
        slot(slot_of(place)).template emplace<1>(static_cast<std::size_t>(place));
      } else {
        try {
          Value value = decode_item<R>(results);
          slot(slot_of(position(task))).template emplace<1>(std::move(value));
        } catch (...) {
          lock.unlock();
          this->decoding_failed(task);
          lock.lock();
        }
      }
    }
    took_in(lock, first, count, bytes);
  }

 protected:
  using StreamState::StreamState;

 private:
  using Slot = std::variant<std::monostate, Value, std::exception_ptr>;

  Slot& slot(std::uint64_t number) noexcept { return slots_[number & (slots_.size() - 1)]; }
  bool head_ready() const override { return !slots_.empty() && slots_[yielded_ & (slots_.size() - 1)].index() != 0; }
  void put_error(std::uint64_t number, std::exception_ptr error) override {
    slot(number).template emplace<2>(std::move(error));
  }
  void reserve(std::uint64_t count) override {
    if (count <= slots_.size()) return;
    std::vector<Slot> more(std::bit_ceil(std::max<std::uint64_t>(count, 16)));
    for (std::uint64_t i = yielded_; i < yielded_ + slots_.size(); ++i)
      more[i & (more.size() - 1)] = std::move(slot(i));
    slots_.swap(more);
  }

  Slot take(std::unique_lock<std::mutex>& lock, Deadline deadline) {
    if (kept_taken_ < kept_.size()) {
      Slot kept(std::in_place_index<1>, std::move(kept_[kept_taken_++]));
      if (kept_taken_ == kept_.size()) {
        kept_.clear();
        kept_taken_ = 0;
      }
      return kept;
    }
    return take_new(lock, deadline);
  }
  Slot take_new(std::unique_lock<std::mutex>& lock, Deadline deadline) {
    if (current_.index() != 0 && !seen_) return std::exchange(current_, Slot());
    if (!await(lock, deadline)) return Slot();
    Slot taken = std::exchange(slot(yielded_), Slot());
    passed(lock);
    return taken;
  }
  static std::optional<Value> value_of(Slot slot) {
    if (auto* error = std::get_if<std::exception_ptr>(&slot)) std::rethrow_exception(std::move(*error));
    if (slot.index() == 0) return std::nullopt;
    return std::get<1>(std::move(slot));
  }

  void fetch() {
    if (current_.index() != 0) return;
    std::unique_lock lock(mutex_);
    try {
      current_ = take(lock, {});
    } catch (...) {
      current_.template emplace<2>(std::current_exception());
    }
  }
  void drop_current() {
    current_.template emplace<0>();
    seen_ = false;
  }

  std::vector<Slot> slots_;  // a ring; its size is a power of two
  std::vector<Value> kept_;  // by a to_vector that was not finished
  std::size_t kept_taken_ = 0;
  Slot current_;
  bool seen_ = false;  // `current_` was given to the user
};

}  // namespace rankpool::detail
