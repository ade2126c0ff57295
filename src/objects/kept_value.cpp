#include "objects/kept_value.hpp"

#include <cstddef>

namespace rankpool::objects {
namespace {

using wire::Status;

// Longer values stay in the memory they came in, which costs a descriptor; shorter ones are copied out of it.
constexpr std::size_t stays_in_segment = 256 * 1024;

link::Payload payload_of(std::span<const std::byte> value, const link::Slice& slice) {
  if (!slice || value.size() < stays_in_segment) return link::Payload({value, {}});
  const auto offset = static_cast<std::uint64_t>(value.data() - slice.bytes().data());
  return link::Payload({{}, {slice.segment, slice.offset + offset, value.size()}});
}

}  // namespace

KeptValue::KeptValue(const wire::ItemView& item, const link::Slice& slice, Home& home)
    : bytes_(payload_of(item.value, slice)) {
  handles_.reserve(item.handles.size() / sizeof(wire::Pin));
  wire::for_each_handle(item.handles, [&](const wire::Pin& pin) {
    handles_.push_back(pin);
    home.hold(pin.object);
    home.unpin(pin);  // as its sender has announced it
  });
}

void KeptValue::give(const Caller& to, Home& home) const {
  pin(home);
  const link::PayloadView view = bytes_.view();
  if (view.slice || view.bytes.size() <= detail::Buffer::segment_threshold) return home.reply(to, Status::ok, {}, view);
  detail::Buffer copy;
  copy.append(view.bytes.data(), view.bytes.size());
  reply_buffer(to, copy, home);
}

void KeptValue::pin(Home& home) const {
  for (const wire::Pin& handle : handles_) home.pin(handle);
}

void KeptValue::let_go(Home& home) const {
  for (const wire::Pin& handle : handles_) home.drop(handle.object);
}

void KeptValue::refuse(const wire::ItemView& item, Home& home) {
  wire::for_each_handle(item.handles, [&](const wire::Pin& pin) { home.unpin(pin); });
}

void reply_buffer(const Caller& to, detail::Buffer& buffer, Home& home) {
  if (const link::Slice slice = link::take_slice(buffer)) return home.reply(to, Status::ok, {}, {{}, slice});
  home.reply(to, Status::ok, {}, {{buffer.data(), buffer.size()}, {}});
}

void append_item(detail::Buffer& out, std::string_view key, std::span<const std::byte> value) {
  const wire::ItemHead head{.key = key.size(), .type = 0, .value = value.size(), .handles = 0};
  out.append(&head, sizeof head);
  out.append(key.data(), key.size());
  out.append(value.data(), value.size());
}

}  // namespace rankpool::objects
