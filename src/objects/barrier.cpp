#include "objects/barrier.hpp"

#include <algorithm>
#include <utility>

#include "wire/bad_frame.hpp"
#include "wire/barrier.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {

using wire::BarrierOp;
using wire::Status;

void Barrier::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte>, link::Slice,
                      Home& home) {
  switch (static_cast<BarrierOp>(operation)) {
    case BarrierOp::wait:
      return wait(caller, home);
    case BarrierOp::abort:
      broken_ = true;
      dismiss(home);
      return home.reply(caller, Status::ok);
    case BarrierOp::reset:
      dismiss(home);
      broken_ = false;
      return home.reply(caller, Status::ok);
    case BarrierOp::state: {
      const wire::BarrierState state{parties_, static_cast<std::int32_t>(waiting_.size()), broken_ ? 1u : 0u};
      return home.reply(caller, Status::ok, wire::bytes_of(state));
    }
  }
  throw wire::BadFrame("a barrier was asked for an unknown operation");
}

void Barrier::wait(const Caller& caller, Home& home) {
  if (broken_) return home.reply(caller, Status::broken);
  waiting_.push_back(caller);
  if (std::cmp_less(waiting_.size(), parties_)) return;
  wire::BarrierPlace next;
  for (const Caller& one : std::exchange(waiting_, {})) {
    home.reply(one, Status::ok, wire::bytes_of(next));
    ++next.place;
  }
}

void Barrier::dismiss(Home& home) {
  for (const Caller& one : std::exchange(waiting_, {})) home.reply(one, Status::broken);
}

void Barrier::withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(waiting_, [&](const Caller& one) { return same_request(caller, one); }) == 0) return;
  broken_ = true;
  home.reply(caller, Status::withdrawn);
  dismiss(home);
}

void Barrier::left(wire::Address process, Home& home) {
  if (std::erase_if(waiting_, [&](const Caller& one) { return one.process == process; }) == 0) return;
  broken_ = true;
  dismiss(home);
}

}  // namespace rankpool::objects
