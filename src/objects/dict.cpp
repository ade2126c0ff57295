#include "objects/dict.hpp"

#include <utility>

#include "wire/bad_frame.hpp"

namespace rankpool::objects {

using wire::ContainerOp;
using wire::Status;

void Dict::serve(const Request& request, Home& home) {
  const Caller& caller = request.caller;
  switch (request.operation) {
    case ContainerOp::get:
      return get(request, home);
    case ContainerOp::contains:
      return home.reply(caller, find(request.body) == entries_.end() ? Status::no : Status::ok);
    case ContainerOp::keys:
      return list(caller, true, false, home);
    case ContainerOp::values:
      return list(caller, false, true, home);
    case ContainerOp::items:
      return list(caller, true, true, home);
    case ContainerOp::size:
      return home.reply(caller, Status::ok, wire::bytes_of(wire::ContainerSize{entries_.size()}));
    case ContainerOp::put:
      return put(request, home);
    case ContainerOp::erase:
    case ContainerOp::pop: {
      const auto entry = find(request.body);
      if (entry == entries_.end()) return answer_no(caller, {}, home);
      if (request.operation == ContainerOp::pop) {
        entry->value.give(caller, home);
      } else {
        home.reply(caller, Status::ok);
      }
      return erase(entry, home);
    }
    case ContainerOp::clear:
      clear(home);
      return home.reply(caller, Status::ok);
    default:
      throw wire::BadFrame("a dict was asked for an operation that it does not have");
  }
}

Dict::Entries::iterator Dict::find(std::span<const std::byte> body) {
  const auto found = index_.find(wire::take_item(body).key);
  return found == index_.end() ? entries_.end() : found->second;
}

void Dict::get(const Request& request, Home& home) {
  const auto entry = find(request.body);
  if (entry == entries_.end()) return answer_no(request.caller, {}, home);
  auto body = request.body;
  if (const auto type = wire::take_item(body).type; type != entry->type)
    return answer_no(request.caller, entry->type, home);
  entry->value.give(request.caller, home);
}

bool Dict::begin_update(const Request& request, Home& home) {
  const auto entry = find(request.body);
  if (entry == entries_.end()) {
    answer_no(request.caller, {}, home);
  } else {
    entry->value.give(request.caller, home);
  }
  return true;  // a missing key is made
}

void Dict::put(const Request& request, Home& home) {
  for (auto body = request.body; !body.empty();) {
    const wire::ItemView item = wire::take_item(body);
    KeptValue value(item, request.slice, home);
    if (const auto known = index_.find(item.key); known != index_.end()) {
      Entry& entry = *known->second;
      entry.value.let_go(home);
      entry.value = std::move(value);
      entry.type = item.type;
    } else {
      entries_.push_back({std::string(item.key), std::string(item.type), std::move(value)});
      const auto added = std::prev(entries_.end());
      index_.emplace(added->key, added);
    }
  }
  home.reply(request.caller, Status::ok);
}

void Dict::erase(Entries::iterator entry, Home& home) {
  entry->value.let_go(home);
  index_.erase(entry->key);
  entries_.erase(entry);
}

void Dict::clear(Home& home) {
  for (const Entry& entry : entries_) entry.value.let_go(home);
  index_.clear();
  entries_.clear();
}

void Dict::answer_no(const Caller& to, std::string_view type, Home& home) const {
  const wire::ContainerSize size{entries_.size()};
  home.reply(to, Status::no, wire::bytes_of(size), {std::as_bytes(std::span(type)), {}});
}

void Dict::list(const Caller& to, bool keys, bool values, Home& home) const {
  detail::Buffer all;
  for (const Entry& entry : entries_) {
    append_item(all, keys ? std::string_view(entry.key) : std::string_view(),
                values ? entry.value.bytes() : std::span<const std::byte>());
    if (values) entry.value.pin(home);
  }
  reply_buffer(to, all, home);
}

}  // namespace rankpool::objects
