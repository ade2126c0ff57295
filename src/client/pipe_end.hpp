// What a process knows of an end of a pipe: the messages that have come for it, and whether it may use it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/reader.hpp>

#include "client/remote_object.hpp"
#include "link/payload.hpp"
#include "wire/pipe.hpp"

namespace rankpool::client {

/// One end of a pipe, as the process sees it that owns it or has owned it. Any thread may use it.
class PipeEnd final : public RemoteObject {
 public:
  struct Message {
    wire::PipeMessage head;
    link::Payload payload;

    std::string_view type_name() const;
    std::span<const std::byte> value() const;
  };
  /// What may be done with it by design, and who is at the other end.
  struct Nature {
    std::uint32_t readable = 1;
    std::uint32_t writable = 1;
    std::uint64_t peer = 0;
  };

  /// `saved`: what `save` wrote in another process; null: made here.
  PipeEnd(std::shared_ptr<Client> client, wire::ObjectId id, detail::Reader* saved);

  const Nature& nature() const noexcept { return nature_; }
  void set_nature(const Nature& nature) noexcept { nature_ = nature; }

  /// This process is the owner from now on. Does not wait.
  void own();
  /// It is not any more: what it has not read goes to the next owner. Returns when nothing that this process does can
  /// overtake that.
  void leave();
  /// Nobody uses this end any more; the other end knows when the call returns, except while frames are taken in.
  void close();

  /// @throws BrokenPipe if the other end is known to be closed
  void check_peer();
  /// Waits until a message can be sent without waiting. False if the deadline passed first. @throws BrokenPipe
  bool wait_for_room(Deadline deadline);
  /// Sends a message; `wait`: while too much of what was sent before is unread. @throws BrokenPipe
  void send(wire::PipeMessage head, detail::Buffer& message, bool wait);
  /// Takes the next message out if `check` does not throw; waits for it until the deadline. None if it did not come.
  /// @throws EndOfStream, Closed, what `check` throws
  std::optional<Message> take(Deadline deadline, const std::function<void(const Message&)>& check);
  /// Waits until `take` would not. False if the deadline passed first. @throws Error if the engine is gone
  bool wait_readable(Deadline deadline);
  /// Would `take` return (or throw) at once, as far as this process knows? Does not wait.
  bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }
  /// The same, with everything that the home has by now.
  bool confirm_ready();

  void on_note(std::uint32_t what, link::Incoming& in) override;
  /// The other end is closed then, too: what has come is read, and no more comes.
  void on_home_lost() override;

 private:
  enum class State { idle, owned, away, taken, closed };

  void save(detail::Buffer& out) const override;
  void set_state(State state);
  void update_ready() noexcept;
  void end_here() noexcept;
  wire::PipeConsumed report_consumed() noexcept;
  [[noreturn]] void throw_not_owned() const;
  [[noreturn]] void throw_broken() const;
  /// Must the home be asked before this is sent, too? To be called with the lock held.
  bool must_ask(std::uint64_t bytes) const noexcept;

  Nature nature_;
  std::atomic<bool> ready_{false};
  mutable std::mutex mutex_;
  State state_ = State::idle;
  std::uint64_t turn_ = 0;  // how often this process has become the owner
  bool started_ = false;    // the home has answered the last time
  bool peer_closed_ = false;
  std::uint64_t end_ = 0;  // messages in all, once the other end is closed
  std::deque<Message> inbox_;
  std::uint64_t consumed_ = 0;
  std::uint64_t told_ = 0;  // of these, what the home knows
  std::uint64_t untold_bytes_ = 0;
  bool asked_ = false;            // whether the other end was open once
  std::uint64_t sent_bytes_ = 0;  // since the home last had room for more
};

}  // namespace rankpool::client
