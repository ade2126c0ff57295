#include "engine/window_service.hpp"

#include <algorithm>
#include <utility>

#include "link/window.hpp"
#include "wire/bad_frame.hpp"
#include "wire/lock.hpp"
#include "wire/messages.hpp"
#include "wire/semaphore.hpp"
#include "wire/words.hpp"

namespace rankpool::engine {
namespace {

using wire::Kind;
using wire::LockOp;
using wire::SemaphoreOp;
using wire::Status;
using wire::WordOp;
using wire::WordType;

constexpr std::size_t largest_in_line = 32 * 1024;

constexpr std::uint64_t mask_of(WordType type) noexcept { return ~std::uint64_t{0} >> (64 - 8 * wire::size_of(type)); }

}  // namespace

bool WindowService::keeps(const wire::Header& head, std::span<const std::byte> body) {
  if (wire::is_window_operation(head.kind)) {
    ++open_[head.from.link];
    return false;
  }
  if (head.kind != Kind::client_gone) return false;
  const auto link = static_cast<std::uint32_t>(head.token);
  if (!open_.contains(link)) return false;
  ended_[link].push_back({head, {body.begin(), body.end()}});
  return true;
}

/// An operation of this link has been answered, or is the home's now.
void WindowService::finish(std::uint32_t link) {
  const auto open = open_.find(link);
  if (--open->second != 0) return;
  open_.erase(open);
  const auto ended = ended_.find(link);
  if (ended == ended_.end()) return;
  const std::vector<Ended> told = std::move(ended->second);
  ended_.erase(ended);
  for (const Ended& one : told) router_.send(one.head, one.body);
}

std::uint64_t WindowService::keep(Operation operation, int home) {
  const std::uint64_t ticket = ++next_ticket_;
  operation.home = home;
  under_way_.emplace(ticket, std::move(operation));
  return ticket;
}

void WindowService::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (transport_ == nullptr || head.from.rank != router_.layout().rank)
    throw wire::BadFrame("an engine was asked for an operation on a window that is not its to do");
  Operation operation{.head = head, .request = wire::take<wire::ObjectRequest>(body)};
  std::span<const std::byte> rest = body;
  const auto home = wire::take<std::int32_t>(rest);  // all structs begin with it
  if (!router_.layout().has(home))
    throw wire::BadFrame("an operation on the window of a rank that does not exist");
  if (wire::is_window_operation(head.kind) && !open_.contains(head.from.link))
    throw wire::BadFrame("an operation on a window came from nowhere");
  if (!router_.layout().lives(home)) {
    if (wire::is_window_operation(head.kind)) finish(head.from.link);
    return;
  }
  switch (head.kind) {
    case Kind::window_lock:
      return lock(std::move(operation), wire::take<wire::WindowLock>(body));
    case Kind::window_semaphore:
      return semaphore(std::move(operation), wire::take<wire::WindowSemaphore>(body));
    case Kind::window_withdraw:
      return withdraw(head, operation.request, wire::take<std::int32_t>(body));
    case Kind::window_word: {
      const auto asked = wire::take<wire::WindowWord>(body);
      if (wire::size_of(asked.word.type) == 0) throw wire::BadFrame("a word of a window has no known type");
      operation.word = asked.word;
      transport_->window_word(asked.rank, asked.word, keep(std::move(operation), asked.rank));
      return;
    }
    case Kind::window_read:
      return read(std::move(operation), wire::take<wire::WindowRange>(body));
    case Kind::window_write: {
      const auto range = wire::take<wire::WindowRange>(body);
      return write(std::move(operation), range, body, std::move(slice));
    }
    default:
      throw wire::BadFrame("a window was asked for something unknown");
  }
}

void WindowService::lock(Operation operation, const wire::WindowLock& asked) {
  const bool unlocks = operation.request.operation == static_cast<std::uint32_t>(LockOp::unlock);
  operation.home = asked.rank;
  start_word(std::move(operation), {.offset = asked.offset,
                                    .type = WordType::u64,
                                    .op = WordOp::compare_exchange,
                                    .operand = unlocks ? wire::lock_free : asked.owner,
                                    .expected = unlocks ? asked.owner : wire::lock_free});
}

