#include "objects/lock.hpp"

#include <string>

#include "objects/window_memory.hpp"
#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {

using wire::LockOp;
using wire::Status;

void Lock::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte>, link::Slice, Home& home) {
  switch (static_cast<LockOp>(operation)) {
    case LockOp::where: {
      const auto place = cell(home);
      if (!place) return home.reply(caller, Status::full);
      return home.reply(caller, Status::ok, wire::bytes_of(wire::Place{.cell = *place}));
    }
    case LockOp::lock:
      if (!owner_) return grant(caller, home);
      waiting_.push_back(caller);
      return;
    case LockOp::try_lock:
      if (!owner_) return grant(caller, home);
      return home.reply(caller, Status::no);
    case LockOp::unlock:
      return unlock(caller, home);
    case LockOp::holder:
      if (!owner_) return home.reply(caller, Status::no);
      return home.reply(caller, Status::ok, wire::bytes_of(*owner_));
    case LockOp::end:
      break;
  }
  throw wire::BadFrame("a lock was asked for an unknown operation");
}

void Lock::grant(const Caller& caller, Home& home) {
  owner_ = wire::LockHolder{caller.process, caller.thread};
  home.reply(caller, Status::ok, wire::bytes_of(wire::LockTaken{orphaned_ ? 1u : 0u}));
}

void Lock::unlock(const Caller& caller, Home& home) {
  if (!owner_ || owner_->process != caller.process || owner_->thread != caller.thread) {
    const std::string why = wire::unlock_refusal({caller.process, caller.thread}, owner_ ? &*owner_ : nullptr);
    return home.reply(caller, Status::refused, std::as_bytes(std::span(why)));
  }
  orphaned_ = false;
  home.reply(caller, Status::ok);
  pass_on(home);
}

void Lock::pass_on(Home& home) {
  owner_.reset();
  if (waiting_.empty()) return;
  const Caller next = waiting_.front();
  waiting_.pop_front();
  grant(next, home);
}

void Lock::withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(waiting_, [&](const Caller& other) { return same_request(caller, other); }) != 0)
    home.reply(caller, Status::withdrawn);
}

void Lock::left(wire::Address process, Home& home) {
  std::erase_if(waiting_, [&](const Caller& other) { return other.process == process; });
  if (!owner_ || owner_->process != process) return;
  orphaned_ = true;  // also if it never knew that it was the owner
  pass_on(home);
}

void Lock::released(Home& home) {
  if (place_) home.window()->give_cells(*place_, cells_);
}

std::optional<std::uint64_t> Lock::cell(Home& home) {
  if (!place_ && home.window() != nullptr) place_ = home.window()->take_cells(cells_);
  return place_;
}

}  // namespace rankpool::objects
