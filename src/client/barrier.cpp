#include <rankpool/barrier.hpp>

#include <optional>
#include <stdexcept>
#include <string>

#include <rankpool/errors.hpp>

#include "client/remote_object.hpp"
#include "wire/barrier.hpp"
#include "wire/messages.hpp"

namespace rankpool {
namespace {

using wire::BarrierOp;

client::Reply ask(const detail::ObjectPtr& object, BarrierOp operation) {
  return object->ask(static_cast<std::uint32_t>(operation));
}

template <class Answer>
Answer answer(const client::Reply& reply) {
  auto bytes = reply.bytes();
  return wire::take<Answer>(bytes);
}

detail::ObjectPtr make(int parties) {
  if (parties < 1)
    throw std::invalid_argument("Barrier(" + std::to_string(parties) + "): at least one must come to a barrier");
  return client::make_object(Barrier::type, wire::bytes_of(wire::BarrierMake{parties}));
}

}  // namespace

Barrier::Barrier(int parties) : Handle(make(parties)) {}

int Barrier::wait_until(detail::Deadline deadline) {
  const std::optional<client::Reply> reply = object()->ask_until(deadline, static_cast<std::uint32_t>(BarrierOp::wait));
  if (!reply)
    throw BrokenBarrier(object()->name() +
                        ": not all have come in time, so it is broken for everyone; reset() makes it usable again");
  if (reply->status == wire::Status::broken)
    throw BrokenBarrier(object()->name() +
                        ": it was aborted or reset, or someone who waited here ran out of time or has ended; reset() "
                        "makes it usable again");
  return answer<wire::BarrierPlace>(*reply).place;
}

void Barrier::abort() { ask(object(), BarrierOp::abort); }
void Barrier::reset() { ask(object(), BarrierOp::reset); }

int Barrier::parties() const { return answer<wire::BarrierState>(ask(object(), BarrierOp::state)).parties; }
int Barrier::n_waiting() const { return answer<wire::BarrierState>(ask(object(), BarrierOp::state)).waiting; }
bool Barrier::broken() const { return answer<wire::BarrierState>(ask(object(), BarrierOp::state)).broken != 0; }

}  // namespace rankpool
