// What the handles of containers have in common.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/container_ops.hpp>
#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

/// What the home has answered.
struct ContainerAnswer {
  std::shared_ptr<const void> keeper;  ///< of the bytes
  bool found = false;
  std::span<const std::byte> bytes;  ///< the value, or the items
  std::size_t size = 0;              ///< of the container, where the home says so
};

/// A new container at this process's rank. @throws NotRunning
ObjectPtr make_container(ObjectType type);

/// A handle of a container: asks its home. The values are there as bytes.
class Container : public Handle {
 protected:
  using Handle::Handle;

  /// @throws TimeoutError if the handle has a limit and there is no answer by then: nothing has changed
  ContainerAnswer ask(ContainerOp operation, Buffer request = {}) const;
  /// The same container, by a handle whose calls wait no longer than that.
  template <class Self, class Rep, class Period>
  static Self limited(Self handle, std::chrono::duration<Rep, Period> limit) {
    handle.limit_ = std::chrono::ceil<std::chrono::nanoseconds>(limit);
    return handle;
  }
  std::size_t ask_size() const { return ask(ContainerOp::size).size; }
  /// Takes back what begin_update has begun, if the home still knows of it.
  void abandon() const noexcept;
  /// "dict 1.2 of rank 0"
  std::string name() const;
  /// @throws std::out_of_range
  [[noreturn]] void throw_no_key(const std::string& key, const ContainerAnswer& answer) const;
  [[noreturn]] void throw_no_index(std::int64_t index, const ContainerAnswer& answer) const;

  /// An empty request; the handles in it will stand for their objects by themselves, since values are decoded by others
  /// and later.
  static Buffer new_request() {
    Buffer request;
    request.set_decoded_once();
    return request;
  }
  static Buffer new_request(std::int64_t index) {
    Buffer request = new_request();
    request.append(&index, sizeof index);
    return request;
  }
  /// Appends an item, made of what the two functions append.
  template <class Key, class Value>
  static void append_item(Buffer& out, Key&& key, std::string_view type, Value&& value) {
    const std::size_t at = out.size();
    const std::size_t carried = out.cargo().size();
    ItemHead head;
    out.extend(sizeof head);
    key();
    head.key = out.size() - at - sizeof head;
    out.append(type.data(), type.size());
    head.type = type.size();
    const std::size_t value_at = out.size();
    value();
    head.value = out.size() - value_at;
    finish_item(out, at, head, carried);
  }
  template <class V>
  static V decode_value(std::span<const std::byte> bytes) {
    Reader in(bytes);
    V value = Codec<V>::decode(in);
    if (in.remaining() != 0) throw_left_over(typeid(V), in.remaining());
    return value;
  }
  /// Calls `f(key, value)` with the bytes of every item.
  template <class F>
  static void for_each_item(const ContainerAnswer& answer, F&& f) {
    for (Reader in(answer.bytes); in.remaining() != 0;) {
      ItemHead head;
      in.read(&head, sizeof head);
      const auto key = in.take(head.key);
      f(key, in.take(head.value));
    }
  }
  /// Between begin_update and end_update: applies `f` to what `make` makes, and sends `request` of that.
  template <class Make, class F, class Request>
  auto run_update(Make&& make, F&& f, Request&& request) const;

 private:
  ContainerAnswer ask_until(Deadline deadline, ContainerOp operation, Buffer request) const;
  /// Writes the head and the handles of an item; those in the key count too, but no key has any.
  static void finish_item(Buffer& out, std::size_t at, ItemHead head, std::size_t carried);

  std::optional<std::chrono::nanoseconds> limit_;
};

template <class Make, class F, class Request>
auto Container::run_update(Make&& make, F&& f, Request&& request) const {
  using Value = std::invoke_result_t<Make>;
  using Result = std::decay_t<std::invoke_result_t<F, Value&>>;
  try {
    Value value = make();
    if constexpr (std::is_void_v<Result>) {
      std::invoke(std::forward<F>(f), value);
      ask_until({}, ContainerOp::end_update, request(value));  // nothing keeps it waiting
    } else {
      Result result = std::invoke(std::forward<F>(f), value);
      ask_until({}, ContainerOp::end_update, request(value));
      return result;
    }
  } catch (...) {
    abandon();
    throw;
  }
}

}  // namespace rankpool::detail
