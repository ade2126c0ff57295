// Operations on the memory of other ranks, by MPI's one-sided windows.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "transport/request_set.hpp"
#include "transport/transport.hpp"
#include "wire/window.hpp"

namespace rankpool::transport {

/// One window over all ranks. Operations wait in one queue and start in order, a few at a time, but none while another
/// on the same bytes is under way: MPI promises to keep those in order, and Open MPI 4.1 does not. All are accumulates,
/// also the reads and writes: those are what MPI makes atomic towards each other.
class OneSided {
 public:
  /// Makes the window and proves it on a neighbour: collective. Empty on all ranks if it does not work on one, or if
  /// one does not want it. @throws MpiError
  static std::unique_ptr<OneSided> open(MPI_Comm comm, bool wanted, std::byte* base, std::size_t size);
  ~OneSided();
  OneSided(const OneSided&) = delete;
  OneSided& operator=(const OneSided&) = delete;

  void word(int rank, const wire::WordRequest& request, std::uint64_t ticket);
  void read(int rank, std::uint64_t offset, std::span<std::byte> into, std::uint64_t ticket);
  void write(int rank, std::uint64_t offset, std::span<const std::byte> from, std::uint64_t ticket);

  /// Starts what may start, tells `sink` what is done. Calls `ring(rank, started)` once for each other rank that has
  /// something to do for us: MPI there must be awake. True if anything moved. @throws MpiError
  template <class Ring>
  bool progress(FrameSink& sink, Ring&& ring) {
    if (idle()) return false;
    bool moved = collect();
    moved |= start();
    for (std::size_t rank = 0; rank < busy_.size(); ++rank) {
      if (busy_[rank].open > 0 && static_cast<int>(rank) != rank_) ring(static_cast<int>(rank), busy_[rank].started);
      busy_[rank].started = false;
    }
    return deliver(sink) || moved;
  }
  bool idle() const noexcept { return queue_.empty() && under_way_.empty() && done_.empty(); }

  /// The end, collective: every rank is idle. @throws MpiError
  void close();

 private:
  struct Transfer {  // a read or a write, of several pieces
    std::uint64_t ticket;
    std::size_t pieces;
  };
  struct Operation {
    int rank = 0;
    std::uint64_t offset = 0;
    std::uint64_t ticket = 0;
    wire::WordRequest word;  // for words
    std::uint64_t old = 0;
    std::uint64_t unset = 0;             // what `old` is until a compare_exchange is answered
    std::uint64_t marker = 0;            // takes the value that is loaded behind it
    std::shared_ptr<Transfer> transfer;  // for pieces
    std::byte* into = nullptr;
    const std::byte* from = nullptr;
    std::size_t bytes = 0;  // of the word or the piece
    std::unique_ptr<std::byte[]> overwritten;
  };
  struct Busy {
    int open = 0;
    bool started = false;
  };
  struct Done {
    std::uint64_t ticket;
    std::uint64_t old;
  };

  OneSided(MPI_Comm comm, std::size_t size);
  bool create(MPI_Comm comm, std::byte* base);
  bool prove();
  void check_place(int rank, std::uint64_t offset, std::size_t bytes) const;
  void queue_pieces(int rank, std::uint64_t offset, std::byte* into, const std::byte* from, std::size_t bytes,
                    std::uint64_t ticket);
  bool collect();
  bool start();
  bool waits_for_another(const Operation& next) const;
  MPI_Request start_word(Operation& operation);
  MPI_Request start_piece(Operation& operation);
  void complete(Operation& operation);
  bool deliver(FrameSink& sink);

  MPI_Win window_ = MPI_WIN_NULL;
  std::size_t size_;
  int rank_ = 0;
  std::uint64_t swaps_ = 0;
  std::deque<std::unique_ptr<Operation>> queue_;
  RequestSet<std::unique_ptr<Operation>> under_way_;
  std::vector<const Operation*> active_;  // those under way
  std::vector<Busy> busy_;                // by rank
  std::vector<Done> done_;
};

}  // namespace rankpool::transport
