// What a user process has of rankpool: its link, its identity, and who waits for which frames.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "link/user_link.hpp"
#include "wire/messages.hpp"
#include "wire/objects.hpp"

namespace rankpool::client {

/// Something of this process that the scheduler or an engine speaks to by its token.
class Receiver {
 public:
  virtual ~Receiver() = default;
  /// Called by whichever thread reads the link, one frame at a time; must not wait.
  virtual void on_frame(link::Incoming& in) = 0;
  /// A rank of the job has died: nothing comes from there any more. As above.
  virtual void on_rank_lost(int /*rank*/) {}
};

/// Who this process is in the job.
struct Identity {
  int rank = 0;
  std::uint32_t link = 1;  ///< of this process on its rank
  int ranks = 1;
  int slots = 1;
  std::string host;
  std::string name;
  std::string number{};  ///< "2:1": what its children are numbered after; empty for the main program
  bool daemon = false;
  std::optional<wire::Who> parent{};  ///< none: the main program
  wire::WindowMode window = wire::WindowMode::direct;
  std::uint64_t seed = 0;  ///< RANKPOOL_SEED
};

/// The one connection of this process, between `start` and `stop`. All members may be called from any thread.
class Client {
 public:
  /// Frames that no receiver is for (a child's work) go to `other`.
  Client(link::LinkEnd end, Identity identity, link::UserLink::Handler other);
  ~Client();

  /// The client of this process. @throws NotRunning outside `run`
  static std::shared_ptr<Client> get();
  static void start(std::shared_ptr<Client> client);
  /// Runs the callbacks that are due, then forgets the client.
  static void stop();

  const Identity& identity() const noexcept { return identity_; }
  void set_identity(Identity identity) {
    slots_.store(identity.slots, std::memory_order_relaxed);
    identity_ = std::move(identity);
  }
  /// Of the job as it is now.
  int slots() const noexcept { return slots_.load(std::memory_order_relaxed); }
  /// Has that rank died? Then nothing that is sent there is answered.
  bool is_lost(int rank) const noexcept { return any_lost_.load(std::memory_order_acquire) && is_among_lost(rank); }
  /// " (host h3)" of a rank that has died, for messages; nothing if this process has not heard of that.
  std::string host_of_lost(int rank) const;
  /// As it introduces itself to its children.
  wire::Who who() const;
  link::UserLink& link() noexcept { return link_; }

  /// A number that is this process's own and never used again.
  std::uint64_t new_token() noexcept { return next_token_.fetch_add(1); }
  /// A number for a new object of this rank that no other process of the rank uses.
  std::uint64_t new_object_number() noexcept { return std::uint64_t{identity_.link} << 32 | next_object_.fetch_add(1); }
  /// A number for a handle that this process puts into a message.
  std::uint64_t new_pin() noexcept {
    return wire::pin_number({identity_.rank, identity_.link}, next_pin_.fetch_add(1, std::memory_order_relaxed));
  }
  /// `receiver` lives until `remove`.
  void add(std::uint64_t token, std::shared_ptr<Receiver> receiver);
  /// `receiver` may go at any time; its destructor calls `remove`.
  void add_weak(std::uint64_t token, std::weak_ptr<Receiver> receiver);
  void remove(std::uint64_t token);

  /// Sends to the scheduler; the payload's memory is taken if it is a segment. `ring` false: more follows at once.
  void send(wire::Kind kind, std::uint64_t token, std::span<const std::byte> fixed = {},
            detail::Buffer* payload = nullptr, bool ring = true);

  /// Sends to any engine or user process.
  void send(const wire::Header& head, std::span<const std::byte> fixed, detail::Buffer* payload = nullptr,
            bool ring = true);

  // A request without an answer is on its way when its call returns, and would be overtaken by whatever this process
  // then does through another engine or directly in shared memory. So there is at most one engine at a time with such
  // requests, and whoever is about to go another way waits until that one has them all.

  /// `home` has just been sent a request without an answer.
  void unsettle(int home);
  /// What is sent to the engine of rank `to` after this is not seen before the requests without an answer. `nowhere`:
  /// whatever way it takes.
  void settle(int to) {
    if (const std::uint64_t state = unsettled_.load(std::memory_order_relaxed); state != 0) settle_slowly(state, to);
  }
  static constexpr int nowhere = -1;
  /// Is the calling thread just taking frames in? It must not wait then, and `settle` does nothing.
  static bool reading() noexcept;
  /// What was unsettled when a question was sent, for `settled` when `home` has answered it.
  std::uint64_t unsettled() const noexcept { return unsettled_.load(std::memory_order_relaxed); }
  void settled(int home, std::uint64_t state) noexcept;

  /// Runs `callback` on the callback thread of this process, after those that were given before.
  void call_back(std::function<void()> callback);
  /// Makes sure that frames are read though no thread waits, because a callback depends on them.
  void need_callback_thread();

 private:
  void on_frame(link::Incoming& in);
  void rank_lost(std::span<const std::byte> body);
  bool is_among_lost(int rank) const noexcept;
  void run_callbacks();
  bool take_callback(std::function<void()>& callback);

  void settle_slowly(std::uint64_t state, int to);

  Identity identity_;
  link::UserLink link_;
  link::UserLink::Handler other_;
  std::atomic<std::uint64_t> next_token_{1};
  std::atomic<std::uint32_t> next_object_{1};
  std::atomic<std::uint64_t> next_pin_{1};
  std::atomic<std::uint64_t> unsettled_{0};  // home + 1 in the high 16 bits, a count below; 0: nothing is
  std::atomic<std::uint64_t> tells_{0};
  std::atomic<int> slots_;
  std::atomic<bool> any_lost_{false};
  mutable std::mutex lost_mutex_;    // nothing else is done under it: also for predicates
  std::map<int, std::string> lost_;  // the ranks that have died, and their hosts
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Receiver>> receivers_;
  std::unordered_map<std::uint64_t, std::weak_ptr<Receiver>> weak_receivers_;
  std::deque<std::function<void()>> callbacks_;
  std::atomic<bool> callbacks_due_{false};
  std::atomic<bool> stopping_{false};
  std::thread callback_thread_;
};

}  // namespace rankpool::client