/// At the word of the home of the operation.
void WindowService::start_word(Operation operation, const wire::WordRequest& word) {
  operation.word = word;
  const int home = operation.home;
  transport_->window_word(home, word, keep(std::move(operation), home));
}

void WindowService::semaphore(Operation operation, const wire::WindowSemaphore& asked) {
  operation.home = asked.rank;
  operation.semaphore = asked;
  wire::WordRequest word{.offset = asked.offset, .type = WordType::i64, .op = WordOp::load};
  const auto what = static_cast<SemaphoreOp>(operation.request.operation);
  if (what == SemaphoreOp::acquire) {
    word.op = WordOp::fetch_add;
    word.operand = ~std::uint64_t{0};  // -1
  } else if (what == SemaphoreOp::release && asked.most == wire::semaphore_max) {
    word.op = WordOp::fetch_add;
    word.operand = asked.count;
  }
  start_word(std::move(operation), word);
}

void WindowService::withdraw(const wire::Header& head, const wire::ObjectRequest& request, int home) {
  for (auto& [ticket, operation] : under_way_) {
    if (operation.head.from != head.from || operation.request.request != request.request) continue;
    operation.withdrawn = true;
    return;
  }
  router_.send({.to = {home, 0}, .from = head.from, .token = head.token, .kind = Kind::object_withdraw},
               wire::bytes_of(request));
}

void WindowService::read(Operation operation, const wire::WindowRange& range) {
  if (range.length > link::Window::largest) throw wire::BadFrame("a process asked for more than a window can have");
  std::span<std::byte> into;
  if (range.length <= largest_in_line) {
    operation.few.resize(range.length);
    into = operation.few;
  } else {
    operation.into = link::Segment::create(range.length);
    into = {operation.into->writable_data(), range.length};
  }
  transport_->window_read(range.rank, range.offset, into, keep(std::move(operation), range.rank));
}

void WindowService::write(Operation operation, const wire::WindowRange& range, std::span<const std::byte> body,
                          link::Slice slice) {
  std::span<const std::byte> from;
  if (slice) {
    from = slice.bytes();
    operation.many = std::move(slice);
  } else {
    operation.few.assign(body.begin(), body.end());
    from = operation.few;
  }
  if (from.size() != range.length) throw wire::BadFrame("a process sent another number of bytes than it said");
  transport_->window_write(range.rank, range.offset, from, keep(std::move(operation), range.rank));
}

void WindowService::swap(std::uint64_t object, std::uint64_t offset, std::uint64_t expected, std::uint64_t desired) {
  const wire::WordRequest word{.offset = offset,
                               .type = WordType::u64,
                               .op = WordOp::compare_exchange,
                               .operand = desired,
                               .expected = expected};
  const int here = router_.layout().rank;
  transport_->window_word(here, word, keep({.head = {.token = object}}, here));
}

void WindowService::add(std::uint64_t object, std::uint64_t offset, std::uint64_t addend) {
  const wire::WordRequest word{.offset = offset, .type = WordType::i64, .op = WordOp::fetch_add, .operand = addend};
  const int here = router_.layout().rank;
  transport_->window_word(here, word, keep({.head = {.token = object}}, here));
}

std::optional<WindowService::Swapped> WindowService::on_window(std::uint64_t ticket, std::uint64_t old) {
  const auto found = under_way_.find(ticket);
  if (found == under_way_.end()) return std::nullopt;  // of a rank that was lost meanwhile
  Operation operation = std::move(found->second);
  under_way_.erase(found);
  switch (operation.head.kind) {
    case Kind::window_lock:
      locked(operation, old);
      break;
    case Kind::window_semaphore:
      if (semaphore_step(operation, old)) return std::nullopt;
      break;
    case Kind::window_word: {
      const bool equal = operation.word.op != WordOp::compare_exchange ||
                         ((old ^ operation.word.expected) & mask_of(operation.word.type)) == 0;
      reply(operation, equal ? Status::ok : Status::no, wire::bytes_of(wire::WordResult{old}));
      break;
    }
    case Kind::window_read: {
      link::Slice slice;
      if (operation.into) slice = {operation.into, 0, operation.into->size()};
      reply(operation, Status::ok, {}, {operation.few, std::move(slice)});
      break;
    }
    case Kind::window_write:
      reply(operation, Status::ok);
      break;
    default:
      return Swapped{operation.head.token, old};
  }
  finish(operation.head.from.link);
  return std::nullopt;
}

