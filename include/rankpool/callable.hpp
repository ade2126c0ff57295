// What can be called in another process, and arguments bound to it.
//
// A method that takes a callable has two overloads, so that it stays visible to concepts and yet explains itself:
//
//   template <class F, std::ranges::input_range Range>
//   requires detail::Task<std::decay_t<F>, detail::ItemOf<Range>, false>
//   auto map(F&& f, Range&& range) -> std::vector<detail::Result<std::decay_t<F>, detail::ItemOf<Range>, false>>;
//
//   template <class F, std::ranges::input_range Range>
//   requires(!detail::Task<std::decay_t<F>, detail::ItemOf<Range>, false>)
//   void map(F&&, Range&&) { detail::require_task<std::decay_t<F>, detail::ItemOf<Range>, false>(); }
//
// `apply(f, args...)` is a Task of one item std::tuple<detail::Stored<Args>...> with `unpack`.
#pragma once

#include <concepts>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rankpool/detail/callable_codec.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/refusals.hpp>
#include <rankpool/detail/stored.hpp>

namespace rankpool {

/// A callable that can be sent to another process: functions and pointers to them, lambdas whose captures are trivially
/// copyable and no references, member functions, functors that are trivially copyable or have a Boost `serialize`, and
/// partial(f, args...) of these.
template <class F>
concept SendableCallable = detail::is_sendable_callable<std::decay_t<F>>();

/// A callable with its first arguments bound, Python's functools.partial. The bound arguments are kept from call to
/// call and given as lvalues.
template <class F, class... Bound>
class Partial {
 public:
  Partial(F f, std::tuple<Bound...> bound) : f_(std::move(f)), bound_(std::move(bound)) {}

  template <class... Args>
  requires std::invocable<F&, Bound&..., Args...>
  decltype(auto) operator()(Args&&... args) {
    return std::apply(
        [&](Bound&... bound) -> decltype(auto) { return std::invoke(f_, bound..., std::forward<Args>(args)...); },
        bound_);
  }
  template <class... Args>
  requires std::invocable<const F&, const Bound&..., Args...>
  decltype(auto) operator()(Args&&... args) const {
    return std::apply(
        [&](const Bound&... bound) -> decltype(auto) { return std::invoke(f_, bound..., std::forward<Args>(args)...); },
        bound_);
  }

 private:
  friend struct detail::Format<Partial>;

  F f_;
  std::tuple<Bound...> bound_;
};

/// Binds the first arguments of `f`: `pool.map(partial(dot, weights), points)` calls `dot(weights, point)`. This is how
/// data that a lambda cannot carry (std::vector, std::string, ...) travels. String literals are bound as std::string.
template <class F, class... Args>
auto partial(F&& f, Args&&... args) -> Partial<std::decay_t<F>, detail::Stored<Args>...> {
  detail::require_sendable_callable<std::decay_t<F>>();
  (detail::require_sendable<detail::Stored<Args>>(), ...);
  return {std::forward<F>(f), std::tuple<detail::Stored<Args>...>(std::forward<Args>(args)...)};
}

/// A function that is part of a type, so nothing but the type needs to travel: see `fn`.
template <auto function>
struct Function {
  template <class... Args>
  requires std::invocable<decltype(function), Args...>
  decltype(auto) operator()(Args&&... args) const { return std::invoke(function, std::forward<Args>(args)...); }
};

/// `fn<f>` is `f` for `pool.map(fn<f>, data)`: each process calls its own `f`, and nothing is looked up. The way to
/// name a function of the C library, which may be a different one on each CPU.
template <auto function>
inline constexpr Function<function> fn{};

namespace detail {

template <class F, class... Bound>
struct IsRaw<Partial<F, Bound...>> : std::false_type {};

template <class F, class... Bound>
struct Format<Partial<F, Bound...>> {
  using T = Partial<F, Bound...>;
  using BoundTuple = std::tuple<Bound...>;
  static constexpr bool sendable = is_sendable_callable<F>() && is_sendable<BoundTuple>();

  static void save(auto& out, const T& partial) {
    save_callable(out, partial.f_);
    save_value(out, partial.bound_);
  }
  static void load(auto& in, T& partial) { partial = make(in); }
  // Braces: from left to right, unlike the arguments of a call.
  static T make(auto& in) { return T{make_callable<F>(in), make_value<BoundTuple>(in)}; }
};

}  // namespace detail

}  // namespace rankpool
