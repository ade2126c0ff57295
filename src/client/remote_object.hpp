// What this process knows of a shared object, whose state lives at its home engine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/reader.hpp>

#include "client/client.hpp"
#include "link/payload.hpp"
#include "wire/objects.hpp"

namespace rankpool::client {

/// The answer to a request.
struct Reply {
  wire::Status status = wire::Status::ok;
  link::Payload payload;  ///< what followed

  std::span<const std::byte> bytes() const { return payload.view().read(); }
};

/// One for each object and process, shared by all handles and threads: it is the process's hold on the object.
class RemoteObject : public Receiver, public std::enable_shared_from_this<RemoteObject> {
 public:
  using Deadline = link::UserLink::Deadline;

  RemoteObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id);
  ~RemoteObject() override;
  RemoteObject(const RemoteObject&) = delete;
  RemoteObject& operator=(const RemoteObject&) = delete;

  wire::ObjectType type() const noexcept { return type_; }
  const wire::ObjectId& id() const noexcept { return id_; }
  Client& client() const noexcept { return *client_; }
  /// "Queue 3 of rank 0": for messages.
  std::string name() const;

  /// Sends a request and waits for its answer. Any thread.
  /// @throws Closed if there is no such object any more; std::logic_error if it was refused as misuse
  Reply ask(std::uint32_t operation, std::span<const std::byte> fixed = {}, detail::Buffer* payload = nullptr);
  /// The same until the deadline (none: for ever); then it is taken back, and nothing of it remains at the home. None
  /// if that happened.
  std::optional<Reply> ask_until(Deadline deadline, std::uint32_t operation, std::span<const std::byte> fixed = {},
                                 detail::Buffer* payload = nullptr);
  /// Sends a request that has no answer. It takes effect before whatever this process does next with objects, through
  /// whatever engine, and before the results of its tasks are seen.
  void tell(std::uint32_t operation, std::span<const std::byte> fixed = {}, detail::Buffer* payload = nullptr);

  /// A note of the home. Called by whichever thread reads the link; must not wait.
  virtual void on_note(std::uint32_t what, link::Incoming& in);

  /// Announces that handles in a message that is decoded once are under way. To be called before it is sent.
  static void announce(const detail::Buffer::Cargo& cargo);
  /// The same handles as they are listed in the message, for the homes that it passes.
  static std::vector<wire::Pin> pins_of(const detail::Buffer::Cargo& cargo);

 protected:
  std::uint64_t note_token() const noexcept { return note_token_; }
  /// What another process must know to make its own RemoteObject of this one; see `load`.
  virtual void save(detail::Buffer&) const {}

 private:
  friend void save_object(detail::Buffer& out, const std::shared_ptr<RemoteObject>& object);
  friend std::shared_ptr<RemoteObject> make_object(wire::ObjectType type, std::span<const std::byte> options);
  friend std::shared_ptr<RemoteObject> load_object(detail::Reader& in, wire::ObjectType type);

  void on_frame(link::Incoming& in) final { on_note(in.head.flags, in); }
  void send(wire::Kind kind, std::span<const std::byte> fixed, std::span<const std::byte> more = {},
            detail::Buffer* payload = nullptr);
  std::uint64_t send_request(std::uint64_t request, std::uint32_t operation, std::span<const std::byte> fixed,
                             detail::Buffer* payload);

  std::shared_ptr<Client> client_;
  wire::ObjectType type_;
  wire::ObjectId id_;
  std::uint64_t note_token_;
};

/// Makes an object at this process's rank. Sends one frame and waits for nothing: whatever is sent later finds it.
/// @throws NotRunning
std::shared_ptr<RemoteObject> make_object(wire::ObjectType type, std::span<const std::byte> options = {});
/// Writes which object it is; the buffer carries it.
void save_object(detail::Buffer& out, const std::shared_ptr<RemoteObject>& object);
/// The object as this process knows it; the process holds it from now on. @throws SerializationError if it is of
/// another type; NotRunning
std::shared_ptr<RemoteObject> load_object(detail::Reader& in, wire::ObjectType type);
/// While it exists, the handles that this thread decodes have these pins, one after the other, instead of those that
/// are written in them: they come from a message that is kept and decoded again and again.
class FreshPins {
 public:
  explicit FreshPins(std::span<const wire::Pin> pins) noexcept;
  FreshPins(const FreshPins&) = delete;
  FreshPins& operator=(const FreshPins&) = delete;
  ~FreshPins();

 private:
  std::span<const wire::Pin> outer_;
  bool outer_active_;
};
/// A number for the calling thread that is its own in this process; never 0.
std::uint32_t this_thread() noexcept;

}  // namespace rankpool::client
