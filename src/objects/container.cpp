#include "objects/container.hpp"

#include <algorithm>
#include <utility>

#include "objects/kept_value.hpp"
#include "wire/bad_frame.hpp"

namespace rankpool::objects {
namespace {

using wire::ContainerOp;
using wire::Status;

constexpr std::string_view waits_for_itself =
    "this thread is running an update() of it, so this change would wait for its own end: change the value that the "
    "function was given, or do this after update()";

bool is_change(ContainerOp operation) noexcept {
  return operation >= ContainerOp::put && operation <= ContainerOp::begin_update;
}
bool brings_items(ContainerOp operation) noexcept {
  return operation == ContainerOp::put || operation == ContainerOp::insert;
}
bool same_thread(const Caller& a, const Caller& b) noexcept { return a.process == b.process && a.thread == b.thread; }

}  // namespace

void Container::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body,
                        link::Slice slice, Home& home) {
  const auto what = static_cast<ContainerOp>(operation);
  if (operation > static_cast<std::uint32_t>(ContainerOp::abandon))
    throw wire::BadFrame("a container was asked for an unknown operation");
  Request request{caller, what, slice ? slice.bytes() : body, std::move(slice)};

  if (what == ContainerOp::end_update || what == ContainerOp::abandon) {
    if (!updating_ || !same_thread(*updating_, caller))
      throw wire::BadFrame("a container was asked to end an update by somebody who has not begun it");
    if (what == ContainerOp::abandon) {
      home.reply(caller, Status::ok);
    } else {
      request.operation = ContainerOp::put;
      serve(request, home);
    }
    return end_update(home);
  }
  if (!is_change(what)) return serve(request, home);
  if (!updating_) return change(request, home);
  if (same_thread(*updating_, caller)) {
    refuse_items(what, request.body, home);
    return home.reply(caller, Status::refused, std::as_bytes(std::span(waits_for_itself)));
  }
  pending_.push_back({caller, what, link::Payload({body, request.slice})});
}

void Container::change(const Request& request, Home& home) {
  if (request.operation != ContainerOp::begin_update) return serve(request, home);
  if (begin_update(request, home)) updating_ = request.caller;
}

void Container::end_update(Home& home) {
  updating_.reset();
  while (!updating_ && !pending_.empty()) {
    const Pending next = std::move(pending_.front());
    pending_.pop_front();
    const link::PayloadView view = next.payload.view();
    change({next.caller, next.operation, view.read(), view.slice}, home);
  }
}

void Container::withdraw(const Caller& caller, Home& home) {
  const auto found = std::find_if(pending_.begin(), pending_.end(),
                                  [&](const Pending& pending) { return same_request(pending.caller, caller); });
  if (found == pending_.end()) return;
  drop(*found, home);
  pending_.erase(found);
  home.reply(caller, Status::withdrawn);
}

void Container::left(wire::Address process, Home& home) {
  std::erase_if(pending_, [&](const Pending& pending) {
    if (pending.caller.process != process) return false;
    drop(pending, home);
    return true;
  });
  if (updating_ && updating_->process == process) end_update(home);
}

void Container::drop(const Pending& pending, Home& home) {
  refuse_items(pending.operation, pending.payload.view().read(), home);
}

void Container::refuse_items(ContainerOp operation, std::span<const std::byte> body, Home& home) {
  if (!brings_items(operation)) return;
  for (auto items = items_of(body); !items.empty();) KeptValue::refuse(wire::take_item(items), home);
}

}  // namespace rankpool::objects
