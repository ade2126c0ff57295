// What a Process must know of its function and arguments before it can send them.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rankpool/callable.hpp>
#include <rankpool/detail/dispatch.hpp>

namespace rankpool::detail {

/// In the child: the function and its arguments have been decoded, so the parent need not keep them any more.
void process_begins();

/// A function whose result nobody wants, so that it may be anything.
template <class F>
class ProcessCall {
 public:
  explicit ProcessCall(F f) : f_(std::move(f)) {}

  template <class... Args>
  requires std::invocable<F&, Args...>
  void operator()(Args&&... args) {
    process_begins();
    static_cast<void>(std::invoke(f_, std::forward<Args>(args)...));
  }

 private:
  friend struct Format<ProcessCall>;

  F f_;
};

template <class F>
struct IsRaw<ProcessCall<F>> : std::false_type {};

template <class F>
struct Format<ProcessCall<F>> {
  static constexpr bool sendable = is_sendable_callable<F>();

  static void save(auto& out, const ProcessCall<F>& call) { save_callable(out, call.f_); }
  static void load(auto& in, ProcessCall<F>& call) { call = make(in); }
  static ProcessCall<F> make(auto& in) { return ProcessCall<F>(make_callable<F>(in)); }
};

/// Can `f(args...)` be the life of a process?
template <class F, class... Args>
concept ProcessTask = is_sendable_callable<std::decay_t<F>>() && Task < ProcessCall<std::decay_t<F>>,
        std::tuple<Stored<Args>...>,
true > ;

/// Keeps the function and its arguments, and writes them when it is asked to.
template <class F, class... Args>
std::function<void(Buffer&)> process_encoder(F&& f, Args&&... args) {
  using Call = ProcessCall<std::decay_t<F>>;
  using Arguments = std::tuple<Stored<Args>...>;
  auto call = std::make_shared<Call>(std::forward<F>(f));
  auto arguments = std::make_shared<Arguments>(std::forward<Args>(args)...);
  return [call, arguments](Buffer& out) {
    encode_callable<Call, Arguments, true>(out, *call);
    encode_item(out, *arguments);
  };
}

}  // namespace rankpool::detail
