// A single-producer, single-consumer ring of bytes in shared memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "link/bell.hpp"

namespace rankpool::link {

/// The shared counters of a ring; they only grow, the offset is `counter % capacity`. All zero is the empty ring.
struct RingCounters {
  alignas(64) std::atomic<std::uint64_t> tail{0};  ///< bytes ever committed, written by the producer
  alignas(64) std::atomic<std::uint64_t> head{0};  ///< bytes ever freed, written by the consumer
  alignas(64) std::atomic<std::uint32_t> room_wanted{0};
};

// The memory of the ring is mapped twice in a row, so that every record lies in one piece whatever its offset.
// `capacity` is a power of two and a multiple of the page size.

/// What a record of `size` bytes takes in the ring.
constexpr std::size_t ring_space(std::size_t size) noexcept { return (size + 7) & ~std::size_t{7}; }

/// The producer's side. Keeps a copy of the consumer's counter, to touch its cache line only when room seems to be out.
class RingWriter {
 public:
  RingWriter() noexcept = default;
  RingWriter(RingCounters* counters, std::byte* memory, std::size_t capacity) noexcept
      : counters_(counters), memory_(memory), capacity_(capacity) {}

  /// Room for `size` bytes (8-byte aligned start), or null. Reserving again before `commit` returns the same place.
  std::byte* reserve(std::size_t size) noexcept {
    const std::size_t space = ring_space(size);
    if (!has_room(space)) {
      head_seen_ = counters_->head.load(std::memory_order_acquire);
      if (!has_room(space)) return nullptr;
    }
    return memory_ + (tail_ & (capacity_ - 1));
  }
  /// Publishes `size` bytes, rounded up to 8.
  void commit(std::size_t size) noexcept {
    tail_ += ring_space(size);
    counters_->tail.store(tail_, std::memory_order_release);
  }
  /// Makes the consumer's next `publish` ask for a ring. Try `reserve` once more before sleeping.
  void want_room() noexcept {
    counters_->room_wanted.store(1, std::memory_order_seq_cst);
    full_fence();
  }
  /// Has the consumer not yet made room since `want_room`?
  bool room_wanted() const noexcept { return counters_->room_wanted.load(std::memory_order_acquire) != 0; }
  /// Bytes ever committed.
  std::uint64_t position() const noexcept { return tail_; }
  /// Of these, bytes that the consumer has taken.
  std::uint64_t taken() const noexcept { return counters_->head.load(std::memory_order_acquire); }

 private:
  // A consumer that damaged its counter makes the difference huge: that is a full ring, not a crash.
  bool has_room(std::size_t space) const noexcept {
    const std::uint64_t used = tail_ - head_seen_;
    return used <= capacity_ && space <= capacity_ - used;
  }

  RingCounters* counters_ = nullptr;
  std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t head_seen_ = 0;
};

/// The consumer's side.
class RingReader {
 public:
  RingReader() noexcept = default;
  RingReader(RingCounters* counters, const std::byte* memory, std::size_t capacity) noexcept
      : counters_(counters), memory_(memory), capacity_(capacity) {}

  /// Bytes that can be read from `data()` on without a gap. More than the capacity if the producer damaged its counter.
  std::size_t readable() noexcept {
    if (tail_seen_ == head_) tail_seen_ = counters_->tail.load(std::memory_order_acquire);
    return tail_seen_ - head_;
  }
  const std::byte* data() const noexcept { return memory_ + (head_ & (capacity_ - 1)); }
  bool pending() const noexcept {
    return tail_seen_ != head_ || counters_->tail.load(std::memory_order_acquire) != head_;
  }
  /// Steps over `size` bytes, rounded up to 8; the producer sees the room after `publish`.
  void consume(std::size_t size) noexcept { head_ += ring_space(size); }
  /// True if the producer waits for the room that is made visible here: it must be rung.
  bool publish() noexcept {
    if (head_ == head_published_) return false;
    head_published_ = head_;
    counters_->head.store(head_, std::memory_order_release);
    full_fence();  // pairs with want_room: either this side sees the wish, or the producer's last try sees the room
    return counters_->room_wanted.load(std::memory_order_relaxed) != 0 &&
           counters_->room_wanted.exchange(0, std::memory_order_acq_rel) != 0;
  }
  /// Bytes ever consumed.
  std::uint64_t position() const noexcept { return head_; }

 private:
  RingCounters* counters_ = nullptr;
  const std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t head_published_ = 0;
  std::uint64_t tail_seen_ = 0;
};

}  // namespace rankpool::link
