#include "client/semaphore.hpp"

#include <rankpool/semaphore.hpp>

#include <algorithm>
#include <cstddef>
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
using link::SharedSemaphore;
using wire::SemaphoreOp;
using wire::Status;

namespace {

constexpr auto number_of(SemaphoreOp operation) { return static_cast<std::uint32_t>(operation); }

}  // namespace

SemaphoreObject::SemaphoreObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id,
                                 detail::Reader* saved)
    : RemoteObject(std::move(client), type, id),
      direct_(this->client().identity().window == wire::WindowMode::direct),
      one_sided_(this->client().identity().window == wire::WindowMode::one_sided) {
  if (saved != nullptr) saved->read(&known_, sizeof known_);
}

void SemaphoreObject::save(detail::Buffer& out) const { out.append(&known_, sizeof known_); }

void SemaphoreObject::locate(std::uint32_t most) {
  known_.most = most;
  if (!direct_ && !one_sided_) return;
  const Reply reply = ask(number_of(SemaphoreOp::where));
  if (reply.status == Status::full) throw Error(name() + ": there is no room for it in the shared memory of its rank");
  known_.place = reply.as<wire::Place>();
}

Cell& SemaphoreObject::map_cell() const {
  require_home();
  const link::Window& window = window_of(client(), id().rank);
  if (!window.holds_cell(known_.place.cell)) throw_damaged();
  Cell& own = window.cell(known_.place.cell);
  cell_.store(&own, std::memory_order_release);
  if (lost()) {
    cell_.store(nullptr, std::memory_order_release);
    require_home();
  }
  return own;
}

bool SemaphoreObject::acquire_until(Deadline deadline) {
  if (!direct_) return acquire_at_home(deadline, !deadline || *deadline > link::CellClock::now());
  Cell& own = cell();
  if (SharedSemaphore::try_acquire(own)) return true;
  if (deadline && *deadline <= link::CellClock::now()) return false;
  return try_for_a_moment(client(), [&] { return SharedSemaphore::try_acquire(own); }) ||
         sleep_until(*this, deadline, [&](auto until) { return SharedSemaphore::sleep_and_acquire(own, until); });
}

bool SemaphoreObject::acquire_at_home(Deadline deadline, bool wait) {
  if (!wait) return ask_for({}, SemaphoreOp::try_acquire)->status == Status::ok;
  const std::optional<Reply> reply = ask_for(deadline, SemaphoreOp::acquire);
  if (!reply) return false;
  if (reply->as<wire::SemaphoreTaken>().waited != 0)
    tell(number_of(SemaphoreOp::received), wire::bytes_of(wire::SemaphoreReceived{reply->request}));
  return true;
}

std::uint64_t SemaphoreObject::word_offset() const noexcept { return known_.place.cell + offsetof(Cell, semaphore); }

std::optional<Reply> SemaphoreObject::ask_for(Deadline deadline, SemaphoreOp operation, std::uint32_t count) {
  if (!one_sided_) {
    if (operation != SemaphoreOp::release) return ask_until(deadline, number_of(operation));
    return ask_until(deadline, number_of(operation), wire::bytes_of(wire::SemaphoreRelease{count}));
  }
  const wire::WindowSemaphore asked{.rank = id().rank, .count = count, .offset = word_offset(), .most = known_.most};
  return ask_engine_until(deadline, wire::Kind::window_semaphore, number_of(operation), wire::bytes_of(asked));
}

bool SemaphoreObject::release(std::uint32_t count) {
  if (!direct_) return ask_for({}, SemaphoreOp::release, count)->status == Status::ok;
  client().settle(Client::nowhere);
  return SharedSemaphore::release(cell(), count, known_.most);
}

std::uint32_t SemaphoreObject::value() {
  if (direct_) return SharedSemaphore::value(cell());
  if (one_sided_) {
    const std::uint64_t word = load_word(word_offset());
    return static_cast<std::uint32_t>(std::max<std::int64_t>(0, static_cast<std::int64_t>(word)));
  }
  return ask(number_of(SemaphoreOp::value)).as<wire::SemaphoreValue>().value;
}

}  // namespace rankpool::client

namespace rankpool {
namespace {

detail::ObjectPtr make_semaphore(int value, bool bounded) {
  if (value < 0)
    throw std::invalid_argument("a semaphore cannot begin with " + std::to_string(value) + ": at least 0 is needed");
  const auto count = static_cast<std::uint32_t>(value);
  const wire::SemaphoreMake make{count, bounded ? count : wire::semaphore_max};
  detail::ObjectPtr object = client::make_object(detail::ObjectType::semaphore, wire::bytes_of(make));
  static_cast<client::SemaphoreObject&>(*object).locate(make.most);
  return object;
}
client::SemaphoreObject& semaphore_of(const detail::ObjectPtr& object) {
  return static_cast<client::SemaphoreObject&>(*object);
}

}  // namespace

Semaphore::Semaphore(int value, bool bounded) : Handle(make_semaphore(value, bounded)) {}

bool Semaphore::acquire_until(detail::Deadline deadline) const {
  return semaphore_of(object()).acquire_until(deadline);
}
int Semaphore::value() const { return static_cast<int>(semaphore_of(object()).value()); }

void Semaphore::release(int n) const {
  client::SemaphoreObject& semaphore = semaphore_of(object());
  if (n <= 0)
    throw std::invalid_argument(semaphore.name() + ": release(" + std::to_string(n) + "): at least 1 is needed");
  if (!semaphore.release(static_cast<std::uint32_t>(n)))
    throw std::logic_error(semaphore.name() + ": release(" + std::to_string(n) + ") would raise it from " +
                           std::to_string(semaphore.value()) + " above " + std::to_string(semaphore.most()) +
                           ", the most it can be: it was released more often than acquired");
}

}  // namespace rankpool
