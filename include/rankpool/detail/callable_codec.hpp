// How a callable becomes bytes and is made again.
#pragma once

#include <bit>
#include <functional>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/function_pointer.hpp>

namespace rankpool::detail {

template <class F>
concept MemberFunctionPointer = std::is_member_function_pointer_v<F>;
/// Its type says all: function objects without members, lambdas without captures.
template <class F>
concept Stateless = std::is_class_v<F> && std::is_empty_v<F> && std::is_default_constructible_v<F>;

template <class F>
struct IsStdFunction : std::false_type {};
template <class Signature>
struct IsStdFunction<std::function<Signature>> : std::true_type {};

/// Can F, decayed, travel? Whether it can be called is another question (Invocation).
template <class F>
consteval bool is_sendable_callable() {
  if constexpr (FunctionPointer<F> || MemberFunctionPointer<F> || std::is_member_object_pointer_v<F>) {
    return true;
  } else if constexpr (!std::is_class_v<F> || IsStdFunction<F>::value) {
    return false;
  } else if constexpr (Stateless<F>) {
    return true;
  } else {
    return is_sendable<F>();
  }
}

/// @throws UnknownFunction for a null pointer, or one that is no function
void require_callable_pointer(bool is_null, const std::type_info& type);

template <class Out, class F>
void save_callable(Out& out, const F& f) {
  if constexpr (MemberFunctionPointer<F>) {
    static_assert(sizeof(MemberWords) == sizeof(F), "rankpool: only the Itanium C++ ABI is supported");
    require_callable_pointer(f == nullptr, typeid(F));
    const WireMember wire = encode_member(std::bit_cast<MemberWords>(f), typeid(F));
    out.buffer().append(&wire, sizeof wire);
  } else if constexpr (!Stateless<F>) {
    if constexpr (FunctionPointer<F>) require_callable_pointer(f == nullptr, typeid(F));
    save_value(out, f);
  }
}

template <class F, class In>
F make_callable(In& in) {
  if constexpr (MemberFunctionPointer<F>) {
    WireMember wire;
    in.reader().read(&wire, sizeof wire);
    return std::bit_cast<F>(decode_member(wire, typeid(F)));
  } else if constexpr (Stateless<F>) {
    return F{};
  } else if constexpr (FunctionPointer<F>) {
    const F f = make_value<F>(in);
    require_callable_pointer(f == nullptr, typeid(F));
    return f;
  } else {
    return make_value<F>(in);
  }
}

/// What a task calls: f(item), or f(elements of item...) for a std::tuple, std::pair or std::array with `unpack`.
/// The item is handed over as an rvalue where f takes that, which binds to T, T&& and const T&; else as an lvalue (T&).
/// With `unpack` that goes for all elements alike.
template <class F, class Item, bool unpack>
struct Invocation {
  static constexpr bool by_rvalue = std::is_invocable_v<F&, Item>;
  static constexpr bool possible = by_rvalue || std::is_invocable_v<F&, Item&>;

  static decltype(auto) call(F& f, Item& item) {
    if constexpr (by_rvalue) {
      return std::invoke(f, std::move(item));
    } else {
      return std::invoke(f, item);
    }
  }
};

template <class Item>
concept TupleLike = requires {
  std::tuple_size<Item>::value;
};

template <class F, class Item>
struct Invocation<F, Item, true> {
 private:
  template <class I, std::size_t... i>
  static consteval bool invocable(std::index_sequence<i...>) {
    return std::is_invocable_v<F&, decltype(std::get<i>(std::declval<I>()))...>;
  }
  template <class I>
  static consteval bool invocable() {
    if constexpr (TupleLike<Item>) {
      return invocable<I>(std::make_index_sequence<std::tuple_size_v<Item>>{});
    } else {
      return false;
    }
  }

 public:
  static constexpr bool by_rvalue = invocable<Item&&>();
  static constexpr bool possible = by_rvalue || invocable<Item&>();

  static decltype(auto) call(F& f, Item& item) {
    if constexpr (by_rvalue) {
      return std::apply(f, std::move(item));
    } else {
      return std::apply(f, item);
    }
  }
};

template <class F, class Item, bool unpack>
concept InvocableWith = Invocation<F, Item, unpack>::possible;

/// What the caller gets for a task; void for void.
template <class F, class Item, bool unpack>
requires InvocableWith<F, Item, unpack>
using Result = std::decay_t<decltype(Invocation<F, Item, unpack>::call(std::declval<F&>(), std::declval<Item&>()))>;

template <class R>
concept SendableResult = std::is_void_v<R> || Sendable<R>;

}  // namespace rankpool::detail
