// The sentences of the compiler when something cannot be sent.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <type_traits>

#include <rankpool/detail/callable_codec.hpp>
#include <rankpool/detail/codec.hpp>

namespace rankpool {
template <class F, class... Bound>
class Partial;
}

namespace rankpool::detail {

template <class...>
inline constexpr bool never = false;

template <class T>
struct IsSmartPointer : std::false_type {};
template <class T, class D>
struct IsSmartPointer<std::unique_ptr<T, D>> : std::true_type {};
template <class T>
struct IsSmartPointer<std::shared_ptr<T>> : std::true_type {};
template <class T>
struct IsSmartPointer<std::weak_ptr<T>> : std::true_type {};

template <class T>
concept CharPointer = std::is_same_v<T, char*> || std::is_same_v<T, const char*>;
/// A closure, or another class that is no aggregate, with a reference in it.
template <class T>
concept HoldsReference = std::is_class_v<T> && std::is_trivially_copyable_v<T> && !std::is_standard_layout_v<T> &&
                         !std::is_move_assignable_v<T>;

template <class T>
consteval void require_sendable();

/// Explains the first of several types that cannot be sent.
template <class First, class... Rest>
consteval void require_sendable_parts() {
  if constexpr (!is_sendable<First>() || sizeof...(Rest) == 0) {
    require_sendable<First>();
  } else {
    require_sendable_parts<Rest...>();
  }
}

/// Finds the part of a std type that cannot be sent.
template <class T>
struct Parts {
  static consteval void require() {}
};
template <template <class...> class C, class... Part>
struct Parts<C<Part...>> {
  static consteval void require() { require_sendable_parts<Part...>(); }
};
template <class E, std::size_t n>
struct Parts<std::array<E, n>> {
  static consteval void require() { require_sendable<E>(); }
};

/// Does nothing for a T that can be sent; for others, one of these sentences.
template <class T>
consteval void require_sendable() {
  if constexpr (is_sendable<T>()) {
  } else if constexpr (!std::is_object_v<T>) {
    static_assert(never<T>, "rankpool: a reference means nothing in another process: send the value");
  } else if constexpr (std::is_const_v<T> || std::is_volatile_v<T>) {
    static_assert(never<T>,
                  "rankpool: a const part of a value cannot be made again in another process: drop the const");
  } else if constexpr (CharPointer<T>) {
    static_assert(never<T>, "rankpool: a char pointer means nothing in another process: send a std::string");
  } else if constexpr (IsAddress<T>::value && !std::is_class_v<T>) {
    static_assert(never<T>, "rankpool: a pointer means nothing in another process: send the value, or an index");
  } else if constexpr (IsAddress<T>::value) {
    static_assert(
        never<T>,
        "rankpool: this type only points into memory of this process (std::string_view, std::span, std::ref, an "
        "iterator): send the values themselves, in a std::string or std::vector");
  } else if constexpr (IsStdFunction<T>::value) {
    static_assert(
        never<T>,
        "rankpool: a std::function cannot be sent, its content is a run-time secret: pass the function or lambda "
        "itself");
  } else if constexpr (IsSmartPointer<T>::value) {
    static_assert(never<T>,
                  "rankpool: a smart pointer means nothing in another process: send the value it points to, or a "
                  "std::optional of it");
  } else if constexpr (HasFormat<T>) {
    Parts<T>::require();
  } else if constexpr (HasBoostSerialize<T>) {
    static_assert(
        never<T>,
        "rankpool: a type with a Boost serialize() needs a public default constructor and a move constructor");
  } else if constexpr (std::is_trivially_copyable_v<T>) {
    static_assert(
        never<T>,
        "rankpool: this type holds a pointer or a reference, which means nothing in another process: hold the "
        "value, or an index, or give it a Boost serialize() member");
  } else {
    static_assert(
        never<T>,
        "rankpool: this type has no Boost serialize() and cannot be copied byte by byte: give it a serialize() "
        "member");
  }
}

template <class F>
struct PartialParts : std::false_type {};
template <class F, class... Bound>
struct PartialParts<Partial<F, Bound...>> : std::true_type {
  static consteval void require();
};

/// Does nothing for an F (decayed) that can be sent; for others, one of these sentences.
template <class F>
consteval void require_sendable_callable() {
  if constexpr (is_sendable_callable<F>()) {
  } else if constexpr (!std::is_class_v<F>) {
    static_assert(never<F>, "rankpool: this is nothing that can be called");
  } else if constexpr (IsStdFunction<F>::value) {
    static_assert(
        never<F>,
        "rankpool: a std::function cannot be sent, its content is a run-time secret: pass the function or lambda "
        "itself");
  } else if constexpr (IsAddress<F>::value) {
    static_assert(never<F>, "rankpool: std::ref means nothing in another process: pass the function or lambda itself");
  } else if constexpr (PartialParts<F>::value) {
    PartialParts<F>::require();
  } else if constexpr (HasBoostSerialize<F>) {
    static_assert(never<F>, "rankpool: a functor with a Boost serialize() needs a public default constructor");
  } else if constexpr (HoldsReference<F>) {
    static_assert(never<F>,
                  "rankpool: this lambda captures by reference; the worker is another process, so capture by value");
  } else if constexpr (std::is_trivially_copyable_v<F>) {
    static_assert(
        never<F>,
        "rankpool: this functor holds a pointer or a reference, which means nothing in another process: hold the "
        "value, or an index");
  } else {
    static_assert(
        never<F>,
        "rankpool: this callable holds data that cannot be copied byte by byte (std::string, std::vector, ...): "
        "bind the data with rankpool::partial(f, data...), or give the functor a Boost serialize() member");
  }
}

template <class F, class... Bound>
consteval void PartialParts<Partial<F, Bound...>>::require() {
  require_sendable_callable<F>();
  (require_sendable<Bound>(), ...);
}

/// Does nothing for a result that can be sent back (or void); for others, one of these sentences.
template <class R>
consteval void require_sendable_result() {
  if constexpr (SendableResult<R>) {
  } else if constexpr (IsAddress<R>::value || IsSmartPointer<R>::value) {
    static_assert(
        never<R>,
        "rankpool: the function returns a pointer or a view, which means nothing in another process: return the "
        "value");
  } else {
    static_assert(
        never<R>,
        "rankpool: the result of the function cannot be sent back: it, or a part of it, has no Boost serialize() "
        "and cannot be copied byte by byte");
  }
}

/// A job that can be sent: the callable, its items, and the results.
template <class F, class Item, bool unpack>
concept Task = is_sendable_callable<F>() && is_sendable<Item>() && InvocableWith<F, Item, unpack> &&
    SendableResult<Result<F, Item, unpack>>;

/// Does nothing for a Task; for others, one sentence that says why it is none.
template <class F, class Item, bool unpack>
consteval void require_task() {
  if constexpr (!is_sendable_callable<F>()) {
    require_sendable_callable<F>();
  } else if constexpr (!is_sendable<Item>()) {
    require_sendable<Item>();
  } else if constexpr (!InvocableWith<F, Item, unpack>) {
    if constexpr (!unpack) {
      static_assert(never<F, Item>, "rankpool: the function cannot be called with the element type");
    } else if constexpr (TupleLike<Item>) {
      static_assert(never<F, Item>, "rankpool: the function cannot be called with these arguments");
    } else {
      static_assert(never<F, Item>, "rankpool: starmap needs a range of std::tuple, std::pair or std::array");
    }
  } else {
    require_sendable_result<Result<F, Item, unpack>>();
  }
}

}  // namespace rankpool::detail
