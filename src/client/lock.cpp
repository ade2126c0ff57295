#include "client/lock.hpp"

#include <rankpool/lock.hpp>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/sleep.hpp"
#include "client/window_map.hpp"
#include "wire/messages.hpp"
#include "wire/one_sided.hpp"
#include "wire/words.hpp"

namespace rankpool::client {

using link::Cell;
using link::SharedLock;
using wire::LockOp;
using wire::Status;

namespace {

constexpr auto number_of(LockOp operation) { return static_cast<std::uint32_t>(operation); }

wire::LockHolder holder_in(std::uint64_t word) {
  return {{SharedLock::rank_in(word), SharedLock::link_in(word)}, SharedLock::thread_in(word)};
}

}  // namespace

LockObject::LockObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id, detail::Reader* saved)
    : RemoteObject(std::move(client), type, id),
      direct_(this->client().identity().window == wire::WindowMode::direct),
      one_sided_(this->client().identity().window == wire::WindowMode::one_sided),
      process_(SharedLock::process(this->client().identity().rank, this->client().identity().link)) {
  if (saved != nullptr) saved->read(&place_, sizeof place_);
}

/// Who has no handle any more can not unlock it.
LockObject::~LockObject() {
  if (Cell* const own = cells_.load(); own != nullptr) SharedLock::orphan(*own, process_);
  if (!one_sided_ || thread_.load() == 0) return;
  try {
    post(number_of(LockOp::abandon));
  } catch (const std::exception&) {
    // the engine is gone, and the lock with it
  }
}

void LockObject::save(detail::Buffer& out) const { out.append(&place_, sizeof place_); }

void LockObject::locate() {
  const Reply reply = ask(number_of(LockOp::where));
  if (reply.status == Status::full)
    throw Error(name() +
                ": there is no room for it in the shared memory of its rank, which is limited (64 GiB, or less "
                "under `ulimit -v` and `ulimit -f`)");
  place_ = reply.as<wire::Place>();
}

Cell* LockObject::map_cells() const {
  require_home();
  const link::Window& window = window_of(client(), id().rank);
  if (!window.holds_cell(place_.cell)) throw_damaged();
  Cell* const first = &window.cell(place_.cell);
  cells_.store(first, std::memory_order_release);
  if (lost()) {
    cells_.store(nullptr, std::memory_order_release);
    require_home();
  }
  return first;
}

wire::LockHolder LockObject::caller() const { return holder_in(me()); }

void LockObject::refuse_second_lock() const {
  throw std::logic_error(name() + ": lock() by " + wire::text_of(caller()) +
                         ", which holds it already and would wait for ever: use an RLock to lock more than once");
}

void LockObject::refuse_unlock(std::uint64_t word) const {
  const wire::LockHolder owner = holder_in(word);
  const bool held = SharedLock::owner_in(word) != 0;
  throw std::logic_error(name() + ": " + wire::unlock_refusal(caller(), held ? &owner : nullptr));
}

void LockObject::lock_slowly() {
  if (held_by_me() && !is_recursive()) refuse_second_lock();
  if (direct_) {
    wait_for_cell({});
  } else {
    lock_at_home({}, true);
  }
}

bool LockObject::lock_until(Deadline deadline) {
  const bool wait = !deadline || *deadline > link::CellClock::now();
  if (!direct_) return lock_at_home(deadline, wait);
  if (SharedLock::try_lock(cell(), me())) {
    cell().depth = 1;
    return true;
  }
  if (!wait && !(is_recursive() && held_by_me())) return false;
  return wait_for_cell(deadline);
}

bool LockObject::wait_for_cell(Deadline deadline) {
  Cell& own = cell();
  const link::Owner myself = me();
  if (is_recursive() && held_by_me()) {
    ++own.depth;
    return true;
  }
  const bool got =
      try_for_a_moment(client(), [&] { return SharedLock::try_lock(own, myself); }) ||
      sleep_until(*this, deadline, [&](auto until) { return SharedLock::sleep_and_lock(own, myself, until); });
  if (got) own.depth = 1;
  return got;
}

