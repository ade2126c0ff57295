// Frames between ranks: the only room that speaks MPI.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "link/rank_page.hpp"
#include "link/segment.hpp"
#include "wire/header.hpp"
#include "wire/window.hpp"

namespace rankpool::transport {

/// What every rank tells all others at the start.
struct Hello {
  std::uint64_t build_id = 0;
  std::uint64_t page_magic = 0;
  std::int32_t pid = 0;
  std::int32_t page_fd = -1;
  std::int32_t window_fd = -1;  ///< its magic is that of the page
  std::int32_t cores = 1;       ///< cores that its host grants to the job, as this rank sees it
  std::uint64_t window_bytes = 0;
  std::uint64_t seed = 0;       ///< RANKPOOL_SEED of this rank
  std::int32_t slots = -1;      ///< RANKPOOL_SLOTS or RANKPOOL_MASTER_SLOTS of this rank; -1: not given
  std::int32_t recovery = 0;    ///< 1: the job must outlive a lost rank; that of rank 0 counts
  std::int32_t silence_ms = 0;  ///< a rank of another host that is silent for so long is lost; 0: never; as above
  std::array<char, 64> host{};  ///< zero-terminated
};

/// Receiver of frames and of what windows answer.
class FrameSink {
 public:
  /// `body` is valid during the call only.
  virtual void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) = 0;
  /// An operation on a window is done: its ticket, and what a word was before (unused bytes are 0).
  virtual void on_window(std::uint64_t /*ticket*/, std::uint64_t /*old*/) {}
  /// That rank's process has ended, or (`silent`) nothing was heard of it for too long. Told once a rank, unless it was
  /// lost already; nothing is dropped before `Transport::lose`, but nothing is sent to it any more either.
  /// Without recovery only ranks of other hosts are watched.
  virtual void on_rank_down(int /*rank*/, bool /*silent*/) {}

 protected:
  ~FrameSink() = default;
};

/// This rank's connection with all others. Single-threaded: the thread that made it makes every call. Nothing blocks
/// but `start`, `open_window` and `finish`. Frames between two ranks arrive in the order they were sent. With recovery
/// there is no window: its operations can wait without end for a rank that dies under them.
class Transport {
 public:
  /// MPI_Init and the exchange of hellos: collective. Must be called after the zygote was forked. @throws MpiError
  static std::unique_ptr<Transport> start(const Hello& mine, link::RankPage& page);
  virtual ~Transport() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const Hello& hello(int rank) const = 0;
  /// Can memory and descriptors be shared with that rank?
  virtual bool same_host(int rank) const = 0;
  /// Is it true on every rank? Collective, before anything is sent. @throws MpiError
  virtual bool all(bool here) = 0;
  /// Busy workers of all ranks of this host, from their pages.
  virtual int busy_workers_here() const = 0;
  /// A rank of this host whose process has ended, if there is one. Some system calls for each.
  virtual std::optional<int> ended_neighbour() const = 0;

  /// Queues a frame (head.body and head.segment are set here); small ones travel together at the next `progress`.
  virtual void send(int to, wire::Header head, std::span<const std::byte> first, std::span<const std::byte> second = {},
                    link::Slice slice = {}) = 0;
  /// Makes the window of the job over `size` bytes (the same everywhere) at `base` of every rank, and proves that it
  /// works; the last 8 bytes serve for that and are put back. Collective, right after `start`, at most once; the memory
  /// must outlive the transport. @throws MpiError
  virtual void open_window(std::byte* base, std::size_t size) = 0;
  /// Do the following calls work? The same answer on all ranks. If not, the same must be done by frames.
  virtual bool has_window() const = 0;
  /// The three calls act on the memory that `rank` (it may be this one) gave to `open_window`, and nothing but they may
  /// touch it. They only queue; `progress` tells the sink's `on_window` when it is done, also at the target. What one
  /// rank does to the same word happens in the order of its calls, atomically towards all others.
  /// @throws std::out_of_range, std::invalid_argument
  virtual void window_word(int rank, const wire::WordRequest& request, std::uint64_t ticket) = 0;
  /// `into` must live until `on_window`. Long ranges are not atomic as a whole, but each 8-byte word in them is.
  virtual void window_read(int rank, std::uint64_t offset, std::span<std::byte> into, std::uint64_t ticket) = 0;
  virtual void window_write(int rank, std::uint64_t offset, std::span<const std::byte> from, std::uint64_t ticket) = 0;

  /// Starts what is queued, rings the receivers, hands what has arrived to `sink`. True if anything moved. Once a rank
  /// was lost, a process that does not call this for 10 s is taken to hang, and ends.
  virtual bool progress(FrameSink& sink) = 0;
  /// Nothing queued or under way from here: safe to sleep until rung. False: come back soon.
  virtual bool quiet() const = 0;
  /// Has something arrived? The last look before sleeping; may progress MPI.
  virtual bool pending() = 0;
  /// Gives a rank up for good: its line is closed, so that it ends if it still lives; nothing is sent to or taken from
  /// it, and nobody waits for it. May be called from within a sink. The second time it does nothing.
  virtual void lose(int rank) = 0;
  /// Collective end: everything sent has arrived. True: MPI is finalized. False: a rank was lost; MPI cannot be
  /// finalized, and this process must leave by `_exit`, with whatever it had to say flushed. @throws MpiError
  [[nodiscard]] virtual bool finish() = 0;
};

}  // namespace rankpool::transport
