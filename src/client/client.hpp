// What a user process has of rankpool: its link, its identity, and who waits for which frames.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "link/user_link.hpp"
#include "wire/messages.hpp"

namespace rankpool::client {

/// Something of this process that the scheduler or an engine speaks to by its token.
class Receiver {
 public:
  virtual ~Receiver() = default;
  /// Called by whichever thread reads the link, one frame at a time; must not wait.
  virtual void on_frame(link::Incoming& in) = 0;
};

/// Who this process is in the job.
struct Identity {
  int rank = 0;
  int ranks = 1;
  int slots = 1;
  std::string host;
  std::string name;
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
  void set_identity(Identity identity) { identity_ = std::move(identity); }
  link::UserLink& link() noexcept { return link_; }

  /// A number that is this process's own and never used again.
  std::uint64_t new_token() noexcept { return next_token_.fetch_add(1); }
  void add(std::uint64_t token, std::shared_ptr<Receiver> receiver);
  void remove(std::uint64_t token);

  /// Sends to the scheduler; the payload's memory is taken if it is a segment. `ring` false: more follows at once.
  void send(wire::Kind kind, std::uint64_t token, std::span<const std::byte> fixed = {},
            detail::Buffer* payload = nullptr, bool ring = true);

  /// Runs `callback` on the callback thread of this process, after those that were given before.
  void call_back(std::function<void()> callback);
  /// Makes sure that frames are read though no thread waits, because a callback depends on them.
  void need_callback_thread();

 private:
  void on_frame(link::Incoming& in);
  void run_callbacks();
  bool take_callback(std::function<void()>& callback);

  Identity identity_;
  link::UserLink link_;
  link::UserLink::Handler other_;
  std::atomic<std::uint64_t> next_token_{1};
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Receiver>> receivers_;
  std::deque<std::function<void()>> callbacks_;
  std::atomic<bool> callbacks_due_{false};
  std::atomic<bool> stopping_{false};
  std::thread callback_thread_;
};

}  // namespace rankpool::client
