// Tasks whose values are reduced where they are computed.
#pragma once

#include <cxxabi.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/callable.hpp>
#include <rankpool/detail/copyable.hpp>
#include <rankpool/detail/dispatch.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/result_state.hpp>

namespace rankpool::detail {

/// reduce(T, T) -> T
template <class Reduce, class T>
concept ReducesValues = std::is_invocable_r_v<T, Reduce&, T, T>;
/// reduce(T&, T), which changes its first argument
template <class Reduce, class T>
concept ReducesInPlace = std::is_invocable_v<Reduce&, T&, T>;

/// Without the value if it throws.
template <class Reduce, class T>
void reduce_into(Reduce& reduce, std::optional<T>& sum, T&& value) {
  if (!sum) {
    sum.emplace(std::move(value));
    return;
  }
  try {
    if constexpr (ReducesValues<Reduce, T>) {
      T next = std::invoke(reduce, std::move(*sum), std::move(value));  // it may be a reference to one of them
      sum.emplace(std::move(next));
    } else {
      std::invoke(reduce, *sum, std::move(value));
    }
  } catch (...) {
    sum.reset();  // it may have been moved from
    throw;
  }
}

template <class F, class Item>
concept HasValue = InvocableWith<F, Item, false> && !std::is_void_v<Result<F, Item, false>>;

/// A job that can be sent: the callables, the items, and the values that are reduced.
template <class F, class Item, class Reduce, class T>
concept Foldable = is_sendable_callable<F>() && is_sendable<Item>() && HasValue<F, Item> &&
    std::is_convertible_v<decltype(Invocation<F, Item, false>::call(std::declval<F&>(), std::declval<Item&>())), T> &&
    is_sendable<T>() && std::is_move_constructible_v<T> && is_sendable_callable<Reduce>() &&
    (ReducesValues<Reduce, T> || ReducesInPlace<Reduce, T>);
template <class F, class Reduce, class Range, class Init>
concept FoldTask = Foldable<std::decay_t<F>, ItemOf<Range>, std::decay_t<Reduce>, Stored<Init>>;

/// Does nothing for a Foldable; for others, one sentence that says why it is none.
template <class F, class Item, class Reduce, class T>
consteval void require_fold() {
  if constexpr (!is_sendable_callable<F>() || !is_sendable<Item>() || !InvocableWith<F, Item, false>) {
    require_task<F, Item, false>();
  } else if constexpr (!HasValue<F, Item>) {
    static_assert(never<F>, "rankpool: the function returns nothing, so there is nothing to reduce: use map");
  } else if constexpr (!is_sendable<T>()) {
    require_sendable<T>();
  } else if constexpr (!is_sendable_callable<Reduce>()) {
    require_sendable_callable<Reduce>();
  } else if constexpr (!ReducesValues<Reduce, T> && !ReducesInPlace<Reduce, T>) {
    static_assert(never<Reduce, T>,
                  "rankpool: reduce cannot be called with two values of the type of init: write T reduce(T, T), or "
                  "void reduce(T&, T)");
  } else {
    static_assert(never<F, T>, "rankpool: the result of the function does not convert to the type of init");
  }
}

/// The code for tasks that call an F with an Item and reduce the values to one T, which stays with the callable until
/// it is asked for.
template <class F, class Item, class Reduce, class T>
struct Folder {
  struct State {
    F f;
    Reduce reduce;
    std::optional<T> sum;
  };

  static Entry entry;
  static const Registration registration;

  static void* load(Reader& in) {
    Input input(in);
    return new State{make_callable<F>(input), make_callable<Reduce>(input), std::nullopt};
  }
  static void destroy(void* callable) noexcept { delete static_cast<State*>(callable); }
  static void run(void* callable, Reader& items, std::uint64_t count, TaskSink& sink) {
    State& state = *static_cast<State*>(callable);
    for (; count != 0; --count) {
      if (sink.begin() == nullptr) return;
      auto stage = TaskSink::Stage::decode_arguments;
      const Reader arguments = items;  // for the preview, should the task fail
      bool ok = false;
      try {
        Item item = decode_item<Item>(items);
        stage = TaskSink::Stage::call;
        reduce_into(state.reduce, state.sum, static_cast<T>(Invocation<F, Item, false>::call(state.f, item)));
        ok = true;
      } catch (abi::__forced_unwind&) {
        throw;  // the thread is being cancelled: not an error of the task
      } catch (...) {
        sink.error(stage, stage == TaskSink::Stage::decode_arguments ? std::string()
                                                                     : preview_arguments<Item, false>(arguments));
      }
      if (ok) sink.value();
    }
  }
  static void merge(void* callable, Reader& partial, TaskSink::Stage& stage) {
    State& state = *static_cast<State*>(callable);
    stage = TaskSink::Stage::decode_arguments;
    T value = decode_item<T>(partial);
    stage = TaskSink::Stage::call;
    reduce_into(state.reduce, state.sum, std::move(value));
  }
  static void flush(void* callable, Buffer& out, bool keep) {
    State& state = *static_cast<State*>(callable);
    if (!state.sum) return;
    encode_item(out, *state.sum);
    if (!keep) state.sum.reset();
  }

  static constexpr FoldEntry fold{.merge = &merge, .flush = &flush};
};

template <class F, class Item, class Reduce, class T>
constinit Entry Folder<F, Item, Reduce, T>::entry{
    .load = &load, .destroy = &destroy, .run = &run, .callable = &typeid(F), .fold = &fold};
template <class F, class Item, class Reduce, class T>
const Registration Folder<F, Item, Reduce, T>::registration{entry};

/// What Pool must know of a fold before it can send it.
template <class F, class Item, class Reduce, class T>
struct FoldCall {
  static JobShape shape() {
    JobShape shape;
    shape.item_bytes = static_cast<std::uint32_t>(item_bytes<Item>());
    shape.fold = Codec<T>::raw ? Fold::fixed_size : Fold::any_size;
    return shape;
  }
  static Buffer encode(const F& f, const Reduce& reduce) {
    Buffer callable;
    const std::uint64_t handle = handle_of(Folder<F, Item, Reduce, T>::registration.entry());
    callable.append(&handle, sizeof handle);
    Output output(callable);
    save_callable(output, f);
    save_callable(output, reduce);
    return callable;
  }
};

/// The outcome of a fold: what came back, reduced with the initial value by whoever asks first.
template <class Reduce, class T>
class FoldResult final : public ResultState<T> {
 public:
  FoldResult(Reduce reduce, T init) : reduce_(std::move(reduce)), value_(std::move(init)) {}

  void store(std::uint64_t first, std::uint64_t, Reader& results) override {
    try {
      partial_.emplace(decode_item<T>(results));
    } catch (...) {
      this->decoding_failed(first);
    }
  }
  T take() override {
    const std::lock_guard lock(mutex_);
    complete();
    return std::move(*value_);
  }
  T copy() const override {
    const std::lock_guard lock(mutex_);
    complete();
    if constexpr (IsCopyable<T>::value) {
      return *value_;
    } else {
      return std::move(*value_);
    }
  }

 private:
  // Not by whoever receives it, since user code may wait for other results.
  void complete() const {
    if (failure_) std::rethrow_exception(failure_);
    if (!partial_) return;
    try {
      reduce_into(reduce_, value_, std::move(*partial_));
    } catch (...) {
      failure_ = std::current_exception();
      throw;
    }
    partial_.reset();
  }

  mutable std::mutex mutex_;
  mutable Reduce reduce_;
  mutable std::optional<T> value_;
  mutable std::optional<T> partial_;
  mutable std::exception_ptr failure_;
};

}  // namespace rankpool::detail
