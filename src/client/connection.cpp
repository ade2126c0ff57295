#include <rankpool/connection.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

#include <rankpool/detail/handle.hpp>
#include <rankpool/detail/type_name.hpp>

#include "client/pipe_end.hpp"
#include "shipping/hash.hpp"
#include "wire/messages.hpp"

namespace rankpool {
namespace detail {

/// What a Connection has of its end. Threads may use and close it at once.
struct ConnectionState {
  std::mutex mutex;
  std::shared_ptr<client::PipeEnd> end;  // null: closed, or moved away
  std::string name;
  bool readable = true;
  bool writable = true;
  bool moved_away = false;
};

namespace {

constexpr std::uint64_t bytes_type = 0;
// Longer names are not worth their way: they only serve in messages.
constexpr std::size_t longest_name = 100;

std::shared_ptr<client::PipeEnd> take_end(ConnectionState& state, bool moved_away) {
  const std::lock_guard lock(state.mutex);
  if (state.end) state.moved_away = moved_away;
  return std::exchange(state.end, nullptr);
}

void close_end(const std::shared_ptr<client::PipeEnd>& end) {
  if (!end) return;
  try {
    client::Client::get();  // after `run` there is nobody to be told
    end->close();
  } catch (const Closed&) {
  } catch (const NotRunning&) {
  }
}

std::string described(const client::PipeEnd::Message& message) {
  const std::string size = std::to_string(message.value().size()) + " bytes";
  if (message.head.type == bytes_type) return size + " as they are";
  if (message.head.name_bytes == 0) return "a value of another type (" + size + ")";
  return "a value of type " + demangle(std::string(message.type_name()).c_str()) + " (" + size + ")";
}

class ConnectionSource final : public WaitSource {
 public:
  explicit ConnectionSource(std::shared_ptr<client::PipeEnd> end) : end_(std::move(end)) {}
  bool ready() const noexcept override { return end_->ready(); }
  bool confirm() override { return end_->confirm_ready(); }

