// What this process knows of a queue.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/reader.hpp>

#include "client/remote_object.hpp"
#include "link/lease.hpp"
#include "wire/queue.hpp"

namespace rankpool::client {

/// The process's side of a Queue, JoinableQueue or SimpleQueue: puts without waiting for answers where it can, and
/// keeps what the home has lent (objects/queue.hpp). Any thread.
class Queue final : public RemoteObject {
 public:
  /// The bytes of an item, and what keeps them.
  struct Item {
    std::shared_ptr<const link::Payload> keep;
    std::span<const std::byte> bytes;
  };

  /// `saved`: what `save` wrote; null: this process makes the queue, and says how large it is.
  Queue(std::shared_ptr<Client> client, wire::ObjectId id, detail::Reader* saved);
  ~Queue() override;

  /// A new one at this process's rank; `maxsize` 0: without limit. @throws NotRunning
  static std::shared_ptr<Queue> make(std::uint64_t maxsize);

  /// False if there was no room until the deadline. @throws Closed
  bool put(detail::Buffer& item, Deadline deadline);
  /// None if nothing was there until the deadline. @throws Closed
  std::optional<Item> get(Deadline deadline);
  std::uint64_t size();
  bool empty();
  bool full() { return maxsize_ != 0 && size() >= maxsize_; }
  void shut_down(bool now);
  /// @throws std::logic_error if it is one too many
  void task_done();
  bool join(Deadline deadline);

  /// Is an item here that a `get` takes without asking the home? If not, QueueOp::watch tells when there is one there.
  bool leased_at_hand();
  /// Was it shut down, as far as this process knows?
  bool is_shut() const noexcept { return shut_.load(); }

 private:
  void save(detail::Buffer& out) const override;
  void on_note(std::uint32_t what, link::Incoming& in) override;

  std::optional<Item> take_leased();
  wire::QueueGet offer();
  Item open(link::Payload&& payload);
  link::LeaseWord& word() noexcept { return client().link().lease(*slot_); }
  [[noreturn]] void throw_closed(const char* when) const;

  std::uint64_t maxsize_ = 0;
  std::atomic<bool> put_before_{false};  // this process, and the home took it
  std::atomic<bool> shut_{false};        // the home says so

  std::mutex mutex_;  // of all below
  std::optional<std::uint32_t> slot_;
  std::uint64_t generation_ = 0;               // of the last lease that was offered
  bool lent_ = false;                          // with that number something was lent
  bool asking_ = false;                        // a thread waits for an answer that can bring a lease
  std::shared_ptr<const link::Payload> keep_;  // what `rest_` lies in
  std::span<const std::byte> rest_;            // leased items that were not taken
};

}  // namespace rankpool::client
