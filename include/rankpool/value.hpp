// One value that processes share.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include <rankpool/detail/words.hpp>
#include <rankpool/lock.hpp>

namespace rankpool {

/// A trivially copyable value in the memory of its maker's rank; copies are handles of one value, and can be sent
/// anywhere. Each operation is one atomic step, also for large types: nobody sees half a write, and one whose process
/// dies is not begun. Mirrors `multiprocessing.Value`, whose `v.value += 1` is two steps: here it is `fetch_add`.
/// Any thread may use it.
template <class T>
class Value : public detail::Handle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::value;

  /// A new value. @throws NotRunning; Error if there is no room
  explicit Value(const T& init = T()) : Handle(detail::make_value(sizeof(T))) {
    detail::require_shared<T>();
    store(init);
  }

  T load() const {
    if constexpr (detail::WordSized<T>) {
      const detail::Word word = detail::load_word(object(), 0, sizeof(T));
      return detail::from_bytes<T>(&word);
    } else {
      std::array<std::byte, sizeof(T)> bytes;
      detail::load_record(object(), bytes);
      return detail::from_bytes<T>(bytes.data());
    }
  }
  void store(const T& value) const {
    if constexpr (detail::WordSized<T>) {
      detail::store_word(object(), 0, sizeof(T), detail::to_word(value));
    } else {
      detail::store_record(object(), std::as_bytes(std::span(&value, 1)));
    }
  }
  /// Stores `value`, and returns what was there.
  T exchange(const T& value) const {
    if constexpr (detail::WordSized<T>) {
      const detail::Word word = detail::exchange_word(object(), 0, sizeof(T), detail::to_word(value));
      return detail::from_bytes<T>(&word);
    } else {
      std::array<std::byte, sizeof(T)> bytes;
      std::memcpy(bytes.data(), &value, sizeof value);
      detail::exchange_record(object(), bytes);
      return detail::from_bytes<T>(bytes.data());
    }
  }
  /// Stores `desired` if `expected` is there, byte for byte; else `expected` becomes what is there.
  bool compare_exchange(T& expected, const T& desired) const {
    if constexpr (detail::WordSized<T>) {
      detail::Word word = detail::to_word(expected);
      if (detail::compare_exchange_word(object(), 0, sizeof(T), word, detail::to_word(desired))) return true;
      expected = detail::from_bytes<T>(&word);
      return false;
    } else {
      return detail::compare_exchange_record(object(), std::as_writable_bytes(std::span(&expected, 1)),
                                             std::as_bytes(std::span(&desired, 1)));
    }
  }
  /// Adds `value`, and returns what was there. Integers wrap.
  T fetch_add(T value) const requires detail::Number<T> {
    if constexpr (detail::WordSized<T>) {
      const detail::Word word =
          detail::add_to_word(object(), 0, sizeof(T), std::is_floating_point_v<T>, detail::to_word(value));
      return detail::from_bytes<T>(&word);
    } else {
      std::array<std::byte, sizeof(T)> before;  // not a T: a copy of one need not keep its padding
      detail::load_record(object(), before);
      for (;;) {
        const T old = detail::from_bytes<T>(before.data());
        const T sum = old + value;
        if (detail::compare_exchange_record(object(), before, std::as_bytes(std::span(&sum, 1)))) return old;
      }
    }
  }

  /// The lock that belongs to this value, the same for all handles in all processes. The operations above do not take
  /// it: it is for what needs several of them.
  RLock get_lock() const { return RLock(object()); }

 private:
  template <class>
  friend struct detail::Codec;
  explicit Value(detail::ObjectPtr object) noexcept : Handle(std::move(object)) {}
};

}  // namespace rankpool
