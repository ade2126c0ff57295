#include <rankpool/condition.hpp>

#include <stdexcept>
#include <string>

#include "client/lock.hpp"
#include "client/remote_object.hpp"
#include "wire/condition.hpp"
#include "wire/messages.hpp"

namespace rankpool {
namespace {

using wire::ConditionOp;
using wire::ConditionTicket;

client::LockObject& lock_of(const detail::ObjectPtr& lock) {
  if (auto* const found = dynamic_cast<client::LockObject*>(lock.get())) return *found;
  throw std::logic_error("an empty handle of a condition was used: it was moved from");
}
std::uint32_t code(ConditionOp operation) { return static_cast<std::uint32_t>(operation); }

}  // namespace

Condition::Condition() : Condition(RLock()) {}

detail::ObjectPtr Condition::new_object() { return client::make_object(detail::ObjectType::condition); }

void Condition::lock() { lock_of(lock_).lock(); }
bool Condition::lock_until(detail::Deadline deadline) { return lock_of(lock_).lock_until(deadline); }
void Condition::unlock() { lock_of(lock_).unlock(); }

void Condition::require_lock(const char* call) const {
  if (!lock_of(lock_).held_by_me())
    throw std::logic_error(object_->name() + ": " + call +
                           " needs its lock to be held by the calling thread: lock it first");
}

bool Condition::wait_until(detail::Deadline deadline) {
  require_lock("wait");
  client::LockObject& lock = lock_of(lock_);
  const client::Reply place = object_->ask(code(ConditionOp::enter));
  auto bytes = place.bytes();
  const auto ticket = wire::take<ConditionTicket>(bytes);

  std::uint32_t depth = 0;
  try {
    depth = lock.release_fully();
  } catch (...) {
    object_->tell(code(ConditionOp::leave), wire::bytes_of(ticket));
    throw;
  }
  bool notified = false;
  try {
    notified = object_->ask_until(deadline, code(ConditionOp::await), wire::bytes_of(ticket)).has_value();
  } catch (...) {
    lock.acquire_again(depth);
    throw;
  }
  lock.acquire_again(depth);
  return notified;
}

void Condition::notify(std::size_t count) {
  require_lock("notify");
  object_->ask(code(ConditionOp::notify), wire::bytes_of(wire::ConditionNotify{count}));
}

namespace detail {

void Codec<Condition>::encode(Buffer& out, const Condition& condition) {
  encode_handle(out, condition.object_);
  // what is no Lock is an RLock, though it may be that of a Value
  const ObjectType lock = condition.lock_->type() == ObjectType::lock ? ObjectType::lock : ObjectType::recursive_lock;
  out.append(&lock, sizeof lock);
  encode_handle(out, condition.lock_);
}

Condition Codec<Condition>::decode(Reader& in) {
  ObjectPtr object = decode_handle(in, ObjectType::condition);
  ObjectType lock{};
  in.read(&lock, sizeof lock);
  if (lock != ObjectType::lock && lock != ObjectType::recursive_lock)
    throw_damaged("a condition has something else than a lock");
  return {std::move(object), decode_handle(in, lock)};
}

}  // namespace detail
}  // namespace rankpool
