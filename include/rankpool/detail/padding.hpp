// Values that lie in memory with bytes between their members.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include <rankpool/detail/buffer.hpp>

namespace rankpool::detail {

/// Can two equal values differ in their bytes, because some of these belong to no member?
template <class T>
inline constexpr bool may_have_padding =
    !std::has_unique_object_representations_v<T> && !std::is_same_v<T, float> && !std::is_same_v<T, double>;

/// Zeroes what belongs to no member of these encoded values.
template <class T>
void clear_padding(std::byte* bytes, std::size_t count) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
  for (; count > 0; --count, bytes += sizeof(T)) {
    alignas(T) std::byte value[sizeof(T)];
    std::memcpy(value, bytes, sizeof value);
    __builtin_clear_padding(reinterpret_cast<T*>(value));
    std::memcpy(bytes, value, sizeof value);
  }
#endif
#endif
}

/// Appends values as they lie in memory.
template <class T>
void append_raw(Buffer& out, const T* values, std::size_t count) {
  const std::size_t bytes = count * sizeof(T);
  out.append(values, bytes);
  if constexpr (may_have_padding<T>) {
    if (out.comparable()) [[unlikely]]
      clear_padding<T>(out.data() + (out.size() - bytes), count);
  }
}

}  // namespace rankpool::detail
