// Frames between ranks: the only room that speaks MPI.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "link/rank_page.hpp"
#include "link/segment.hpp"
#include "wire/header.hpp"

namespace rankpool::transport {

/// What every rank tells all others at the start.
struct Hello {
  std::uint64_t build_id = 0;
  std::uint64_t page_magic = 0;
  std::int32_t pid = 0;
  std::int32_t page_fd = -1;
  std::int32_t cores = 1;       ///< cores that its host grants to the job, as this rank sees it
  std::int32_t slots = -1;      ///< RANKPOOL_SLOTS or RANKPOOL_MASTER_SLOTS of this rank; -1: not given
  std::array<char, 64> host{};  ///< zero-terminated
};

/// Receiver of frames.
class FrameSink {
 public:
  /// `body` is valid during the call only.
  virtual void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) = 0;

 protected:
  ~FrameSink() = default;
};

/// This rank's connection with all others. Single-threaded: the thread that made it makes every call. Nothing blocks
/// but `start` and `finish`. Frames between two ranks arrive in the order they were sent.
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
  /// Busy workers of all ranks of this host, from their pages.
  virtual int busy_workers_here() const = 0;

  /// Queues a frame (head.body and head.segment are set here); small ones travel together at the next `progress`.
  virtual void send(int to, wire::Header head, std::span<const std::byte> first, std::span<const std::byte> second = {},
                    link::Slice slice = {}) = 0;
  /// Starts what is queued, rings the receivers, hands what has arrived to `sink`. True if anything moved.
  virtual bool progress(FrameSink& sink) = 0;
  /// Nothing queued or under way from here: safe to sleep until rung. False: come back soon.
  virtual bool quiet() const = 0;
  /// Has something arrived? The last look before sleeping; may progress MPI.
  virtual bool pending() = 0;
  /// Collective end: everything sent has arrived, MPI is finalized. @throws MpiError
  virtual void finish() = 0;
};

}  // namespace rankpool::transport
