// The connection of one piece of user code (a child, or the main program of rank 0) with the engine of its rank.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <utility>

#include "link/bell.hpp"
#include "link/descriptors.hpp"
#include "link/lease.hpp"
#include "link/rank_page.hpp"
#include "link/ring.hpp"
#include "link/segment.hpp"
#include "link/task_words.hpp"
#include "wire/header.hpp"

namespace rankpool::link {

/// A frame in place in the ring; `body` is valid until `release`. A slice outlives it.
struct Incoming {
  wire::Header head;
  std::span<const std::byte> body;
  Slice slice;
};

/// One end of a link: two rings in a memfd, a bell, and a socket for the descriptors of segments. One thread at a time
/// may send and one may receive. Neither call blocks or makes a system call unless a segment is involved.
class LinkEnd {
 public:
  enum class Side { engine, user };
  /// What the user's end is opened from; both are descriptors that can go to another process.
  struct Descriptors {
    int memory = -1;
    int socket = -1;
  };
  static constexpr std::size_t ring_bytes = 512 * 1024;

  LinkEnd() noexcept = default;
  LinkEnd(LinkEnd&& other) noexcept;
  LinkEnd& operator=(LinkEnd&& other) noexcept;
  ~LinkEnd();

  /// Makes a link; returns the engine's end and the descriptors for the user's. @throws std::system_error
  static std::pair<LinkEnd, Descriptors> create();
  /// Opens the user's end; takes the descriptors over. `page` is the rank page of the engine. @throws std::system_error
  static LinkEnd open(Descriptors descriptors, RankPageData& page);

  explicit operator bool() const noexcept { return data_ != nullptr; }

  /// Publishes one frame whose body is `first` then `second` (head.body and head.segment are set here).
  /// False, with nothing sent, when there is no room now: `want_room()` makes the peer ring when there is.
  /// With a slice, that can also be for want of room for descriptors in the kernel, which other links may have taken,
  /// or because the peer has died: never wait for the ring without a time limit.
  /// @throws std::length_error if the body is larger than wire::max_body; std::system_error
  bool try_send(wire::Header head, std::span<const std::byte> first, std::span<const std::byte> second = {},
                const Slice& slice = {}) {
    const std::size_t body = first.size() + second.size();
    if (body > wire::max_body) throw_too_long(body);
    head.body = body;
    head.segment = slice ? slice.length : 0;
    std::byte* at = out_.reserve(sizeof head + body);
    if (at == nullptr || (head.segment != 0 && !send_slice(slice))) return false;
    std::memcpy(at, &head, sizeof head);
    if (!first.empty()) std::memcpy(at + sizeof head, first.data(), first.size());
    if (!second.empty()) std::memcpy(at + sizeof head + first.size(), second.data(), second.size());
    out_.commit(sizeof head + body);
    return true;
  }
  /// Asks the peer to ring once it has made room. Look once more with `try_send` before sleeping.
  void want_room() noexcept { out_.want_room(); }

  /// The next frame, or false. The same frame again until `release`. What the peer sent before it died still comes.
  /// @throws wire::BadFrame if the ring is damaged; std::system_error if the descriptor of a segment cannot be opened
  /// here. The link is of no use after either.
  bool receive(Incoming& in);
  void release() noexcept {
    in_.consume(std::exchange(current_, 0));
    current_slice_ = {};
  }
  /// Makes the room of all released frames visible to the peer and rings it if it waits for room. Call it once per
  /// batch.
  void publish() noexcept {
    if (in_.publish()) ring();
  }
  /// Is there something to receive? One load.
  bool pending() const noexcept { return in_.pending(); }

  /// Wakes the peer if it sleeps: the engine's bell for the user's end, the user's for the engine's.
  void ring() noexcept { peer_bell_->ring(answered_); }
  /// Sleeps on this end's own bell (user's side only) until rung, `timeout`, or a frame is pending.
  template <class Ready>
  void wait(Ready&& ready, Nanoseconds timeout) {
    data_->bell.wait([&] { return pending() || ready(); }, timeout);
  }

  /// Sleeps on this end's own bell (user's side only) until the peer has made room or rung for another reason, or
  /// `timeout`; frames that wait to be received do not end it. After `want_room`.
  void wait_for_room(Nanoseconds timeout) {
    data_->bell.wait([&] { return !out_.room_wanted(); }, timeout);
  }
  /// May this process look again and again for a moment before it sleeps (user's side only)?
  bool core_is_free() const noexcept { return core_is_free_->load(std::memory_order_relaxed); }
  /// Wakes whoever sleeps on this end's own bell (user's side only).
  void ring_own() noexcept { data_->bell.ring(); }

  /// Is the socket still open? User code may have closed every descriptor it finds.
  bool intact() const noexcept;

  /// The process at the user's side; 0 if it has not come yet.
  int user() const noexcept { return data_->user.load(std::memory_order_relaxed); }
  /// What both sides know of the child's tasks.
  TaskWords& tasks() noexcept { return data_->tasks; }
  /// What is lent to the user's side, and how much of it was taken.
  LeaseTable& leases() noexcept { return data_->leases; }

 private:
  /// The head of the shared memory; the two rings follow.
  struct Data {
    Bell bell;  // the user's
    RingCounters to_user;
    RingCounters to_engine;
    alignas(64) TaskWords tasks;
    std::atomic<int> user{0};
    LeaseTable leases;
  };

  LinkEnd(Side side, int memory, UniqueFd socket, RankPageData* page);
  void swap(LinkEnd& other) noexcept;
  bool send_slice(const Slice& slice);
  bool has_room_for_slice();
  void receive_slice();
  [[noreturn]] static void throw_too_long(std::size_t body);

  Data* data_ = nullptr;  // at the start of the mapping
  Bell* peer_bell_ = nullptr;
  const std::atomic<bool>* core_is_free_ = nullptr;  // user's side only
  Answered answered_{0};
  UniqueFd socket_;
  std::uint64_t socket_inode_ = 0;
  std::deque<std::uint64_t> slices_sent_;  // places in the ring of those that the peer may not have taken
  RingWriter out_;
  RingReader in_;
  std::size_t current_ = 0;  // size of the record that `receive` returned last
  wire::Header current_head_;
  Slice current_slice_;
};

}  // namespace rankpool::link
