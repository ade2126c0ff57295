// As what an argument or an element of a range is kept until it is sent.
#pragma once

#include <cstddef>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>

namespace rankpool::detail {

template <class T>
struct StoredAs {
  using type = T;
};
// The entries of a map.
template <class K, class V>
struct StoredAs<std::pair<const K, V>> {
  using type = std::pair<K, V>;
};

/// Decayed, but a string literal becomes a std::string, and an entry of a map may be moved.
template <class T>
using Stored = typename StoredAs<
    std::conditional_t<std::is_array_v<std::remove_reference_t<T>> &&
                           std::is_same_v<std::remove_cv_t<std::remove_extent_t<std::remove_reference_t<T>>>, char>,
                       std::string, std::decay_t<T>>>::type;

/// The item type of a job over a range.
template <std::ranges::range Range>
using ItemOf = Stored<std::ranges::range_value_t<Range>>;

}  // namespace rankpool::detail
