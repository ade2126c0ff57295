#include "objects/queue.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {
namespace {

using wire::QueueOp;
using wire::Status;

constexpr std::size_t most_leased_bytes = 48 * 1024;  // an answer stays within wire::max_body
constexpr std::uint64_t quiet_after_recall = 64;

/// Cuts the handles off the end of an item.
ItemLine::Cargo split_cargo(link::PayloadView& item, std::size_t count) {
  if (count == 0) return {};
  const std::size_t bytes = count * sizeof(wire::QueueCargo);
  if (bytes > item.size()) throw wire::BadFrame("an item of a queue is shorter than the handles in it");
  ItemLine::Cargo cargo(count);
  std::memcpy(cargo.data(), item.read().last(bytes).data(), bytes);
  if (item.slice) {
    item.slice.length -= bytes;
  } else {
    item.bytes = item.bytes.first(item.bytes.size() - bytes);
  }
  return cargo;
}

/// The handles in an item that nobody will get.
void drop(const ItemLine::Cargo& cargo, Home& home) {
  for (const wire::QueueCargo& handle : cargo) home.unpin(handle);
}

}  // namespace

void Queue::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
                    Home& home) {
  const auto what = static_cast<QueueOp>(operation);
  if (what == QueueOp::lease_back) {
    const auto back = wire::take<wire::QueueLeaseBack>(body);
    return lease_returned(caller.process, back.slot, {back.state}, home);
  }
  if (what == QueueOp::get && lease_) {
    std::span<const std::byte> copy = body;
    const auto wish = wire::take<wire::QueueGet>(copy);
    lease_returned(caller.process, wish.slot, {wish.last}, home);
  }
  if (needs_lease_back(what)) {
    held_.push_back({caller, what, {body.begin(), body.end()}, std::move(slice)});
    return recall(home);
  }
  run(caller, what, body, std::move(slice), home);
}

bool Queue::needs_lease_back(QueueOp operation) const noexcept {
  if (!lease_) return false;
  switch (operation) {
    case QueueOp::get:
    case QueueOp::look:
    case QueueOp::shut_down_now:
      return true;
    case QueueOp::watch:
      return items_.size() == lease_->count;
    case QueueOp::put:
      return !shut_ && (!has_room() || (maxsize_ != 0 && !held_.empty()));
    default:
      return false;
  }
}

void Queue::recall(Home& home) {
  streak_ = 0;
  batch_ = 1;
  quiet_needed_ = quiet_after_recall;
  if (std::exchange(lease_->recalled, true)) return;
  home.recall_lease(number_, lease_->holder, lease_->slot, lease_->generation);
}

/// The holder has taken so many and takes no more; what waited for that goes on.
void Queue::end_lease(std::size_t taken, Home& home) {
  for (std::size_t i = 0; i < taken; ++i) items_.pop();  // leased items have no handles in them
  lease_.reset();
  while (!held_.empty() && !lease_) {
    Held next = std::move(held_.front());
    held_.pop_front();
    run(next.caller, next.operation, next.body, std::move(next.slice), home);
  }
}

void Queue::lease_returned(wire::Address process, std::uint32_t slot, link::LeaseState state, Home& home) {
  if (!lease_ || lease_->holder != process || lease_->slot != slot || lease_->generation != state.generation()) return;
  end_lease(std::min<std::size_t>(state.taken(), lease_->count), home);
}

void Queue::run(const Caller& caller, QueueOp operation, std::span<const std::byte> body, link::Slice slice,
                Home& home) {
  switch (operation) {
    case QueueOp::put:
      return put(caller, body, std::move(slice), home);
    case QueueOp::get:
      return get(caller, wire::take<wire::QueueGet>(body), home);
    case QueueOp::look:
      return home.reply(caller, Status::ok, wire::bytes_of(wire::QueueState{items_.size()}));
    case QueueOp::watch:
      if (!items_.empty() || shut_) return home.reply(caller, Status::ok);
      watchers_.push_back(caller);
      return;
    case QueueOp::shut_down:
    case QueueOp::shut_down_now:
      shut_down(operation == QueueOp::shut_down_now, home);
      return home.reply(caller, Status::ok);
    case QueueOp::task_done:
      return task_done(caller, home);
    case QueueOp::join:
      if (unfinished_ == 0) return home.reply(caller, Status::ok);
      joiners_.push_back(caller);
      return;
    case QueueOp::lease_back:
      break;
  }
  throw wire::BadFrame("a queue was asked for an unknown operation");
}

void Queue::put(const Caller& caller, std::span<const std::byte> body, link::Slice slice, Home& home) {
  const auto how = wire::take<wire::QueuePut>(body);
  link::PayloadView item{body, std::move(slice)};
  Cargo cargo = split_cargo(item, how.cargo);
  const bool asked = caller.request != 0;
  if (dropping_ || (shut_ && asked)) {  // who does not ask has not heard yet; what it puts can still be taken
    drop(cargo, home);
    return home.reply(caller, Status::closed);
  }
  if (has_room() || !asked) {
    add(item, std::move(cargo), home);
    return home.reply(caller, Status::ok);
  }
  if (how.no_wait != 0) {
    drop(cargo, home);
    return home.reply(caller, Status::full);
  }
  putters_.push_back({caller, link::Payload(item), std::move(cargo)});
}

