#include "objects/list.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "wire/bad_frame.hpp"

namespace rankpool::objects {

using wire::ContainerOp;
using wire::Status;

void List::serve(const Request& request, Home& home) {
  const Caller& caller = request.caller;
  switch (request.operation) {
    case ContainerOp::get:
      if (const auto at = find(request, home)) values_[*at].give(caller, home);
      return;
    case ContainerOp::values:
      return list(caller, home);
    case ContainerOp::size:
      return home.reply(caller, Status::ok, wire::bytes_of(wire::ContainerSize{values_.size()}));
    case ContainerOp::put:
      return put(request, home);
    case ContainerOp::insert:
      return insert(request, home);
    case ContainerOp::pop:
      if (const auto at = find(request, home)) {
        values_[*at].give(caller, home);
        values_[*at].let_go(home);
        values_.erase(values_.begin() + static_cast<std::ptrdiff_t>(*at));
      }
      return;
    case ContainerOp::clear:
      clear(home);
      return home.reply(caller, Status::ok);
    default:
      throw wire::BadFrame("a list was asked for an operation that it does not have");
  }
}

std::span<const std::byte> List::items_of(std::span<const std::byte> body) const {
  wire::take<std::int64_t>(body);
  return body;
}

std::optional<std::size_t> List::find(const Request& request, Home& home) const {
  auto body = request.body;
  auto index = wire::take<std::int64_t>(body);
  const auto size = static_cast<std::int64_t>(values_.size());
  if (index < 0) index += size;
  if (index >= 0 && index < size) return static_cast<std::size_t>(index);
  home.reply(request.caller, Status::no, wire::bytes_of(wire::ContainerSize{values_.size()}));
  return std::nullopt;
}

bool List::begin_update(const Request& request, Home& home) {
  const auto at = find(request, home);
  if (at) values_[*at].give(request.caller, home);
  return at.has_value();
}

void List::put(const Request& request, Home& home) {
  auto items = items_of(request.body);
  const wire::ItemView item = wire::take_item(items);
  const auto at = find(request, home);
  if (!at) return KeptValue::refuse(item, home);
  KeptValue value(item, request.slice, home);
  values_[*at].let_go(home);
  values_[*at] = std::move(value);
  home.reply(request.caller, Status::ok);
}

void List::insert(const Request& request, Home& home) {
  auto items = request.body;
  auto index = wire::take<std::int64_t>(items);
  const auto size = static_cast<std::int64_t>(values_.size());
  if (index < 0) index += size;
  std::vector<KeptValue> fresh;
  while (!items.empty()) fresh.emplace_back(wire::take_item(items), request.slice, home);
  values_.insert(values_.begin() + std::clamp<std::int64_t>(index, 0, size), std::make_move_iterator(fresh.begin()),
                 std::make_move_iterator(fresh.end()));
  home.reply(request.caller, Status::ok);
}

void List::clear(Home& home) {
  for (const KeptValue& value : values_) value.let_go(home);
  values_.clear();
}

void List::list(const Caller& to, Home& home) const {
  detail::Buffer all;
  for (const KeptValue& value : values_) {
    append_item(all, {}, value.bytes());
    value.pin(home);
  }
  reply_buffer(to, all, home);
}

}  // namespace rankpool::objects
