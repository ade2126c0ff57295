// The compiled half of Value and Array.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include <rankpool/detail/handle.hpp>
#include <rankpool/detail/raw.hpp>

namespace rankpool::detail {

/// A value of up to 8 bytes, in the low ones.
using Word = std::uint64_t;

/// Sizes for which there are atomic operations.
constexpr bool is_word(std::size_t size) noexcept { return size == 1 || size == 2 || size == 4 || size == 8; }

template <class T>
concept WordSized = is_word(sizeof(T));
/// What can be added up.
template <class T>
concept Number = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

template <class T>
constexpr void require_shared() {
  static_assert(std::is_trivially_copyable_v<T>,
                "Value and Array hold types that are trivially copyable: numbers, and plain structs of them. Put other "
                "values into a Manager's dict or list");
  static_assert(
      !IsAddress<T>::value,
      "an address means nothing in another process: keep an index, or the thing itself, in the Value or Array");
}

template <class T>
Word to_word(const T& value) noexcept {
  Word word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}
/// A T of these bytes; it need not have a default constructor.
template <class T>
T from_bytes(const void* bytes) noexcept {
  std::array<std::byte, sizeof(T)> copy;
  std::memcpy(copy.data(), bytes, sizeof copy);
  return std::bit_cast<T>(copy);
}

/// Zeroed memory for one value, or for an array of `bytes` bytes. @throws NotRunning; Error if there is no room
ObjectPtr make_value(std::size_t bytes);
ObjectPtr make_array(std::size_t count, std::size_t element);
std::size_t bytes_of_array(const ObjectPtr& object) noexcept;

// Words at an offset, each a single atomic step. `size` is a word's.
Word load_word(const ObjectPtr& object, std::size_t offset, std::size_t size);
void store_word(const ObjectPtr& object, std::size_t offset, std::size_t size, Word value);
Word exchange_word(const ObjectPtr& object, std::size_t offset, std::size_t size, Word value);
/// Compares bytes; `expected` is what was found if it is false.
bool compare_exchange_word(const ObjectPtr& object, std::size_t offset, std::size_t size, Word& expected, Word value);
Word add_to_word(const ObjectPtr& object, std::size_t offset, std::size_t size, bool floating, Word value);

// Values of other sizes, whole. Spans have the size of the value.
void load_record(const ObjectPtr& object, std::span<std::byte> to);
void store_record(const ObjectPtr& object, std::span<const std::byte> from);
/// `bytes` are the new ones, and then those before.
void exchange_record(const ObjectPtr& object, std::span<std::byte> bytes);
bool compare_exchange_record(const ObjectPtr& object, std::span<std::byte> expected, std::span<const std::byte> value);

// Bytes of an array, copied one after the other.
void read_bytes(const ObjectPtr& object, std::size_t offset, std::span<std::byte> to);
void write_bytes(const ObjectPtr& object, std::size_t offset, std::span<const std::byte> from);

/// @throws std::out_of_range unless [first, first + count) are in an array of `size`
void check_range(const ObjectPtr& object, std::size_t first, std::size_t count, std::size_t size);

}  // namespace rankpool::detail
