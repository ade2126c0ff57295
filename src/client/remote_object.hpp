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
  std::uint64_t request = 0;

  std::span<const std::byte> bytes() const { return payload.view().read(); }
  /// What followed begins with this. @throws wire::BadFrame if it is too short
  template <class Message>
  Message as() const {
    auto body = bytes();
    return wire::take<Message>(body);
  }
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
  /// Its handle came in a message, and cannot be right. @throws SerializationError
  [[noreturn]] void throw_damaged() const;

  /// Its home has died with its rank.
  bool lost() const noexcept { return client_->is_lost(id_.rank); }
  /// @throws RankLost if so
  void require_home() const {
    if (lost()) throw_lost();
  }

  /// Sends a request and waits for its answer. Any thread. Like all that need the home, it throws RankLost when that is
  /// lost, also while it waits.
  /// @throws Closed if there is no such object any more; std::logic_error if it was refused as misuse
  Reply ask(std::uint32_t operation, std::span<const std::byte> fixed = {}, detail::Buffer* payload = nullptr);
  /// The same until the deadline (none: for ever); then it is taken back, and nothing of it remains at the home. None
  /// if that happened.
  std::optional<Reply> ask_until(Deadline deadline, std::uint32_t operation, std::span<const std::byte> fixed = {},
                                 detail::Buffer* payload = nullptr);
  /// The same through this process's own engine, which does without the home if it can; `kind` is one of those, see
  /// wire/one_sided.hpp; or shared_get, see wire/shared.hpp.
  std::optional<Reply> ask_engine_until(Deadline deadline, wire::Kind kind, std::uint32_t operation,
                                        std::span<const std::byte> fixed) {
    return ask_by(kind, deadline, operation, fixed, nullptr);
  }
  /// The 8-byte word at this offset of its home's window, by a one-sided operation.
  std::uint64_t load_word(std::uint64_t offset);
  Reply ask_engine(wire::Kind kind, std::span<const std::byte> fixed, detail::Buffer* payload = nullptr) {
    return *ask_by(kind, {}, 0, fixed, payload);
  }
  /// Sends a request that has no answer. It takes effect before whatever this process does next with objects, through
  /// whatever engine, and before the results of its tasks are seen.
  void tell(std::uint32_t operation, std::span<const std::byte> fixed = {}, detail::Buffer* payload = nullptr);

  /// Sends a request that has no answer, and that takes effect before later ones to the same object; nothing else is
  /// promised. Does not wait: also for `on_note`.
  void post(std::uint32_t operation, std::span<const std::byte> fixed = {}, detail::Buffer* payload = nullptr);

  /// A note of the home. Called by whichever thread reads the link; must not wait.
  virtual void on_note(std::uint32_t what, link::Incoming& in);
  /// The home is lost. Called in the same way.
  virtual void on_home_lost() {}

  /// Announces that handles in a message that is decoded once are under way. To be called before it is sent.
  static void announce(const detail::Buffer::Cargo& cargo);
  /// The same handles as they are listed in the message, for the homes that it passes.
  static std::vector<wire::Pin> pins_of(const detail::Buffer::Cargo& cargo);

 protected:
  std::uint64_t note_token() const noexcept { return note_token_; }
  /// What another process must know to make its own RemoteObject of this one; see `load`.
  virtual void save(detail::Buffer&) const {}

 private:
  friend class Question;
  friend void save_object(detail::Buffer& out, const std::shared_ptr<RemoteObject>& object);
  friend std::shared_ptr<RemoteObject> make_object(wire::ObjectType type, std::span<const std::byte> options);
  friend std::shared_ptr<RemoteObject> load_object(detail::Reader& in, wire::ObjectType type);

  void on_frame(link::Incoming& in) final { on_note(in.head.flags, in); }
  void on_rank_lost(int rank) final {
    if (rank == id_.rank) on_home_lost();
  }
  [[noreturn]] void throw_lost() const;
  void send(wire::Kind kind, std::span<const std::byte> fixed, std::span<const std::byte> more = {},
            detail::Buffer* payload = nullptr);
  std::uint64_t send_request(wire::Kind kind, std::uint64_t request, std::uint32_t operation,
                             std::span<const std::byte> fixed, detail::Buffer* payload);
  std::optional<Reply> ask_by(wire::Kind kind, Deadline deadline, std::uint32_t operation,
                              std::span<const std::byte> fixed, detail::Buffer* payload);
  int receiver_of(wire::Kind kind) const noexcept;

  std::shared_ptr<Client> client_;
  wire::ObjectType type_;
  wire::ObjectId id_;
  std::uint64_t note_token_;
  bool held_ = false;  // the home knows of this handle
};

/// A question whose answer somebody else waits for; it is taken back when this goes.
class Question {
 public:
  /// Sends it. @throws Error if the engine is gone
  Question(std::shared_ptr<RemoteObject> object, std::uint32_t operation);
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;
  ~Question();
  /// Or there is nobody to answer it any more. Does not block. The frame that makes it true wakes all who wait on the
  /// link.
  bool answered() const noexcept;

 private:
  class Answer;
  std::shared_ptr<RemoteObject> object_;
  std::uint32_t operation_;
  std::uint64_t request_;
  std::shared_ptr<Answer> answer_;
};

/// Makes an object at this process's rank. Sends one frame and waits for nothing: whatever is sent later finds it.
/// @throws NotRunning
std::shared_ptr<RemoteObject> make_object(wire::ObjectType type, std::span<const std::byte> options = {});
/// Writes which object it is; the buffer carries it.
void save_object(detail::Buffer& out, const std::shared_ptr<RemoteObject>& object);
/// The object as this process knows it; the process holds it from now on. @throws SerializationError if it is of
/// another type; NotRunning
std::shared_ptr<RemoteObject> load_object(detail::Reader& in, wire::ObjectType type);
/// While it lives, handles that the calling thread decodes are refused for this reason. Not one inside another.
class RefuseHandles {
 public:
  explicit RefuseHandles(const char* why) noexcept;
  RefuseHandles(const RefuseHandles&) = delete;
  RefuseHandles& operator=(const RefuseHandles&) = delete;
  ~RefuseHandles();
};
/// A number for the calling thread that is its own in this process; never 0.
std::uint32_t this_thread() noexcept;

}  // namespace rankpool::client
