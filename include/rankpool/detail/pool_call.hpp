// What Pool must know of a callable and its arguments before it can send them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/callable.hpp>
#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/dispatch.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/result_state.hpp>
#include <rankpool/map_options.hpp>

namespace rankpool::detail {

/// Can `f` be mapped over the range? With `unpack` the elements of each item are its arguments.
template <class F, class Range, bool unpack>
concept MapTask = Task<std::decay_t<F>, ItemOf<Range>, unpack>;
/// Can `f(args...)` be run elsewhere?
template <class F, class... Args>
concept CallTask = Task < std::decay_t<F>,
        std::tuple<Stored<Args>...>,
true > ;

/// What a map over tasks that return R returns.
template <class R>
struct Many {
  using type = std::vector<R>;
};
template <>
struct Many<void> {
  using type = void;
};
template <class R>
using many_t = typename Many<R>::type;

/// How many results a range will have; 0 if that is not known.
template <class Range>
std::size_t expected_size(Range& range) {
  if constexpr (std::ranges::sized_range<Range>) return static_cast<std::size_t>(std::ranges::size(range));
  return 0;
}

template <class R>
std::shared_ptr<ResultState<many_t<R>>> make_many(std::size_t expected) {
  if constexpr (std::is_void_v<R>) {
    return std::make_shared<NoResults>();
  } else {
    return std::make_shared<ManyResults<R>>(expected);
  }
}
template <class R>
std::shared_ptr<ResultState<R>> make_one() {
  if constexpr (std::is_void_v<R>) {
    return std::make_shared<NoResults>();
  } else {
    return std::make_shared<OneResult<R>>();
  }
}

/// Calls of an F with an Item each; with `unpack` the elements of the Item are the arguments.
template <class F, class Item, bool unpack>
struct PoolCall {
  using Result = detail::Result<F, Item, unpack>;

  static JobShape shape() {
    JobShape shape;
    shape.item_bytes = static_cast<std::uint32_t>(item_bytes<Item>());
    return shape;
  }
  static Buffer encode(const F& f) {
    Buffer callable;
    callable.set_comparable();
    encode_callable<F, Item, unpack>(callable, f);
    return callable;
  }
  static TaskTypes types() { return task_types<F, Item, unpack>(); }
};

/// Writes an initializer for the workers, whenever it is asked to.
template <class F>
std::function<void(Buffer&)> initializer_encoder(F&& f) {
  using Callable = std::decay_t<F>;
  auto kept = std::make_shared<Callable>(std::forward<F>(f));
  return [kept](Buffer& out) { encode_callable<Callable, std::tuple<>, true>(out, *kept); };
}

/// @throws std::invalid_argument for an option without sense
void set_options(JobShape& shape, const MapOptions& options);
/// @throws std::invalid_argument for a negative number
int checked_retries(int retries);

}  // namespace rankpool::detail
