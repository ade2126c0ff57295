// The items of containers as they lie in frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <rankpool/detail/container_ops.hpp>

#include "wire/messages.hpp"
#include "wire/objects.hpp"

namespace rankpool::wire {

using detail::ContainerOp;
using detail::ContainerSize;
using detail::ItemHead;

/// An item in place.
struct ItemView {
  std::string_view key;
  std::string_view type;
  std::span<const std::byte> value;
  std::span<const std::byte> handles;  ///< Pins, not aligned
};

/// Calls `f(pin)` for every handle of an item.
template <class F>
void for_each_handle(std::span<const std::byte> handles, F&& f) {
  while (!handles.empty()) f(take<Pin>(handles));
}

/// The next `count` bytes. @throws BadFrame
inline std::span<const std::byte> take_bytes(std::span<const std::byte>& body, std::uint64_t count) {
  if (count > body.size()) throw BadFrame("an item of a container is longer than its frame");
  const auto bytes = body.first(static_cast<std::size_t>(count));
  body = body.subspan(bytes.size());
  return bytes;
}

/// Takes an item off the front of `body`. @throws BadFrame
inline ItemView take_item(std::span<const std::byte>& body) {
  const auto text = [](std::span<const std::byte> bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const auto head = take<ItemHead>(body);
  ItemView item;
  item.key = text(take_bytes(body, head.key));
  item.type = text(take_bytes(body, head.type));
  item.value = take_bytes(body, head.value);
  if (head.handles > body.size() / sizeof(Pin))
    throw BadFrame("an item of a container has more handles than its frame");
  item.handles = take_bytes(body, head.handles * sizeof(Pin));
  return item;
}

}  // namespace rankpool::wire
