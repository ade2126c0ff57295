#include "objects/pipe_end.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"
#include "wire/objects.hpp"

namespace rankpool::objects {
namespace {

using wire::PipeNote;
using wire::PipeOp;
using wire::Status;

// What a message takes of the backlog besides its bytes.
constexpr std::uint64_t message_cost = 64;
constexpr std::uint64_t slice_cost = 256 * 1024;  // a descriptor is dearer than its bytes: an engine has not too many

std::uint64_t cost_of(const link::PayloadView& payload) {
  return payload.size() + (payload.slice ? slice_cost : message_cost);
}

std::uint32_t code(PipeNote note) { return static_cast<std::uint32_t>(note); }

/// Nobody will decode this message: the handles in it are on their way no longer.
void unpin(const wire::PipeMessage& head, const link::PayloadView& payload, Home& home) {
  if (head.objects == 0) return;
  const std::uint64_t bytes = std::uint64_t{head.objects} * sizeof(wire::Pin);
  if (bytes > payload.size()) throw wire::BadFrame("a message of a pipe is too short for the handles in it");
  std::span<const std::byte> ids = payload.read().last(bytes);
  while (!ids.empty()) home.unpin(wire::take<wire::Pin>(ids));
}

}  // namespace

PipeEnd::PipeEnd(std::uint64_t number, std::uint64_t peer_number, Home& home) : number_(number), peer_(peer_number) {
  if (peer_ == 0) return;
  if (PipeEnd* const other = peer(home)) {
    other->peer_ = number;
  } else {
    peer_closed_ = true;
  }
}

PipeEnd* PipeEnd::peer(Home& home) const { return peer_ == 0 ? nullptr : dynamic_cast<PipeEnd*>(home.find(peer_)); }

void PipeEnd::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
                      Home& home) {
  switch (static_cast<PipeOp>(operation)) {
    case PipeOp::own:
      own(caller.process, wire::take<wire::PipeOwn>(body).turn, home);
      return home.reply(caller, Status::ok);
    case PipeOp::leave:
      consumed(caller.process, wire::take<wire::PipeConsumed>(body).count, home);
      leave(caller.process);
      return home.reply(caller, Status::ok);
    case PipeOp::send: {
      const auto head = wire::take<wire::PipeMessage>(body);
      consumed(caller.process, head.count, home);
      return send(caller, head, {body, std::move(slice)}, home);
    }
    case PipeOp::consumed:
    case PipeOp::sync:
      consumed(caller.process, wire::take<wire::PipeConsumed>(body).count, home);
      return home.reply(caller, Status::ok);
    case PipeOp::close:
      close(home);
      return home.reply(caller, Status::ok);
    case PipeOp::room: {
      PipeEnd* const other = peer_closed_ || closed_ ? nullptr : peer(home);
      if (other == nullptr) return home.reply(caller, Status::closed);
      return when_there_is_room(caller, *other, home);
    }
  }
  throw wire::BadFrame("an end of a pipe was asked for an unknown operation");
}

void PipeEnd::own(wire::Address process, std::uint64_t turn, Home& home) {
  if (owner_ && !(*owner_ == process)) home.note(number_, *owner_, code(PipeNote::taken));
  owner_ = process;
  streamed_ = streamed_bytes_ = 0;
  home.note(number_, process, code(PipeNote::start), wire::bytes_of(wire::PipeStart{turn, first_}));
  stream(home);
  if (peer_closed_ || closed_)
    home.note(number_, process, code(PipeNote::peer_closed), wire::bytes_of(wire::PipeEndNote{end()}));
}

void PipeEnd::leave(wire::Address process) {
  if (!owner_ || !(*owner_ == process)) return;
  owner_.reset();
  streamed_ = streamed_bytes_ = 0;
}

void PipeEnd::send(const Caller& caller, const wire::PipeMessage& head, const link::PayloadView& payload, Home& home) {
  PipeEnd* const other = peer_closed_ || closed_ ? nullptr : peer(home);
  if (other == nullptr) {
    unpin(head, payload, home);
    return home.reply(caller, Status::closed);
  }
  other->put(head, payload, home);
  if (caller.request != 0) when_there_is_room(caller, *other, home);
}

void PipeEnd::when_there_is_room(const Caller& caller, const PipeEnd& other, Home& home) {
  if (other.backlog_ <= backlog_limit) return home.reply(caller, Status::ok);
  senders_.push_back(caller);
}

/// A message from the other end.
void PipeEnd::put(const wire::PipeMessage& head, const link::PayloadView& payload, Home& home) {
  Message& message = messages_.emplace_back(Message{head, link::Payload(payload), cost_of(payload)});
  message.head.count = end() - 1;
  backlog_ += message.cost;
  stream(home);
}

void PipeEnd::consumed(wire::Address process, std::uint64_t count, Home& home) {
  if (!owner_ || !(*owner_ == process) || count <= first_) return;
  if (count - first_ > streamed_) throw wire::BadFrame("a process has consumed messages that it was not sent");
  for (; first_ < count; ++first_, --streamed_) {
    backlog_ -= messages_.front().cost;
    streamed_bytes_ -= messages_.front().payload.view().size();
    messages_.pop_front();
  }
  stream(home);
  if (backlog_ > backlog_limit) return;
  if (PipeEnd* const other = peer(home)) other->peer_has_room(home);
}

void PipeEnd::stream(Home& home) {
  if (!owner_) return;
  while (streamed_ < messages_.size() &&
         (streamed_ == 0 || (streamed_bytes_ < window_bytes && streamed_ < window_messages))) {
    const Message& next = messages_[streamed_];
    home.note(number_, *owner_, code(PipeNote::message), wire::bytes_of(next.head), next.payload.view());
    ++streamed_;
    streamed_bytes_ += next.payload.view().size();
  }
}

void PipeEnd::close(Home& home) {
  if (std::exchange(closed_, true)) return;
  owner_.reset();
  streamed_ = streamed_bytes_ = backlog_ = 0;
  first_ += messages_.size();
  for (const Message& message : std::exchange(messages_, {})) unpin(message.head, message.payload.view(), home);
  for (const Caller& sender : std::exchange(senders_, {})) home.reply(sender, Status::closed);
  if (PipeEnd* const other = peer(home)) other->peer_closed(home);
}

void PipeEnd::peer_closed(Home& home) {
  if (closed_ || std::exchange(peer_closed_, true)) return;
  if (owner_) home.note(number_, *owner_, code(PipeNote::peer_closed), wire::bytes_of(wire::PipeEndNote{end()}));
  for (const Caller& sender : std::exchange(senders_, {})) home.reply(sender, Status::closed);
}

void PipeEnd::peer_has_room(Home& home) {
  for (const Caller& sender : std::exchange(senders_, {})) home.reply(sender, Status::ok);
}

void PipeEnd::withdraw(const Caller& caller, Home& home) {
  if (std::erase_if(senders_, [&](const Caller& other) { return same_request(caller, other); }) != 0)
    home.reply(caller, Status::withdrawn);
}

void PipeEnd::left(wire::Address process, Home&) {
  leave(process);
  std::erase_if(senders_, [&](const Caller& other) { return other.process == process; });
}

}  // namespace rankpool::objects
