#include <rankpool/event.hpp>

#include "client/remote_object.hpp"
#include "wire/event.hpp"

namespace rankpool {
namespace {

using wire::EventOp;

client::Reply ask(const detail::ObjectPtr& object, EventOp operation) {
  return object->ask(static_cast<std::uint32_t>(operation));
}

}  // namespace

Event::Event() : Handle(client::make_object(type)) {}

bool Event::is_set() const { return ask(object(), EventOp::is_set).status == wire::Status::ok; }
void Event::set() { ask(object(), EventOp::set); }
void Event::clear() { ask(object(), EventOp::clear); }

bool Event::wait_until(detail::Deadline deadline) {
  return object()->ask_until(deadline, static_cast<std::uint32_t>(EventOp::wait)).has_value();
}

}  // namespace rankpool
