// Pipe, and Connection: one end of it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/reader.hpp>
#include <rankpool/detail/refusals.hpp>
#include <rankpool/detail/stored.hpp>
#include <rankpool/detail/wait_source.hpp>
#include <rankpool/errors.hpp>

namespace rankpool::client {
class PipeEnd;
}

namespace rankpool {
namespace detail {

struct ConnectionState;

/// A message on its way out; the end goes with it, since the Connection itself may be what is sent.
struct OutgoingMessage {
  Buffer bytes;
  std::shared_ptr<client::PipeEnd> end;
  std::uint64_t type = 0;
  std::size_t name_bytes = 0;
  bool may_wait = true;
};
/// A message that was taken out.
struct IncomingMessage {
  std::span<const std::byte> value;
  std::shared_ptr<const void> keeper;  ///< of the bytes
};

}  // namespace detail

/// One end of a pipe: sends to and receives from the other end, which may be in any process. Mirrors
/// `multiprocessing.connection.Connection`.
///
///     auto [ours, theirs] = rp::Pipe();
///     auto answer = pool.apply_async(talk, std::move(theirs));
///     ours.send(std::string("hello"));
///     auto reply = ours.recv<std::string>();
///
/// An end has one owner: it can only be moved, within the process, as an argument or result of a task, or in a message,
/// and takes the messages along that were not read. (If a value with a Connection in it cannot be sent after all,
/// because another part of it throws, that end is closed.) It is closed by `close`, with the Connection, with the
/// process that owns it, and when a message that carries it is lost.
/// Any thread may use it; a message is sent and received whole. What a process sends comes in order.
class Connection {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  /// Of a Connection that was moved from, all calls but assignment throw Closed.
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;
  ~Connection();

  /// Sends a value; handles in it are copied, Connections in it are moved away. Blocks only while some 64 MiB wait at
  /// the other end. @throws BrokenPipe if the other end is closed; Closed; std::logic_error if it is receive-only, or
  /// the value is the other end itself, which nobody could receive then
  template <class T>
  void send(const T& value) {
    send_until(value, {});
  }
  /// Waits at most `limit` for room (zero or negative: not at all). @throws TimeoutError if there is none by then:
  /// nothing was sent, and what would have been moved is still here
  template <class T, class Rep, class Period>
  void send(const T& value, std::chrono::duration<Rep, Period> limit) {
    send_until(value, detail::deadline_after(limit));
  }
  /// Sends an end of a pipe: it is the receiver's then.
  void send(Connection&& connection);
  template <class Rep, class Period>
  void send(Connection&& connection, std::chrono::duration<Rep, Period> limit);

  /// The next message; blocks until it is there. @throws EndOfStream if the other end is closed and all was received;
  /// TypeMismatch if the message is no T: it is kept; Closed; std::logic_error if it is send-only
  template <class T>
  T recv() {
    return recv_until<T>({});
  }
  /// Waits at most `limit` (zero or negative: only looks). @throws TimeoutError if there is no message by then
  template <class T, class Rep, class Period>
  T recv(std::chrono::duration<Rep, Period> limit) {
    return recv_until<T>(detail::deadline_after(limit));
  }

  /// Would `recv` return at once, with a message or because the other end is closed? What was sent before this call, in
  /// the order of cause and effect, is seen. @throws Closed; std::logic_error if it is send-only
  bool poll() { return poll_until(detail::no_wait()); }
  /// The same, after waiting at most `limit`.
  template <class Rep, class Period>
  bool poll(std::chrono::duration<Rep, Period> limit) {
    return poll_until(detail::deadline_after(limit));
  }