void Queue::add(const link::PayloadView& item, Cargo cargo, Home& home) {
  items_.push(item, std::move(cargo));
  ++unfinished_;
  for (const Caller& watcher : std::exchange(watchers_, {})) home.reply(watcher, Status::ok);
  if (getters_.empty()) return;
  const Getter getter = getters_.front();
  getters_.pop_front();
  give(getter.caller, getter.wish, home);
}

void Queue::get(const Caller& caller, const wire::QueueGet& wish, Home& home) {
  if (!items_.empty()) return give(caller, wish, home);
  if (shut_) return home.reply(caller, Status::closed);
  if (wish.no_wait != 0) return home.reply(caller, Status::no);
  getters_.push_back({caller, wish});
}

/// Hands the next item out, and lends some more to a process that is alone.
void Queue::give(const Caller& caller, const wire::QueueGet& wish, Home& home) {
  if (caller.process != last_getter_) {
    last_getter_ = caller.process;
    streak_ = 0;
    batch_ = 1;
  }
  std::size_t count = 1;
  if (++streak_ > quiet_needed_ && wish.generation != 0 && wish.slot < link::lease_slots &&
      home.may_lend(caller.process)) {
    const bool alone = getters_.empty() && putters_.empty() && held_.empty();
    if (alone && batch_ > 1 && items_.size() > 1) {
      scratch_.clear();
      count = std::max<std::size_t>(1, items_.copy_front(scratch_, batch_, most_leased_bytes));
    }
    batch_ = std::min<std::size_t>(2 * batch_, link::LeaseWord::most_items);
  }
  const wire::QueueItem head{count - 1};
  home.reply(caller, Status::ok, wire::bytes_of(head), count > 1 ? link::PayloadView{scratch_, {}} : items_.front());
  items_.pop();
  if (count > 1) lease_ = Lease{caller.process, wish.slot, wish.generation, count - 1};
  let_putters_in(home);
}

void Queue::let_putters_in(Home& home) {
  while (!putters_.empty() && has_room()) {
    Putter putter = std::move(putters_.front());
    putters_.pop_front();
    add(putter.item.view(), std::move(putter.cargo), home);
    home.reply(putter.caller, Status::ok);
  }
}

void Queue::shut_down(bool now, Home& home) {
  shut_ = true;
  for (const Getter& getter : std::exchange(getters_, {})) home.reply(getter.caller, Status::closed);
  for (const Putter& putter : std::exchange(putters_, {})) {
    drop(putter.cargo, home);
    home.reply(putter.caller, Status::closed);
  }
  for (const Caller& watcher : std::exchange(watchers_, {})) home.reply(watcher, Status::ok);
  if (now) {
    dropping_ = true;
    const std::size_t count = items_.size();
    while (!items_.empty()) drop(items_.pop(), home);
    finished(std::min<std::uint64_t>(count, unfinished_), home);
  }
  home.note_all(number_, static_cast<std::uint32_t>(wire::QueueNote::shut_down));
}

void Queue::task_done(const Caller& caller, Home& home) {
  if (unfinished_ == 0) {
    constexpr std::string_view why =
        "task_done() was called more often than items were put; call it once for each item that was got";
    return home.reply(caller, Status::refused, {}, {std::as_bytes(std::span(why)), {}});
  }
  finished(1, home);
  home.reply(caller, Status::ok);
}

void Queue::finished(std::size_t count, Home& home) {
  unfinished_ -= count;
  if (unfinished_ != 0) return;
  for (const Caller& joiner : std::exchange(joiners_, {})) home.reply(joiner, Status::ok);
}

/// Takes back the requests of all callers that are `gone`. True if there were any.
template <class Gone>
bool Queue::forget(const Gone& gone, Home& home) {
  const auto of_gone = [&](const auto& waiting) { return gone(waiting.caller); };
  std::size_t count = std::erase_if(getters_, of_gone);
  count += std::erase_if(putters_, [&](const Putter& putter) {
    if (!gone(putter.caller)) return false;
    drop(putter.cargo, home);
    return true;
  });
  count += std::erase_if(held_, [&](const Held& held) {
    if (!gone(held.caller)) return false;
    if (held.operation == QueueOp::put) {
      std::span<const std::byte> body = held.body;
      const auto how = wire::take<wire::QueuePut>(body);
      link::PayloadView item{body, held.slice};
      drop(split_cargo(item, how.cargo), home);
    }
    return true;
  });
  count += std::erase_if(joiners_, gone);
  count += std::erase_if(watchers_, gone);
  return count != 0;
}

void Queue::withdraw(const Caller& caller, Home& home) {
  if (forget([&](const Caller& other) { return same_request(caller, other); }, home))
    home.reply(caller, Status::withdrawn);
}

void Queue::left(wire::Address process, Home& home) {
  // a lease of the process was given back before its last handle was dropped
  forget([&](const Caller& other) { return other.process == process; }, home);
}

void Queue::died(wire::Address process, const link::LeaseStates& leases, Home& home) {
  forget([&](const Caller& other) { return other.process == process; }, home);
  if (!lease_ || lease_->holder != process) return;
  const link::LeaseState state = leases.at(lease_->slot);
  // it only goes on to the next lease when it has taken all of the last, and may have died before it could say so
  const bool all = state.generation() != lease_->generation;
  end_lease(all ? lease_->count : std::min<std::size_t>(state.taken(), lease_->count), home);
}

void Queue::released(Home& home) {
  while (!items_.empty()) drop(items_.pop(), home);
}

}  // namespace rankpool::objects
