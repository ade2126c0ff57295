// An array that processes share.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/words.hpp>
#include <rankpool/lock.hpp>

namespace rankpool {

/// A fixed number of trivially copyable elements in the memory of its maker's rank; copies are handles of one array,
/// and can be sent anywhere. `get`, `set` and `fetch_add` of elements of 1, 2, 4 or 8 bytes are one atomic step each;
/// guard larger ones, and what concerns several elements, with `get_lock`. Mirrors `multiprocessing.Array`. Any thread
/// may use it.
template <class T>
class Array : public detail::Handle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::array;

  /// `size` elements of zero bytes. @throws NotRunning; Error if there is no room
  explicit Array(std::size_t size) : Handle(detail::make_array(size, sizeof(T))) { detail::require_shared<T>(); }
  /// The elements of a range.
  template <std::ranges::input_range Range>
  requires(!std::same_as<std::remove_cvref_t<Range>, Array> &&
           std::convertible_to<std::ranges::range_reference_t<Range>, T>) explicit Array(Range&& range)
      : Array(OfBytes(), bytes_of(range)) {}

  std::size_t size() const noexcept { return detail::bytes_of_array(object()) / sizeof(T); }

  /// @throws std::out_of_range
  T get(std::size_t index) const {
    check(index, 1);
    if constexpr (detail::WordSized<T>) {
      const detail::Word word = detail::load_word(object(), index * sizeof(T), sizeof(T));
      return detail::from_bytes<T>(&word);
    } else {
      std::array<std::byte, sizeof(T)> bytes;
      detail::read_bytes(object(), index * sizeof(T), bytes);
      return detail::from_bytes<T>(bytes.data());
    }
  }
  /// @throws std::out_of_range
  void set(std::size_t index, const T& value) const {
    check(index, 1);
    if constexpr (detail::WordSized<T>) {
      detail::store_word(object(), index * sizeof(T), sizeof(T), detail::to_word(value));
    } else {
      detail::write_bytes(object(), index * sizeof(T), std::as_bytes(std::span(&value, 1)));
    }
  }
  /// Copies the elements from `offset` on, as many as `to` has room for. @throws std::out_of_range if those are too
  /// many
  void read(std::span<T> to, std::size_t offset = 0) const {
    check(offset, to.size());
    detail::read_bytes(object(), offset * sizeof(T), std::as_writable_bytes(to));
  }
  /// Copies `from` over the elements from `offset` on. @throws std::out_of_range if those are too many
  void write(std::span<const T> from, std::size_t offset = 0) const {
    check(offset, from.size());
    detail::write_bytes(object(), offset * sizeof(T), std::as_bytes(from));
  }
  /// Adds `value` to one element in one step, and returns what was there. Integers wrap. @throws std::out_of_range
  T fetch_add(std::size_t index, T value) const requires(detail::Number<T>&& detail::WordSized<T>) {
    check(index, 1);
    const detail::Word word = detail::add_to_word(object(), index * sizeof(T), sizeof(T), std::is_floating_point_v<T>,
                                                  detail::to_word(value));
    return detail::from_bytes<T>(&word);
  }

  /// The lock that belongs to this array, the same for all handles in all processes. The operations above do not take
  /// it.
  RLock get_lock() const { return RLock(object()); }

 private:
  template <class>
  friend struct detail::Codec;
  explicit Array(detail::ObjectPtr object) noexcept : Handle(std::move(object)) {}

  void check(std::size_t first, std::size_t count) const {
    const std::size_t all = size();
    if (count > all || first > all - count) detail::check_range(object(), first, count, all);
  }
  struct OfBytes {};
  template <class Bytes>
  Array(OfBytes, const Bytes& bytes) : Array(bytes.size() / sizeof(T)) {
    detail::write_bytes(object(), 0, {bytes.data(), bytes.size()});
  }
  /// As they lie in memory, or copied together.
  template <class Range>
  static auto bytes_of(Range& range) {
    if constexpr (std::ranges::contiguous_range<Range> && std::same_as<std::ranges::range_value_t<Range>, T>) {
      return std::as_bytes(std::span<const T>(range));
    } else {
      detail::Buffer bytes;
      for (auto&& element : range) {
        const T value = static_cast<T>(element);
        bytes.append(&value, sizeof value);
      }
      return bytes;
    }
  }
};

}  // namespace rankpool