  /// Sends bytes, which only `recv_bytes` and `recv_bytes_into` receive; none is a message too. As `send`.
  void send_bytes(std::span<const std::byte> bytes) { send_bytes_until(bytes, {}); }
  template <class Rep, class Period>
  void send_bytes(std::span<const std::byte> bytes, std::chrono::duration<Rep, Period> limit) {
    send_bytes_until(bytes, detail::deadline_after(limit));
  }
  /// As `recv`. @throws BufferTooShort if there are more than `maxlength` bytes: the message is kept
  std::vector<std::byte> recv_bytes(std::size_t maxlength = npos) { return recv_bytes_until(maxlength, {}); }
  template <class Rep, class Period>
  std::vector<std::byte> recv_bytes(std::size_t maxlength, std::chrono::duration<Rep, Period> limit) {
    return recv_bytes_until(maxlength, detail::deadline_after(limit));
  }
  /// Writes the next message to the front of `into`; returns its size. @throws BufferTooShort: the message is kept
  std::size_t recv_bytes_into(std::span<std::byte> into) { return recv_bytes_into_until(into, {}); }
  template <class Rep, class Period>
  std::size_t recv_bytes_into(std::span<std::byte> into, std::chrono::duration<Rep, Period> limit) {
    return recv_bytes_into_until(into, detail::deadline_after(limit));
  }

  /// Closes this end: the other one gets EndOfStream after what was sent, and BrokenPipe. Can be repeated.
  void close();
  /// Was it closed, or moved to another process?
  bool closed() const noexcept;
  bool readable() const noexcept;
  bool writable() const noexcept;

 private:
  template <class T>
  friend struct detail::Codec;
  friend struct detail::WaitAccess;
  friend std::pair<Connection, Connection> Pipe(bool duplex);

  explicit Connection(std::shared_ptr<client::PipeEnd> end);

  template <class T>
  void send_until(const T& value, detail::Deadline deadline) {
    static_assert(!std::is_same_v<T, Connection>, "rankpool: a Connection is moved: send(std::move(connection))");
    using Value = detail::Stored<T>;
    detail::require_sendable<Value>();
    send_value<Value>(value, deadline);
  }
  template <class T>
  void send_value(const T& value, detail::Deadline deadline) {
    detail::OutgoingMessage message = begin_message(&typeid(T), deadline);
    detail::Codec<T>::encode(message.bytes, value);
    finish_message(message);
  }
  template <class T>
  T recv_until(detail::Deadline deadline) {
    detail::require_sendable<T>();
    const detail::IncomingMessage message = receive(typeid(T), deadline);
    detail::Reader in(message.value);
    T value = detail::Codec<T>::decode(in);
    if (in.remaining() != 0) detail::throw_left_over(typeid(T), in.remaining());
    return value;
  }

  /// The end, for the member function `what`. @throws Closed, std::logic_error
  std::shared_ptr<client::PipeEnd> end(const char* what, bool to_read) const;
  /// `type` null: bytes.
  detail::OutgoingMessage begin_message(const std::type_info* type, detail::Deadline deadline) const;
  void send_bytes_until(std::span<const std::byte> bytes, detail::Deadline deadline);
  static void finish_message(detail::OutgoingMessage& message);
  detail::IncomingMessage receive(const std::type_info& type, detail::Deadline deadline);
  detail::IncomingMessage receive_bytes(const char* what, std::size_t room, detail::Deadline deadline);
  std::vector<std::byte> recv_bytes_until(std::size_t maxlength, detail::Deadline deadline);
  std::size_t recv_bytes_into_until(std::span<std::byte> into, detail::Deadline deadline);
  bool poll_until(detail::Deadline deadline);
  std::shared_ptr<detail::WaitSource> wait_source() const;
  /// Writes this end and gives it up.
  void move_to(detail::Buffer& out) const;

  std::unique_ptr<detail::ConnectionState> state_;
};

/// A pipe: what is sent to one end is received at the other. With `duplex` false the first end only receives and the
/// second only sends. Does not wait. Mirrors `multiprocessing.Pipe`. @throws NotRunning
std::pair<Connection, Connection> Pipe(bool duplex = true);

namespace detail {

/// Encoding moves the end away: the value left behind is a Connection that was moved to another process.
template <>
struct Codec<Connection> {
  static constexpr bool raw = false;
  static void encode(Buffer& out, const Connection& connection) { connection.move_to(out); }
  static Connection decode(Reader& in);
};

}  // namespace detail

inline void Connection::send(Connection&& connection) { send_value(static_cast<const Connection&>(connection), {}); }
template <class Rep, class Period>
void Connection::send(Connection&& connection, std::chrono::duration<Rep, Period> limit) {
  send_value(static_cast<const Connection&>(connection), detail::deadline_after(limit));
}

}  // namespace rankpool
