#include "objects/lock.hpp"

#include <string>

#include "link/cell.hpp"
#include "objects/window_memory.hpp"
#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"
#include "wire/one_sided.hpp"

namespace rankpool::objects {

using link::SharedLock;
using wire::LockOp;
using wire::Status;

namespace {

/// Of the process in a word, with any of its threads.
wire::Address process_in(std::uint64_t word) noexcept { return {SharedLock::rank_in(word), SharedLock::link_in(word)}; }

}  // namespace

void Lock::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte>, link::Slice, Home& home) {
  if (operation >= static_cast<std::uint32_t>(LockOp::end))
    throw wire::BadFrame("a lock was asked for an unknown operation");
  const auto asked = static_cast<LockOp>(operation);
  if (asked != LockOp::where) return on_event({Event::What::request, caller, asked}, home);
  const auto place = cell(home);
  if (!place) return home.reply(caller, Status::full);
  home.reply(caller, Status::ok, wire::bytes_of(wire::Place{.cell = *place}));
}

void Lock::withdraw(const Caller& caller, Home& home) { on_event({Event::What::withdraw, caller}, home); }

/// Who has no handle may soon have one again and take the lock, before this comes here: so the word says nothing about
/// that, and who goes while it holds the lock says so.
void Lock::left(wire::Address process, Home& home) {
  if (!uses_word(home)) lost(process, home);
}

void Lock::died(wire::Address process, const link::LeaseStates&, Home& home) {
  on_event({Event::What::died, {.process = process}}, home);
}

bool Lock::uses_word(const Home& home) const { return home.one_sided() && place_; }

void Lock::on_event(const Event& event, Home& home) {
  if (!uses_word(home)) return act(event, home);
  events_.push_back(event);
  advance(home);
}

/// Does what can be done before a swap must be awaited, and begins that.
void Lock::advance(Home& home) {
  if (word_ == Word::free_for_all && !events_.empty()) {
    // who has died need not be the owner: then the word stays as it is
    if (events_.front().what == Event::What::died) return swap(Word::looking, wire::lock_free, wire::lock_free, home);
    return swap(Word::taking, wire::lock_free, wire::lock_managed, home);
  }
  if (word_ != Word::own) return;
  while (!events_.empty()) {
    const Event event = events_.front();
    events_.pop_front();
    act(event, home);
  }
  if (!owner_ && !orphaned_) swap(Word::giving, wire::lock_managed, wire::lock_free, home);
}

void Lock::swap(Word doing, std::uint64_t expected, std::uint64_t desired, Home& home) {
  word_ = doing;
  expected_ = expected;
  home.swap_word(number_, *place_, expected, desired);
}

void Lock::word_swapped(std::uint64_t before, Home& home) {
  switch (word_) {
    case Word::looking:
      word_ = Word::free_for_all;
      if (process_in(before) == events_.front().caller.process)
        return swap(Word::taking, before, wire::lock_managed, home);
      events_.pop_front();
      break;
    case Word::taking:
      if (before != expected_) return swap(Word::taking, before, wire::lock_managed, home);
      word_ = Word::own;
      if (before != wire::lock_free) owner_ = wire::LockHolder{process_in(before), SharedLock::thread_in(before)};
      break;
    case Word::giving:
      word_ = Word::free_for_all;
      break;
    case Word::free_for_all:
    case Word::own:
      break;
  }
  advance(home);
}

void Lock::act(const Event& event, Home& home) {
  switch (event.what) {
    case Event::What::request:
      return on_request(event.caller, event.operation, home);
    case Event::What::withdraw:
      return on_withdraw(event.caller, home);
    case Event::What::died:
      return lost(event.caller.process, home);
  }
}

void Lock::on_request(const Caller& caller, LockOp operation, Home& home) {
  switch (operation) {
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
    case LockOp::abandon:
      return lost(caller.process, home);
    case LockOp::where:
    case LockOp::end:
      return;
  }
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

void Lock::on_withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(waiting_, [&](const Caller& other) { return same_request(caller, other); }) != 0)
    home.reply(caller, Status::withdrawn);
}

void Lock::lost(wire::Address process, Home& home) {
  std::erase_if(waiting_, [&](const Caller& other) { return other.process == process; });
  if (!owner_ || owner_->process != process) return;
  orphaned_ = true;  // also if it never knew that it was the owner
  pass_on(home);
}

void Lock::released(Home& home) {
  if (!place_) return;
  if (word_ != Word::free_for_all)  // a swap may be under way: after it the word is free again
    home.swap_word(number_, *place_, wire::lock_managed, wire::lock_free);
  home.window()->give_cells(*place_, cells_);
}

std::optional<std::uint64_t> Lock::cell(Home& home) {
  if (!place_ && home.window() != nullptr) place_ = home.window()->take_cells(cells_);
  return place_;
}

}  // namespace rankpool::objects
