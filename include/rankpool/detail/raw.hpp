// Which types travel as the bytes they are.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <complex>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <ranges>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <variant>

#include <rankpool/detail/serialize_probe.hpp>

namespace rankpool::detail {

template <class T>
concept FunctionPointer = std::is_pointer_v<T> && std::is_function_v<std::remove_pointer_t<T>>;

// Library types that are nothing but an address in the process that made them.
template <class T>
struct IsAddress
    : std::bool_constant<std::is_pointer_v<T> || std::is_null_pointer_v<T> || std::is_member_function_pointer_v<T>> {};
template <class T>
struct IsAddress<std::reference_wrapper<T>> : std::true_type {};
template <class T>
struct IsAddress<std::initializer_list<T>> : std::true_type {};
// In a plain struct; on their own they travel by parts.
template <class T>
struct IsAddress<std::optional<T>> : IsAddress<T> {};
template <class... T>
struct IsAddress<std::variant<T...>> : std::bool_constant<(IsAddress<T>::value || ...)> {};
template <>
struct IsAddress<std::error_code> : std::true_type {};
template <>
struct IsAddress<std::error_condition> : std::true_type {};
template <>
struct IsAddress<std::type_index> : std::true_type {};
// std::span, std::string_view and their like, and iterators over memory.
template <class T>
requires(std::is_class_v<T> &&
         (std::contiguous_iterator<T> ||
          (std::ranges::contiguous_range<T> && std::ranges::borrowed_range<T>))) struct IsAddress<T> : std::true_type {
};

/// Classes that may be copied as bytes, as far as the type system can tell without looking into them. A class with a
/// reference inside is neither standard-layout nor assignable.
template <class T>
concept ByteCopyable = std::is_trivially_copyable_v<T> &&
                       (std::is_copy_constructible_v<T> || std::is_move_constructible_v<T>)&&!IsAddress<T>::value
                       && (std::is_standard_layout_v<T> || std::is_move_assignable_v<T>);

namespace probe {

template <class T>
struct ArrayElement {
  using type = T;
};
template <class T, std::size_t n>
struct ArrayElement<std::array<T, n>> : ArrayElement<T> {};

// A std::array of scalars is left whole, since it may be long.
template <class T>
concept Elided = std::is_aggregate_v<T> && std::is_aggregate_v<typename ArrayElement<T>::type>;

// Stands for any value that is not itself an aggregate: in `T{leaf, leaf, ...}` brace elision then takes every
// aggregate apart, arrays and base classes too, and one leaf is needed for each scalar.
struct AnyLeaf {
  template <class T>
  requires(!Elided<T>) operator T() const;
};
template <class T>
consteval bool is_plain_leaf() {
  using Element = typename ArrayElement<T>::type;
  if constexpr (std::is_class_v<Element>) {
    return ByteCopyable<Element>;
  } else {
    return !IsAddress<Element>::value;
  }
}
// The same for a value that is known to hold no pointer.
struct PlainLeaf {
  template <class T>
  requires(!Elided<T> && is_plain_leaf<T>()) operator T() const;
};

template <class Leaf, std::size_t>
using Repeat = Leaf;
template <class T, class Leaf, std::size_t... i>
concept BuiltFrom = requires {
  T{Repeat<Leaf, i>{}...};
};

template <class T, class Leaf, std::size_t... i>
consteval bool built_from(std::index_sequence<i...>) {
  return BuiltFrom<T, Leaf, i...>;
}
// Larger classes are looked at as far as this.
inline constexpr std::size_t max_leaves = 24;

template <class T, std::size_t n>
consteval bool plain_with() {
  if constexpr (built_from<T, AnyLeaf>(std::make_index_sequence<n>{})) {
    return built_from<T, PlainLeaf>(std::make_index_sequence<n>{});
  } else if constexpr (n == 0) {
    return false;  // a reference member, or one that cannot be seen into
  } else {
    return plain_with<T, n - 1>();
  }
}

}  // namespace probe

/// An aggregate without pointers or references in its first members, also inside the aggregates in it.
template <class T>
concept PlainAggregate = std::is_aggregate_v<T> && ByteCopyable<T> && probe::plain_with<T, probe::max_leaves>();

/// Copied as bytes: what Codec<T>::raw says.
template <class T>
struct IsRaw : std::bool_constant<!std::is_class_v<T> && !std::is_union_v<T> && std::is_trivially_copyable_v<T> &&
                                  !std::is_array_v<T> && !IsAddress<T>::value> {};
template <class T>
requires((std::is_class_v<T> || std::is_union_v<T>)&&ByteCopyable<T> && !HasBoostSerialize<T>) struct IsRaw<T>
    : std::bool_constant<PlainAggregate<T> || !std::is_aggregate_v<T>> {
};
template <class T>
requires(std::is_enum_v<T>&& HasBoostSerialize<T>) struct IsRaw<T> : std::false_type {
};
// Whether or not the user includes Boost's header for them.
template <class T>
struct IsRaw<std::complex<T>> : std::true_type {};
template <std::size_t n>
struct IsRaw<std::bitset<n>> : std::true_type {};
template <class T, std::size_t n>
struct IsRaw<std::array<T, n>> : IsRaw<T> {};
// By parts, since a part may be no raw type.
template <class T>
struct IsRaw<std::optional<T>> : std::false_type {};
template <class... T>
struct IsRaw<std::variant<T...>> : std::false_type {};
template <class... T>
struct IsRaw<std::tuple<T...>> : std::false_type {};
template <class A, class B>
struct IsRaw<std::pair<A, B>> : std::false_type {};

}  // namespace rankpool::detail