bool LockObject::lock_at_home(Deadline deadline, bool wait) {
  if (is_recursive() && held_by_me()) {
    ++depth_;
    return true;
  }
  const std::optional<Reply> reply = wait ? ask_lock(deadline, LockOp::lock) : ask_lock({}, LockOp::try_lock);
  if (!reply || reply->status == Status::no) return false;
  orphaned_ = reply->as<wire::LockTaken>().orphaned != 0;
  depth_ = 1;
  thread_.store(this_thread());
  return true;
}

std::optional<Reply> LockObject::ask_lock(Deadline deadline, LockOp operation) {
  if (!one_sided_) return ask_until(deadline, number_of(operation));
  const wire::WindowLock asked{.rank = id().rank, .offset = place_.cell, .owner = me()};
  return ask_engine_until(deadline, wire::Kind::window_lock, number_of(operation), wire::bytes_of(asked));
}

void LockObject::release(Cell& own) {
  try {
    client().settle(Client::nowhere);
  } catch (const std::exception&) {
    // The engine is gone, and with it all who could see an order; destructors of guards must not throw.
  }
  if (!SharedLock::unlock(own, me())) refuse_unlock(own.lock.load());
}

void LockObject::unlock_once() {
  Cell& own = cell();
  if (const std::uint64_t word = own.lock.load(std::memory_order_relaxed); SharedLock::owner_in(word) != me()) {
    if (client().link().failed()) return;  // a wait that the failure has ended could not lock again
    refuse_unlock(word);
  }
  if (own.depth > 1) {
    --own.depth;
  } else {
    release(own);
  }
}

void LockObject::unlock_at_home() {
  if (!held_by_me()) {
    if (lost() || client().link().failed()) return;
    ask(number_of(LockOp::unlock));  // is refused, with the names of both
    throw std::logic_error(name() + ": " + wire::unlock_refusal(caller(), nullptr));
  }
  if (depth_ > 1) {
    --depth_;
    return;
  }
  thread_.store(0);
  try {
    if (one_sided_) {
      ask_lock({}, LockOp::unlock);  // what this process does next may take another way, which is as fast
    } else {
      tell(number_of(LockOp::unlock));
    }
  } catch (const std::exception&) {
    // The engine is gone, and with it all who could want the lock; destructors of guards must not throw.
  }
}

bool LockObject::locked() {
  if (direct_) return SharedLock::owner_in(cell().lock.load(std::memory_order_acquire)) != 0;
  return thread_.load() != 0 || locked_at_home();
}

bool LockObject::locked_at_home() {
  if (one_sided_) {
    const std::uint64_t word = load_word(place_.cell);
    if (word != wire::lock_managed) return word != wire::lock_free;
  }
  return ask(number_of(LockOp::holder)).status == Status::ok;
}

bool LockObject::previous_owner_died() {
  if (!held_by_me()) return false;
  return direct_ ? (cell().lock.load(std::memory_order_relaxed) & SharedLock::orphaned) != 0 : orphaned_;
}

bool LockObject::held_by_me() const {
  if (direct_) return SharedLock::owner_in(cell().lock.load(std::memory_order_relaxed)) == me();
  return thread_.load(std::memory_order_relaxed) == this_thread();
}

std::uint32_t LockObject::release_fully() {
  std::uint32_t depth = 1;
  if (held_by_me()) depth = direct_ ? std::exchange(cell().depth, 1) : std::exchange(depth_, 1);
  unlock();
  return depth;
}

void LockObject::acquire_again(std::uint32_t depth) {
  lock();
  (direct_ ? cell().depth : depth_) = depth;
}

}  // namespace rankpool::client

namespace rankpool::detail {
namespace {

ObjectPtr make_lock(ObjectType type) {
  ObjectPtr object = client::make_object(type);
  if (object->client().identity().window != wire::WindowMode::messages)
    static_cast<client::LockObject&>(*object).locate();
  return object;
}
client::LockObject& lock_of(const ObjectPtr& object) { return static_cast<client::LockObject&>(*object); }

}  // namespace

LockHandle::LockHandle(ObjectType type) : Handle(make_lock(type)) {}
void LockHandle::lock() const { lock_of(object()).lock(); }
bool LockHandle::lock_until(Deadline deadline) const { return lock_of(object()).lock_until(deadline); }
void LockHandle::unlock() const { lock_of(object()).unlock(); }
bool LockHandle::locked() const { return lock_of(object()).locked(); }
bool LockHandle::previous_owner_died() const { return lock_of(object()).previous_owner_died(); }

}  // namespace rankpool::detail
