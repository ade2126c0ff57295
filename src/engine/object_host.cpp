#include "engine/object_host.hpp"

#include <set>
#include <utility>
#include <vector>

#include "objects/make_object.hpp"
#include "wire/lease.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

using wire::Kind;
using wire::Status;

void ObjectHost::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (head.kind == Kind::object_make) return make(head, body);
  const auto found = objects_.find(head.token);
  if (found == objects_.end()) {
    if (head.kind != Kind::object_request) return;
    const auto request = wire::take<wire::ObjectRequest>(body);
    reply({head.from, request.thread, request.request}, Status::gone, {}, {});
    return;
  }
  Entry& entry = found->second;
  switch (head.kind) {
    case Kind::object_request: {
      const auto request = wire::take<wire::ObjectRequest>(body);
      entry.object->request({head.from, request.thread, request.request}, request.operation, body, std::move(slice),
                            *this);
      break;
    }
    case Kind::object_withdraw: {
      const auto request = wire::take<wire::ObjectRequest>(body);
      entry.object->withdraw({head.from, request.thread, request.request}, *this);
      break;
    }
    case Kind::lease_returned: {
      const auto back = wire::take<wire::LeaseReturned>(body);
      entry.object->lease_returned({head.from.rank, back.link}, back.slot, {back.state}, *this);
      break;
    }
    case Kind::object_hold:
      entry.lifetime.hold(head.from, wire::take<wire::ObjectHold>(body).note_token);
      if (head.from.link != 0) entry.object->joined(head.from, *this);
      break;
    case Kind::object_drop:
      if (entry.lifetime.drop(head.from) && head.from.link != 0) entry.object->left(head.from, *this);
      release_if_over(head.token);
      break;
    case Kind::object_pin: {
      const auto pin = wire::take<wire::ObjectPin>(body);
      entry.lifetime.pin(pin.number, pin.change);
      release_if_over(head.token);
      break;
    }
    default:
      throw wire::BadFrame("an object was sent a frame that is not for objects");
  }
}

void ObjectHost::make(const wire::Header& head, std::span<const std::byte> body) {
  const auto make = wire::take<wire::ObjectMake>(body);
  if (objects_.contains(head.token)) throw wire::BadFrame("an object was to be made that there is already");
  Entry& entry = objects_[head.token];
  entry.lifetime.hold(head.from, make.note_token);
  entry.object = objects::make_object(make.type, head.token, body, *this);
  entry.object->joined(head.from, *this);
}

void ObjectHost::release_if_over(std::uint64_t number) {
  const auto found = objects_.find(number);
  if (found == objects_.end() || !found->second.lifetime.over()) return;
  const std::unique_ptr<objects::Object> last = std::move(found->second.object);
  objects_.erase(found);
  last->released(*this);
}

void ObjectHost::client_gone(wire::Address client, const link::LeaseStates& leases) {
  std::vector<std::uint64_t> held;
  for (const auto& [number, entry] : objects_)
    if (entry.lifetime.holds(client)) held.push_back(number);
  for (const std::uint64_t number : held) {
    const auto found = objects_.find(number);
    if (found == objects_.end()) continue;
    Entry& entry = found->second;
    while (entry.lifetime.holds(client)) entry.lifetime.drop(client);
    entry.object->died(client, leases, *this);
    release_if_over(number);
  }
}

void ObjectHost::rank_lost(int rank) {
  std::set<std::uint32_t> links;
  for (const auto& [number, entry] : objects_)
    for (const wire::Address& holder : entry.lifetime.holders())
      if (holder.rank == rank) links.insert(holder.link);
  for (const std::uint32_t link : links) client_gone({rank, link}, {});
}

void ObjectHost::word_swapped(const WindowService::Swapped& swapped) {
  if (objects::Object* const object = find(swapped.object)) object->word_swapped(swapped.before, *this);
}

void ObjectHost::reply(const objects::Caller& to, Status status, std::span<const std::byte> fixed,
                       const link::PayloadView& payload) {
  if (to.request == 0) return;
  router_.send(
      {.to = to.process, .token = to.request, .kind = Kind::object_reply, .flags = static_cast<std::uint32_t>(status)},
      fixed, payload);
}

void ObjectHost::note(std::uint64_t object, wire::Address to, std::uint32_t what, std::span<const std::byte> fixed,
                      const link::PayloadView& payload) {
  const auto found = objects_.find(object);
  if (found == objects_.end()) return;
  const std::uint64_t token = found->second.lifetime.note_token(to);
  if (token == 0) return;
  router_.send({.to = to, .token = token, .kind = Kind::object_note, .flags = what}, fixed, payload);
}

void ObjectHost::note_all(std::uint64_t object, std::uint32_t what, std::span<const std::byte> fixed) {
  const auto found = objects_.find(object);
  if (found == objects_.end()) return;
  for (const wire::Address& holder : found->second.lifetime.holders()) note(object, holder, what, fixed, {});
}

void ObjectHost::send_pin(const wire::Pin& pin, std::int32_t change) {
  router_.send({.to = {pin.object.rank, 0}, .token = pin.object.number, .kind = Kind::object_pin},
               wire::bytes_of(wire::ObjectPin{pin.number, change, 0}));
}

void ObjectHost::recall_lease(std::uint64_t object, wire::Address holder, std::uint32_t slot,
                              std::uint64_t generation) {
  const wire::LeaseRecall recall{.link = holder.link, .slot = slot, .generation = generation};
  router_.send({.to = {holder.rank, 0}, .token = object, .kind = Kind::lease_recall}, wire::bytes_of(recall));
}

void ObjectHost::hold(const wire::ObjectId& object) {
  router_.send({.to = {object.rank, 0}, .token = object.number, .kind = Kind::object_hold},
               wire::bytes_of(wire::ObjectHold{}));
}

void ObjectHost::drop(const wire::ObjectId& object) {
  router_.send({.to = {object.rank, 0}, .token = object.number, .kind = Kind::object_drop}, {});
}

objects::Object* ObjectHost::find(std::uint64_t number) {
  const auto found = objects_.find(number);
  return found == objects_.end() ? nullptr : found->second.object.get();
}

}  // namespace rankpool::engine