void WindowService::rank_lost(int rank) {
  std::vector<std::uint32_t> links;
  for (auto next = under_way_.begin(); next != under_way_.end();) {
    const auto entry = next++;
    if (entry->second.home != rank) continue;
    links.push_back(entry->second.head.from.link);
    lost_.push_back(std::move(entry->second));
    under_way_.erase(entry);
  }
  for (const std::uint32_t link : links) finish(link);
}

void WindowService::locked(const Operation& operation, std::uint64_t old) {
  const auto asked = static_cast<LockOp>(operation.request.operation);
  if (old == operation.word.expected) return reply(operation, Status::ok, wire::bytes_of(wire::LockTaken{}));
  if (asked == LockOp::try_lock && old != wire::lock_managed) return reply(operation, Status::no);
  if (operation.withdrawn) return reply(operation, Status::withdrawn);
  send_home(operation, Kind::object_request);
}

/// Goes on with what it has read or changed. True if it has begun another operation, false if that was all.
bool WindowService::semaphore_step(Operation& operation, std::uint64_t old) {
  const auto what = static_cast<SemaphoreOp>(operation.request.operation);
  const bool swapped = operation.word.op == WordOp::compare_exchange && old == operation.word.expected;
  const auto value = static_cast<std::int64_t>(old);
  const auto count = static_cast<std::int64_t>(operation.semaphore.count);
  const auto most = static_cast<std::int64_t>(operation.semaphore.most);
  if (what == SemaphoreOp::acquire && value <= 0) {
    send_home(operation, Kind::object_request);
    if (operation.withdrawn) send_home(operation, Kind::object_withdraw);
  } else if (what == SemaphoreOp::acquire || (what == SemaphoreOp::try_acquire && swapped)) {
    reply(operation, Status::ok, wire::bytes_of(wire::SemaphoreTaken{}));
  } else if (operation.refused) {
    reply(operation, Status::full);
  } else if (operation.word.op == WordOp::fetch_add && value + count > most) {
    operation.refused = true;
    wire::WordRequest undo = operation.word;
    undo.operand = ~undo.operand + 1;
    start_word(std::move(operation), undo);
    return true;
  } else if (swapped || operation.word.op == WordOp::fetch_add) {  // released
    if (value < 0) {
      const wire::ObjectRequest grant{.operation = static_cast<std::uint32_t>(SemaphoreOp::grant)};
      const wire::SemaphoreRelease waiting{static_cast<std::uint32_t>(std::min(count, -value))};
      router_.send({.to = {operation.home, 0},
                    .from = operation.head.from,
                    .token = operation.head.token,
                    .kind = Kind::object_request},
                   wire::bytes_of(wire::SemaphoreGrant{grant, waiting}));
    }
    reply(operation, Status::ok);
  } else if (what == SemaphoreOp::try_acquire && value <= 0) {
    reply(operation, Status::no);
  } else if (what == SemaphoreOp::release && value + count > most) {
    reply(operation, Status::full);
  } else {  // another value than expected: again with that one
    const std::uint64_t wanted = what == SemaphoreOp::release ? old + operation.semaphore.count : old - 1;
    const wire::WordRequest again{.offset = operation.semaphore.offset,
                                  .type = WordType::i64,
                                  .op = WordOp::compare_exchange,
                                  .operand = wanted,
                                  .expected = old};
    start_word(std::move(operation), again);
    return true;
  }
  return false;
}

void WindowService::send_home(const Operation& operation, Kind kind) {
  router_.send({.to = {operation.home, 0}, .from = operation.head.from, .token = operation.head.token, .kind = kind},
               wire::bytes_of(operation.request));
}

void WindowService::reply(const Operation& operation, Status status, std::span<const std::byte> fixed,
                          const link::PayloadView& payload) {
  router_.send({.to = operation.head.from,
                .token = operation.request.request,
                .kind = Kind::object_reply,
                .flags = static_cast<std::uint32_t>(status)},
               fixed, payload);
}

}  // namespace rankpool::engine
