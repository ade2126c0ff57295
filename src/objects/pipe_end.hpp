// The home side of an end of a pipe.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "link/payload.hpp"
#include "objects/object.hpp"
#include "wire/pipe.hpp"

namespace rankpool::objects {

/// What was sent to one end and not yet consumed there, and who reads it: at most one process at a time, its owner. The
/// messages flow to the owner unasked, a window ahead of what it has consumed, and are kept until it says so; the next
/// owner gets the rest again. Both ends of a pipe live on the rank of their maker and know each other by number.
class PipeEnd final : public Object {
 public:
  // What is streamed to the owner and not consumed stays below one message more than this,
  static constexpr std::uint64_t window_bytes = 1024 * 1024;
  static constexpr std::uint64_t window_messages = 1024;
  // and a sender that asks is held up while more than this waits at the other end.
  static constexpr std::uint64_t backlog_limit = 64 * 1024 * 1024;

  /// `peer` 0: the other end is made later, and then says so.
  PipeEnd(std::uint64_t number, std::uint64_t peer, Home& home);

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;
  void released(Home& home) override { close(home); }

 private:
  struct Message {
    wire::PipeMessage head;
    link::Payload payload;
    std::uint64_t cost = 0;
  };

  void own(wire::Address process, std::uint64_t turn, Home& home);
  void leave(wire::Address process);
  void send(const Caller& caller, const wire::PipeMessage& head, const link::PayloadView& payload, Home& home);
  void when_there_is_room(const Caller& caller, const PipeEnd& other, Home& home);
  void put(const wire::PipeMessage& head, const link::PayloadView& payload, Home& home);
  void consumed(wire::Address process, std::uint64_t count, Home& home);
  void stream(Home& home);
  void close(Home& home);
  void peer_closed(Home& home);
  void peer_has_room(Home& home);
  PipeEnd* peer(Home& home) const;
  std::uint64_t end() const noexcept { return first_ + messages_.size(); }

  std::uint64_t number_;
  std::uint64_t peer_;
  bool closed_ = false;
  bool peer_closed_ = false;
  std::optional<wire::Address> owner_;

  std::deque<Message> messages_;
  std::uint64_t first_ = 0;     // number of the front message
  std::uint64_t backlog_ = 0;   // cost of all messages
  std::uint64_t streamed_ = 0;  // of the messages, from the front
  std::uint64_t streamed_bytes_ = 0;
  std::vector<Caller> senders_;  // of this end, that wait for room at the other
};

}  // namespace rankpool::objects
