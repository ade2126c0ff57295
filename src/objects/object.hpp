// What all shared objects have in common at their home: state machines without I/O.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "link/lease.hpp"
#include "link/payload.hpp"
#include "wire/objects.hpp"

namespace rankpool::objects {

/// Who asks: a user process, one of its threads, and its number for the request (0: wants no answer).
struct Caller {
  wire::Address process;
  std::uint32_t thread = 0;
  std::uint64_t request = 0;
};
inline bool same_request(const Caller& a, const Caller& b) noexcept {
  return a.process == b.process && a.request == b.request;
}

class Object;
class WindowMemory;

/// The engine, as its objects see it.
class Home {
 public:
  /// Answers a request; does nothing if the caller wants no answer. `payload` follows `fixed`.
  virtual void reply(const Caller& to, wire::Status status, std::span<const std::byte> fixed = {},
                     const link::PayloadView& payload = {}) = 0;
  /// Tells a process that has a handle of `object` (a number of this rank) something unasked; nothing happens if it has
  /// none.
  virtual void note(std::uint64_t object, wire::Address to, std::uint32_t what, std::span<const std::byte> fixed = {},
                    const link::PayloadView& payload = {}) = 0;
  /// The same to all processes that have a handle.
  virtual void note_all(std::uint64_t object, std::uint32_t what, std::span<const std::byte> fixed = {}) = 0;
  /// A handle in a message that is kept here is on its way, in one more copy of the message.
  virtual void pin(const wire::Pin& pin) = 0;
  /// A handle in a message that was kept here goes with it.
  virtual void unpin(const wire::Pin& pin) = 0;
  /// Holds an object once more, as a process with a handle does, until `drop`. Needed by whoever keeps handles and
  /// hands out copies of them: a receiver's message that it has decoded its copy may overtake the pin for that copy,
  /// and must not cancel what keeps the object.
  virtual void hold(const wire::ObjectId&) {}
  virtual void drop(const wire::ObjectId&) {}
  /// Another object of this rank; null if it has gone.
  virtual Object* find(std::uint64_t number) = 0;
  /// Calls back what was lent to a process; Object::lease_returned follows, unless the process has gone on to its next
  /// lease or has died: then that is heard.
  virtual void recall_lease(std::uint64_t /*object*/, wire::Address /*holder*/, std::uint32_t /*slot*/,
                            std::uint64_t /*generation*/) {}
  /// Would it be known what the process has taken of a lease, however it ends?
  virtual bool may_lend(wire::Address /*process*/) const { return true; }
  /// Keeps the value of a shared object of this rank for whoever asks the engine for it, until `drop_value`.
  virtual void keep_value(std::uint64_t /*object*/, const link::PayloadView& /*value*/) {}
  virtual void drop_value(std::uint64_t /*object*/) {}
  /// The window of this rank; null if it has none.
  virtual WindowMemory* window() { return nullptr; }
  /// Do other ranks act on the window by one-sided operations? Then words that they act on are changed by `swap_word`
  /// and `add_word` alone, here too.
  virtual bool one_sided() const { return false; }
  /// Puts `desired` into the 8-byte word at `offset` of the window if it is `expected`; Object::word_swapped of
  /// `object` follows, if it is still there. What is asked first happens first.
  virtual void swap_word(std::uint64_t /*object*/, std::uint64_t /*offset*/, std::uint64_t /*expected*/,
                         std::uint64_t /*desired*/) {}
  /// Adds to the word in the same way.
  virtual void add_word(std::uint64_t /*object*/, std::uint64_t /*offset*/, std::uint64_t /*addend*/) {}

 protected:
  ~Home() = default;
};

/// Called by the engine for one event after the other. Every request with a number is answered exactly once: now,
/// later, or by `withdrawn` or the end of its process.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  /// `body` (and `payload`, what of it came as a slice) holds during the call.
  /// @throws wire::BadFrame if it is too short
  virtual void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body,
                       link::Slice slice, Home& home) = 0;
  /// The caller has no more time: a request that still waits is answered `withdrawn`, and nothing of it remains.
  virtual void withdraw(const Caller& caller, Home& home) = 0;
  /// A process has a handle now, its first or one more.
  virtual void joined(wire::Address, Home&) {}
  /// A process has ended, or has dropped its last handle: nothing that it waits for or holds may keep others waiting.
  virtual void left(wire::Address process, Home& home) = 0;
  /// It has ended, and these are its lease words.
  virtual void died(wire::Address process, const link::LeaseStates&, Home& home) { left(process, home); }
  /// The answer to Home::recall_lease.
  virtual void lease_returned(wire::Address, std::uint32_t /*slot*/, link::LeaseState, Home&) {}
  /// The answer to Home::swap_word and add_word: what the word was.
  virtual void word_swapped(std::uint64_t /*before*/, Home&) {}
  /// Nobody has a handle any more: the object goes after this call.
  virtual void released(Home&) {}
};

}  // namespace rankpool::objects
