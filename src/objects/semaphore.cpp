#include "objects/semaphore.hpp"

#include <algorithm>
#include <cstddef>

#include "link/cell.hpp"
#include "objects/window_memory.hpp"
#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {

using wire::SemaphoreOp;
using wire::Status;

Semaphore::Semaphore(std::uint64_t number, std::span<const std::byte> body)
    : number_(number), made_(wire::take<wire::SemaphoreMake>(body)), value_(made_.value) {
  if (made_.value > made_.most) throw wire::BadFrame("a semaphore was to begin with more than it can have");
}

void Semaphore::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice,
                        Home& home) {
  switch (static_cast<SemaphoreOp>(operation)) {
    case SemaphoreOp::where:
      return where(caller, home);
    case SemaphoreOp::acquire:
      if (uses_word(home)) {
        waiting_.push_back(caller);
        if (credit_ == 0) return;
        --credit_;
        return grant(1, home);
      }
      if (value_ == 0) {
        waiting_.push_back(caller);
        return;
      }
      --value_;
      return home.reply(caller, Status::ok, wire::bytes_of(wire::SemaphoreTaken{.waited = 0}));
    case SemaphoreOp::try_acquire:
      if (value_ == 0) return home.reply(caller, Status::no);
      --value_;
      return home.reply(caller, Status::ok, wire::bytes_of(wire::SemaphoreTaken{.waited = 0}));
    case SemaphoreOp::release:
      return release(caller, wire::take<wire::SemaphoreRelease>(body).count, home);
    case SemaphoreOp::value:
      return home.reply(caller, Status::ok, wire::bytes_of(wire::SemaphoreValue{value_}));
    case SemaphoreOp::grant:
      return grant(wire::take<wire::SemaphoreRelease>(body).count, home);
    case SemaphoreOp::received: {
      const auto request = wire::take<wire::SemaphoreReceived>(body).request;
      std::erase_if(given_, [&](const Caller& one) { return one.process == caller.process && one.request == request; });
      return home.reply(caller, Status::ok);
    }
  }
  throw wire::BadFrame("a semaphore was asked for an unknown operation");
}

void Semaphore::where(const Caller& caller, Home& home) {
  WindowMemory* const window = home.window();
  if (!place_ && window != nullptr) {
    place_ = window->take_cells(1);
    if (place_) reinterpret_cast<link::Cell*>(window->at(*place_))->semaphore.store(value_);
  }
  if (!place_) return home.reply(caller, Status::full);
  home.reply(caller, Status::ok, wire::bytes_of(wire::Place{.cell = *place_}));
}

void Semaphore::release(const Caller& caller, std::uint32_t count, Home& home) {
  if (count > made_.most || value_ > made_.most - count) return home.reply(caller, Status::full);
  value_ += count;
  home.reply(caller, Status::ok);
  serve(home);
}

void Semaphore::serve(Home& home) {
  while (value_ != 0 && !waiting_.empty()) {
    --value_;
    give_next(home);
  }
}

void Semaphore::give_next(Home& home) {
  const Caller next = waiting_.front();
  waiting_.pop_front();
  given_.push_back(next);
  home.reply(next, Status::ok, wire::bytes_of(wire::SemaphoreTaken{.waited = 1}));
}

void Semaphore::grant(std::uint32_t count, Home& home) {
  const std::uint32_t owed = std::min(count, debt_);
  debt_ -= owed;
  for (count -= owed; count != 0 && !waiting_.empty(); --count) give_next(home);
  credit_ += count;
}

void Semaphore::raise(Raise why, std::size_t count, Home& home) {
  for (; count != 0; --count) {
    raising_.push_back(why);
    home.add_word(number_, *place_ + offsetof(link::Cell, semaphore), 1);
  }
}

void Semaphore::word_swapped(std::uint64_t before, Home& home) {
  const Raise why = raising_.front();
  raising_.pop_front();
  const bool others_wait = static_cast<std::int64_t>(before) < 0;
  if (why == Raise::gave_back) {
    if (others_wait) grant(1, home);
  } else if (!others_wait) {  // somebody has covered the one who gave up
    if (credit_ != 0) {
      --credit_;
    } else {
      ++debt_;
    }
  }
}

void Semaphore::withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(waiting_, [&](const Caller& other) { return same_request(caller, other); }) == 0) return;
  home.reply(caller, Status::withdrawn);
  if (uses_word(home)) raise(Raise::gave_up, 1, home);
}

void Semaphore::left(wire::Address process, Home& home) {
  const auto gone = std::erase_if(waiting_, [&](const Caller& other) { return other.process == process; });
  const auto back = std::erase_if(given_, [&](const Caller& other) { return other.process == process; });
  if (uses_word(home)) {
    raise(Raise::gave_up, gone, home);
    return raise(Raise::gave_back, back, home);
  }
  value_ += static_cast<std::uint32_t>(std::min<std::size_t>(back, made_.most - value_));
  serve(home);
}

void Semaphore::released(Home& home) {
  // what is under way would raise the word of whoever has the cell next
  if (place_ && raising_.empty()) home.window()->give_cells(*place_, 1);
}

}  // namespace rankpool::objects