 private:
  std::shared_ptr<client::PipeEnd> end_;
};

IncomingMessage opened(client::PipeEnd::Message message) {
  const auto kept = std::make_shared<const client::PipeEnd::Message>(std::move(message));
  return {kept->value(), kept};
}

}  // namespace

Connection Codec<Connection>::decode(Reader& in) {
  auto end = std::static_pointer_cast<client::PipeEnd>(decode_handle(in, ObjectType::pipe_end));
  end->own();
  return Connection(std::move(end));
}

}  // namespace detail

using client::PipeEnd;

Connection::Connection(std::shared_ptr<PipeEnd> end) : state_(std::make_unique<detail::ConnectionState>()) {
  state_->name = end->name();
  state_->readable = end->nature().readable != 0;
  state_->writable = end->nature().writable != 0;
  state_->end = std::move(end);
}

Connection::Connection(Connection&& other) noexcept = default;

Connection& Connection::operator=(Connection&& other) noexcept {
  Connection last(std::move(other));
  state_.swap(last.state_);
  return *this;
}

Connection::~Connection() {
  try {
    close();
  } catch (...) {
    // the engine is gone, and the pipe with it
  }
}

std::shared_ptr<PipeEnd> Connection::end(const char* what, bool to_read) const {
  const std::string call = std::string("Connection::") + what;
  if (!state_) throw Closed(call + ": this Connection was moved from");
  const std::lock_guard lock(state_->mutex);
  if (!state_->end)
    throw Closed(call + ": " + state_->name +
                 (state_->moved_away ? " was moved to another process" : " was closed in this process"));
  if (to_read ? !state_->readable : !state_->writable)
    throw std::logic_error(call + ": " + state_->name + (to_read ? " is send-only" : " is receive-only") +
                           " (in process " + std::to_string(::getpid()) + " of rank " +
                           std::to_string(state_->end->client().identity().rank) +
                           "): of Pipe(false) the first end receives and the second sends");
  return state_->end;
}

void Connection::close() {
  if (state_) detail::close_end(detail::take_end(*state_, false));
}

bool Connection::closed() const noexcept {
  if (!state_) return true;
  const std::lock_guard lock(state_->mutex);
  return state_->end == nullptr;
}

bool Connection::readable() const noexcept { return state_ && state_->readable; }
bool Connection::writable() const noexcept { return state_ && state_->writable; }

void Connection::move_to(detail::Buffer& out) const {
  const std::shared_ptr<PipeEnd> end = state_ ? detail::take_end(*state_, true) : nullptr;
  if (!end)
    throw Closed(state_ ? state_->name + " cannot be sent: it was closed, or was sent before"
                        : "a Connection that was moved from cannot be sent");
  end->leave();
  detail::encode_handle(out, end);
}

detail::OutgoingMessage Connection::begin_message(const std::type_info* type, detail::Deadline deadline) const {
  detail::OutgoingMessage message;
  message.end = end(type != nullptr ? "send" : "send_bytes", false);
  message.end->check_peer();
  message.may_wait = !deadline;
  if (deadline && !message.end->wait_for_room(deadline))
    throw TimeoutError(message.end->name() +
                       ": too much of what was sent is still unread after the time given; nothing was sent");
  message.bytes.set_decoded_once();
  if (type != nullptr) {
    message.type = shipping::hash_of(*type) | 1;  // never that of bytes
    const std::size_t length = std::strlen(type->name());
    if (length <= detail::longest_name) {
      message.bytes.append(type->name(), length);
      message.name_bytes = length;
    }
  }
  return message;
}

void Connection::finish_message(detail::OutgoingMessage& message) {
  const PipeEnd& end = *message.end;
  for (const auto& [object, pin] : message.bytes.cargo())
    if (object->id().rank == end.id().rank && object->id().number == end.nature().peer)
      throw std::logic_error(end.name() + ": the other end of a pipe was sent through it: nobody could receive it");
  message.end->send(
      {.count = 0, .type = message.type, .name_bytes = static_cast<std::uint32_t>(message.name_bytes), .objects = 0},
      message.bytes, message.may_wait);
}

detail::IncomingMessage Connection::receive(const std::type_info& type, detail::Deadline deadline) {
  const auto from = end("recv", true);
  const std::uint64_t wanted = shipping::hash_of(type) | 1;
  const auto check = [&](const PipeEnd::Message& next) {
    if (next.head.type != wanted)
      throw TypeMismatch(from->name() + ": the next message is " + detail::described(next) + ", not a " +
                         detail::demangle(type.name()) + "; it is kept");
  };
  auto message = from->take(deadline, std::ref(check));
  if (!message) throw TimeoutError(from->name() + ": no message came in the time given");
  return detail::opened(std::move(*message));
}

detail::IncomingMessage Connection::receive_bytes(const char* what, std::size_t room, detail::Deadline deadline) {
  const auto from = end(what, true);
  const auto check = [&](const PipeEnd::Message& next) {
    if (next.head.type != detail::bytes_type)
      throw TypeMismatch(from->name() + ": the next message is " + detail::described(next) +
                         ", which recv<T>() receives; it is kept");
    const std::size_t size = next.value().size();
    if (size > room)
      throw BufferTooShort(from->name() + ": the next message has " + std::to_string(size) +
                               " bytes, but there is room for " + std::to_string(room) + "; it is kept",
                           size);
  };
  auto message = from->take(deadline, std::ref(check));
  if (!message) throw TimeoutError(from->name() + ": no message came in the time given");
  return detail::opened(std::move(*message));
}

void Connection::send_bytes_until(std::span<const std::byte> bytes, detail::Deadline deadline) {
  detail::OutgoingMessage message = begin_message(nullptr, deadline);
  message.bytes.append(bytes.data(), bytes.size());
  finish_message(message);
}

std::vector<std::byte> Connection::recv_bytes_until(std::size_t maxlength, detail::Deadline deadline) {
  const auto message = receive_bytes("recv_bytes", maxlength, deadline);
  return {message.value.begin(), message.value.end()};
}

std::size_t Connection::recv_bytes_into_until(std::span<std::byte> into, detail::Deadline deadline) {
  const auto message = receive_bytes("recv_bytes_into", into.size(), deadline);
  std::copy(message.value.begin(), message.value.end(), into.begin());
  return message.value.size();
}

bool Connection::poll_until(detail::Deadline deadline) { return end("poll", true)->wait_readable(deadline); }

std::shared_ptr<detail::WaitSource> Connection::wait_source() const {
  return std::make_shared<detail::ConnectionSource>(end("wait_ready", true));
}

std::pair<Connection, Connection> Pipe(bool duplex) {
  const auto make = [](std::uint64_t peer) {
    return std::static_pointer_cast<PipeEnd>(
        client::make_object(wire::ObjectType::pipe_end, wire::bytes_of(wire::PipeMake{peer})));
  };
  const std::shared_ptr<PipeEnd> first = make(0);
  const std::shared_ptr<PipeEnd> second = make(first->id().number);
  first->set_nature({.readable = 1, .writable = duplex ? 1u : 0u, .peer = second->id().number});
  second->set_nature({.readable = duplex ? 1u : 0u, .writable = 1, .peer = first->id().number});
  first->own();
  second->own();
  return {Connection(first), Connection(second)};
}

}  // namespace rankpool
