// A sequence that many processes share.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <ranges>
#include <utility>
#include <vector>

#include <rankpool/detail/container.hpp>

namespace rankpool {

/// Values in order at the home rank of the list; copies are handles of one list. Any thread may use it, and it can be
/// sent anywhere, also as a value of another container. Every call asks the home and waits for its answer. Values are
/// copies: changing one changes nothing in the list until it is set again, or use `update`. A negative index counts
/// from the end. Made by Manager::list. Mirrors the ListProxy of `multiprocessing.Manager().list()`.
template <class T>
class List : public detail::Container {
 public:
  using value_type = T;
  using Index = std::int64_t;
  static constexpr detail::ObjectType type = detail::ObjectType::list;

  /// The same list by a handle whose calls wait at most `limit` while another process updates it. @throws TimeoutError
  /// from those calls, if that lasts longer: they have changed nothing
  template <class Rep, class Period>
  List within(std::chrono::duration<Rep, Period> limit) const {
    return limited(*this, limit);
  }

  void append(const T& value) { ask(Op::insert, item_request(end_index, value)); }
  /// Appends every element of a range, in one message and at one moment.
  template <std::ranges::input_range Range>
  void extend(Range&& range) {
    detail::Buffer request = new_request(end_index);
    for (const T& value : range) append_value(request, value);
    ask(Op::insert, std::move(request));
  }
  /// Before the element that has this index; at an end of the list if there is none.
  void insert(Index index, const T& value) { ask(Op::insert, item_request(index, value)); }

  /// @throws std::out_of_range if there is no such element
  T get(Index index) const { return decode_value<T>(found(index, ask(Op::get, new_request(index))).bytes); }
  /// @throws std::out_of_range if there is no such element
  void set(Index index, const T& value) { found(index, ask(Op::put, item_request(index, value))); }
  /// Takes an element out, the last one by default. @throws std::out_of_range if there is no such element
  T pop(Index index = -1) { return decode_value<T>(found(index, ask(Op::pop, new_request(index))).bytes); }
  /// All of it at one moment.
  std::vector<T> to_vector() const {
    std::vector<T> all;
    for_each_item(ask(Op::values), [&](auto, auto value) { all.push_back(decode_value<T>(value)); });
    return all;
  }
  std::size_t size() const { return ask_size(); }
  bool empty() const { return size() == 0; }
  void clear() { ask(Op::clear); }

  /// Runs `f(value)`, a `T&`, in this process while the home keeps all other changes of this list waiting (reads see
  /// the value as it was), and sets the element to what `f` made of it. If `f` throws, or this process ends, nothing
  /// has changed. What `f` returns. @throws std::out_of_range if there is no such element; std::logic_error if `f`
  /// changes this list in another way, which would wait for itself
  template <class F>
  requires std::invocable<F, T&>
  auto update(Index index, F&& f) {
    const auto answer = found(index, ask(Op::begin_update, new_request(index)));
    return run_update([&] { return decode_value<T>(answer.bytes); }, std::forward<F>(f),
                      [&](const T& value) { return item_request(index, value); });
  }

 private:
  friend class Manager;
  template <class U>
  friend struct detail::Codec;
  using Op = detail::ContainerOp;
  static constexpr Index end_index = std::numeric_limits<Index>::max();
  explicit List(detail::ObjectPtr object) noexcept : Container(std::move(object)) {}

  detail::ContainerAnswer found(Index index, detail::ContainerAnswer answer) const {
    if (!answer.found) throw_no_index(index, answer);
    return answer;
  }
  static void append_value(detail::Buffer& out, const T& value) {
    append_item(
        out, [] {}, {}, [&] { detail::Codec<T>::encode(out, value); });
  }
  static detail::Buffer item_request(Index index, const T& value) {
    detail::Buffer request = new_request(index);
    append_value(request, value);
    return request;
  }
};

}  // namespace rankpool
