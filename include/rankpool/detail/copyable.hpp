// Which values can be copied.
#pragma once

#include <type_traits>

#include <rankpool/detail/codec.hpp>

namespace rankpool::detail {

/// Can a T be copied? std::is_copy_constructible says yes to every container, also of elements that cannot.
template <class T>
struct IsCopyable : std::is_copy_constructible<T> {};
template <template <class...> class C, class... Part>
requires HasFormat<C<Part...>>
struct IsCopyable<C<Part...>>
    : std::bool_constant<std::is_copy_constructible_v<C<Part...>> && (IsCopyable<Part>::value && ...)> {
};

}  // namespace rankpool::detail
