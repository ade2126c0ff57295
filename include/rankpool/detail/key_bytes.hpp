// The keys of a dict: values that are equal when their bytes are.
#pragma once

#include <array>
#include <optional>
#include <ranges>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/handle.hpp>
#include <rankpool/detail/refusals.hpp>
#include <rankpool/detail/type_name.hpp>

namespace rankpool::detail {

template <class K>
consteval bool has_equal_bytes();

// By its parts, if it has such.
template <class K>
struct EqualBytes : std::true_type {};
template <std::ranges::range K>
struct EqualBytes<K> : std::bool_constant<has_equal_bytes<std::ranges::range_value_t<K>>()> {};
template <class A, class B>
struct EqualBytes<std::pair<A, B>>
    : std::bool_constant<has_equal_bytes<std::remove_const_t<A>>() && has_equal_bytes<B>()> {};
template <class... E>
struct EqualBytes<std::tuple<E...>> : std::bool_constant<(has_equal_bytes<E>() && ...)> {};
template <class E>
struct EqualBytes<std::optional<E>> : std::bool_constant<has_equal_bytes<E>()> {};
template <class... E>
struct EqualBytes<std::variant<E...>> : std::bool_constant<(has_equal_bytes<E>() && ...)> {};

template <class K>
concept Unordered = requires {
  typename K::hasher;
};

template <class K>
consteval bool has_equal_bytes() {
  if constexpr (Unordered<K>) {
    return false;
  } else if constexpr (std::is_same_v<K, long double>) {
    return false;  // six of its bytes mean nothing
  } else if constexpr (IsRaw<K>::value && (std::is_class_v<K> || std::is_union_v<K>)) {
    return std::has_unique_object_representations_v<K>;
  } else {
    return EqualBytes<K>::value;
  }
}

/// Does nothing for a K that can be a key; for others, a sentence.
template <class K>
consteval void require_key() {
  if constexpr (!is_sendable<K>()) {
    require_sendable<K>();
  } else if constexpr (HandleType<K>) {
    static_assert(never<K>, "rankpool: a handle cannot be a key of a dict: give the objects names");
  } else if constexpr (Unordered<K>) {
    static_assert(
        never<K>,
        "rankpool: an unordered container cannot be a key of a dict, since equal ones may travel as different "
        "bytes: use std::set or std::map");
  } else {
    static_assert(has_equal_bytes<K>(),
                  "rankpool: this type cannot be a key of a dict, since equal values of it may have different bytes "
                  "(padding, or a floating-point member): use a std::tuple of its members, or give it a Boost "
                  "serialize()");
  }
}

/// Both zeros are one key.
template <class K>
void encode_key(Buffer& out, const K& key) {
  if constexpr (std::is_floating_point_v<K>) {
    Codec<K>::encode(out, key == 0 ? K{0} : key);
  } else {
    Codec<K>::encode(out, key);
  }
}

/// For messages.
template <class K>
std::string shown_key(const K& key) {
  if constexpr (std::is_same_v<K, std::string>) {
    return "\"" + key.substr(0, 200) + "\"";
  } else if constexpr (std::is_same_v<K, bool>) {
    return key ? "true" : "false";
  } else if constexpr (std::is_same_v<K, char>) {
    return {'\'', key, '\''};
  } else if constexpr (std::is_arithmetic_v<K>) {
    return std::to_string(key);
  } else {
    return "like this (a " + std::string(type_name<K>()) + ")";
  }
}

}  // namespace rankpool::detail
