#include "objects/shared_value.hpp"

#include <utility>

#include "wire/bad_frame.hpp"
#include "wire/containers.hpp"
#include "wire/shared.hpp"

namespace rankpool::objects {

void SharedValue::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body,
                          link::Slice slice, Home& home) {
  if (operation != static_cast<std::uint32_t>(wire::SharedOp::put) || is_here_)
    throw wire::BadFrame("a shared value was asked for something else than to be set once");
  const wire::SharedView value = wire::view_shared(slice ? slice.bytes() : body);
  is_here_ = true;
  wire::for_each_handle(value.handles, [&](const wire::Pin& pin) {
    held_.push_back(pin.object);
    home.hold(pin.object);
    home.unpin(pin);  // as its maker has announced it
  });
  home.keep_value(number_, {body, std::move(slice)});
  home.reply(caller, wire::Status::ok);
}

void SharedValue::released(Home& home) {
  if (is_here_) home.drop_value(number_);
  for (const wire::ObjectId& object : held_) home.drop(object);
}

}  // namespace rankpool::objects
