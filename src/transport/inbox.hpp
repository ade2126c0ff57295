// Packets on their way in.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace rankpool::transport {

/// Receives posted in advance, from any rank. The packets of each rank come out in the order of their numbers; one that
/// has come in part only, since its sender has died, holds up no other.
class Inbox {
 public:
  struct Arrival {
    int source;
    std::span<const std::byte> packet;
  };

  Inbox(MPI_Comm comm, int ranks);

  /// Finds out what has arrived; one turn of MPI's progress. @throws MpiError
  void look();
  /// The next packet in order that `look` has found, if any. To be given back by `recycle` before the next `take`.
  std::optional<Arrival> take();
  void recycle();
  /// Has something arrived that `take` would return after a `look`? May progress MPI.
  bool pending();
  /// The order of that rank's packets does not matter any more. Some receives may be taken by packets of it that never
  /// come whole, so there are as many more from now on.
  void lose(int rank);
  /// Withdraws all receives; the inbox cannot be used any more.
  void close();

 private:
  struct Found {
    bool here = false;
    int source = 0;
    int bytes = 0;
    std::uint64_t number = 0;
  };
  struct Source {
    std::uint64_t next = 0;  // number of its next packet
    bool lost = false;
  };

  void add_slots(std::size_t count);
  void post(std::size_t slot);
  bool is_next(const Found& found) const;

  MPI_Comm comm_;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<std::byte[]>> memory_;  // by slot, as the next three
  std::vector<MPI_Request> requests_;
  std::vector<Found> found_;
  std::vector<MPI_Status> statuses_;
  std::vector<int> indices_;
  std::vector<std::size_t> order_;  // the slots as they were posted
  std::size_t taken_ = 0;           // place in `order_`
  bool lost_any_ = false;
};

}  // namespace rankpool::transport
