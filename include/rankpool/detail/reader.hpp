// Bytes that came out of a frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace rankpool::detail {

/// @throws SerializationError
[[noreturn]] void throw_too_short(std::uint64_t wanted, std::uint64_t left);
/// @throws SerializationError
[[noreturn]] void throw_damaged(const char* what);

/// To be called where values contain values of their own type, as deep as the bytes say. @throws SerializationError if
/// little is left of the stack of this thread
void check_depth();

/// Reads from front to back and never past the end. Does not own the bytes.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) noexcept : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - at_); }

  /// The next `count` bytes, in place. @throws SerializationError if fewer are left
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > remaining()) [[unlikely]]
      throw_too_short(count, remaining());
    const auto size = static_cast<std::size_t>(count);
    const std::byte* from = at_;
    at_ += size;
    return {from, size};
  }
  /// @throws SerializationError if fewer than `count` bytes are left
  void read(void* into, std::size_t count) {
    const auto bytes = take(count);
    if (count != 0) std::memcpy(into, bytes.data(), count);
  }
  /// One number, as it lies in memory. @throws SerializationError
  template <class T>
  T get() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    T value;
    read(&value, sizeof value);
    return value;
  }
  /// A number of elements, each of which takes at least `element_bytes`: a damaged one is refused before memory is
  /// asked for. @throws SerializationError
  std::size_t get_count(std::size_t element_bytes = 1) {
    const auto count = get<std::uint64_t>();
    if (count > remaining() / element_bytes) [[unlikely]]
      throw_damaged("a number of elements is larger than the message");
    return static_cast<std::size_t>(count);
  }
  /// One byte that is 0 or 1. @throws SerializationError
  bool get_bool() {
    const auto byte = get<std::uint8_t>();
    if (byte > 1) [[unlikely]]
      throw_damaged("a bool is neither true nor false");
    return byte != 0;
  }

 private:
  const std::byte* at_;
  const std::byte* end_;
};

}  // namespace rankpool::detail
