#include "objects/event.hpp"

#include <algorithm>
#include <utility>

#include "wire/bad_frame.hpp"
#include "wire/event.hpp"

namespace rankpool::objects {

using wire::EventOp;
using wire::Status;

void Event::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte>, link::Slice,
                    Home& home) {
  switch (static_cast<EventOp>(operation)) {
    case EventOp::is_set:
      return home.reply(caller, set_ ? Status::ok : Status::no);
    case EventOp::set:
      set(home);
      return home.reply(caller, Status::ok);
    case EventOp::clear:
      set_ = false;
      return home.reply(caller, Status::ok);
    case EventOp::wait:
      if (set_) return home.reply(caller, Status::ok);
      waiting_.push_back(caller);
      return;
  }
  throw wire::BadFrame("an event was asked for an unknown operation");
}

void Event::set(Home& home) {
  set_ = true;
  for (const Caller& caller : std::exchange(waiting_, {})) home.reply(caller, Status::ok);
}

void Event::withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(waiting_, [&](const Caller& other) { return same_request(caller, other); }) != 0)
    home.reply(caller, Status::withdrawn);
}

void Event::left(wire::Address process, Home&) {
  std::erase_if(waiting_, [&](const Caller& other) { return other.process == process; });
}

}  // namespace rankpool::objects
