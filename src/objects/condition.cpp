#include "objects/condition.hpp"

#include <algorithm>
#include <utility>

#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {

using wire::ConditionOp;
using wire::Status;

void Condition::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice,
                        Home& home) {
  switch (static_cast<ConditionOp>(operation)) {
    case ConditionOp::enter:
      line_.push_back({++last_ticket_, caller, false});
      return home.reply(caller, Status::ok, wire::bytes_of(wire::ConditionTicket{last_ticket_}));
    case ConditionOp::await:
      return await(caller, wire::take<wire::ConditionTicket>(body).number, home);
    case ConditionOp::leave:
      leave(wire::take<wire::ConditionTicket>(body).number, home);
      return home.reply(caller, Status::ok);
    case ConditionOp::notify:
      notify(wire::take<wire::ConditionNotify>(body).count, home);
      return home.reply(caller, Status::ok);
  }
  throw wire::BadFrame("a condition was asked for an unknown operation");
}

void Condition::await(const Caller& caller, std::uint64_t ticket, Home& home) {
  const auto has_ticket = [&](const Waiter& waiter) { return waiter.ticket == ticket; };
  if (std::erase_if(notified_, has_ticket) != 0) return home.reply(caller, Status::ok);
  const auto waiter = std::find_if(line_.begin(), line_.end(), has_ticket);
  if (waiter == line_.end()) throw wire::BadFrame("a condition does not know who asks for a notification");
  waiter->caller = caller;
  waiter->asks = true;
}

void Condition::leave(std::uint64_t ticket, Home& home) {
  const auto has_ticket = [&](const Waiter& waiter) { return waiter.ticket == ticket; };
  std::erase_if(line_, has_ticket);
  notify(std::erase_if(notified_, has_ticket), home);  // somebody else shall have what it was told
}

void Condition::notify(std::uint64_t count, Home& home) {
  for (; count != 0 && !line_.empty(); --count) {
    const Waiter first = line_.front();
    line_.pop_front();
    if (first.asks) {
      home.reply(first.caller, Status::ok);
    } else {
      notified_.push_back(first);
    }
  }
}

void Condition::withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(line_, [&](const Waiter& waiter) { return waiter.asks && same_request(waiter.caller, caller); }) !=
      0)
    home.reply(caller, Status::withdrawn);
}

void Condition::left(wire::Address process, Home& home) {
  const auto gone = [&](const Waiter& waiter) { return waiter.caller.process == process; };
  std::erase_if(line_, gone);
  notify(std::erase_if(notified_, gone), home);
}

}  // namespace rankpool::objects
