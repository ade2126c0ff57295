// How a value becomes bytes and is made again.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <typeinfo>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/memory_archive.hpp>
#include <rankpool/detail/padding.hpp>
#include <rankpool/detail/raw.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

/// How a type of the standard library travels (std_types.hpp). A specialisation has
///   static constexpr bool sendable;            // so are its elements
///   static void save(Out&, const T&);          // Out: Output or MemoryOArchive
///   static void load(In&, T&);                 // In: Input or MemoryIArchive; T is alive, with any content
///   static T make(In&);                        // only where T may lack a default constructor
template <class T>
struct Format {
  static constexpr bool unknown = true;
};
template <class T>
concept HasFormat = !requires {
  Format<T>::unknown;
};

/// The bytes of a T. Types of rankpool that need more than their bytes specialise it; all others are covered here:
/// `raw` ones as they lie in memory, std types by their Format, the rest by their Boost `serialize`.
template <class T>
struct Codec {
  using Generic = void;
  /// Always sizeof(T) bytes, those of the object itself.
  static constexpr bool raw = IsRaw<T>::value;
  /// @throws whatever the user's `serialize` throws; the buffer then has a part of it
  static void encode(Buffer& out, const T& value);
  /// @throws SerializationError, or whatever the user's `serialize` throws
  static T decode(Reader& in);
};

template <class T>
concept HasOwnCodec = !requires {
  typename Codec<T>::Generic;
};

/// Sent through a `serialize` of the user's; needs a default constructor, as a Boost container of it does.
template <class T>
concept BoostSendable = HasBoostSerialize<T> && std::is_default_constructible_v<T> && std::is_move_constructible_v<T>;

template <class T>
consteval bool is_sendable() {
  if constexpr (!std::is_object_v<T> || std::is_const_v<T> || std::is_volatile_v<T>) {
    return false;
  } else if constexpr (HasOwnCodec<T> || IsRaw<T>::value) {
    return true;
  } else if constexpr (HasFormat<T>) {
    return Format<T>::sendable;
  } else {
    return BoostSendable<T>;
  }
}

/// Not for Boost's archive, although it may meet one in its elements.
template <class T>
struct IsDirect : std::bool_constant<HasOwnCodec<T> || IsRaw<T>::value || HasFormat<T>> {};

template <class Out, class T>
void save_value(Out& out, const T& value) {
  if constexpr (HasOwnCodec<T>) {
    Codec<T>::encode(out.buffer(), value);
  } else if constexpr (IsRaw<T>::value) {
    append_raw(out.buffer(), &value, 1);
  } else if constexpr (HasFormat<T>) {
    Format<T>::save(out, value);
  } else {
    out.archive() << value;
  }
}

template <class In, class T>
void load_into(In& in, T& value) {
  if constexpr (HasOwnCodec<T>) {
    value = Codec<T>::decode(in.reader());
  } else if constexpr (std::is_same_v<T, bool>) {
    value = in.reader().get_bool();
  } else if constexpr (IsRaw<T>::value) {
    in.reader().read(static_cast<void*>(&value), sizeof value);
  } else if constexpr (HasFormat<T>) {
    Format<T>::load(in, value);
  } else {
    in.archive() >> value;
  }
}

template <class T>
concept MadeByFormat = HasFormat<T> && !std::is_default_constructible_v<T>;

template <class T, class In>
T make_value(In& in) {
  if constexpr (HasOwnCodec<T>) {
    return Codec<T>::decode(in.reader());
  } else if constexpr (std::is_same_v<T, bool>) {
    return in.reader().get_bool();
  } else if constexpr (IsRaw<T>::value) {
    std::array<std::byte, sizeof(T)> bytes;
    in.reader().read(bytes.data(), bytes.size());
    return std::bit_cast<T>(bytes);
  } else if constexpr (MadeByFormat<T>) {
    return Format<T>::make(in);
  } else {
    T value{};
    load_into(in, value);
    return value;
  }
}

template <class T>
void Codec<T>::encode(Buffer& out, const T& value) {
  Output output(out);
  save_value(output, value);
}

template <class T>
T Codec<T>::decode(Reader& in) {
  Input input(in);
  return make_value<T>(input);
}

/// A value that has no bytes. @throws SerializationError
[[noreturn]] void throw_unsendable(const char* what);
/// Is left over after a value was read from all the bytes that were written for it. @throws SerializationError
[[noreturn]] void throw_left_over(const std::type_info& type, std::size_t bytes);

// ---- items: the values of a run of tasks, one after the other

template <class T>
struct ItemBytes : std::integral_constant<std::uint64_t, Codec<T>::raw ? sizeof(T) : 0> {};
template <>
struct ItemBytes<void> : std::integral_constant<std::uint64_t, 0> {};

/// sizeof(T) when raw; else 0, and each item has its length as 8 bytes before it. `void` has neither.
template <class T>
consteval std::uint64_t item_bytes() {
  return ItemBytes<T>::value;
}

/// Appends one item. When it throws, a part of the item may be in the buffer.
template <class T>
void encode_item(Buffer& out, const T& value) {
  if constexpr (Codec<T>::raw) {
    Codec<T>::encode(out, value);
  } else {
    const std::size_t at = out.size();
    out.extend(sizeof(std::uint64_t));
    Codec<T>::encode(out, value);
    const std::uint64_t length = out.size() - at - sizeof length;
    std::memcpy(out.data() + at, &length, sizeof length);
  }
}

/// The next item; the reader then stands behind it even if the item itself was refused. @throws SerializationError, or
/// whatever the user's `serialize` throws
template <class T>
T decode_item(Reader& in) {
  if constexpr (Codec<T>::raw) {
    return Codec<T>::decode(in);
  } else {
    const auto length = in.get<std::uint64_t>();
    Reader item(in.take(length));
    T value = Codec<T>::decode(item);
    if (item.remaining() != 0) [[unlikely]]
      throw_left_over(typeid(T), item.remaining());
    return value;
  }
}

}  // namespace rankpool::detail

#include <rankpool/detail/std_types.hpp>

namespace rankpool {

/// A value that can be sent to another process: numbers, enums, plain structs without pointers, the types of the
/// standard library made of such, anything with a Boost `serialize`, and the handles of rankpool.
template <class T>
concept Sendable = detail::is_sendable<std::remove_cvref_t<T>>();

}  // namespace rankpool
