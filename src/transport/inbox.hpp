// Packets on their way in.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace rankpool::transport {

/// A circle of receives posted in advance, from any rank. MPI matches them in the order they were posted, so taking
/// them in that order keeps the packets of each rank in order.
class Inbox {
 public:
  struct Arrival {
    int source;
    std::span<const std::byte> packet;
  };

  explicit Inbox(MPI_Comm comm);

  /// Finds out what has arrived; one turn of MPI's progress, and none if something has already. @throws MpiError
  void look();
  /// The next packet in order that `look` has found, if any. To be given back by `recycle` before the next `take`.
  std::optional<Arrival> take() const noexcept;
  void recycle();
  /// Has something arrived that `take` would return after a `look`? May progress MPI.
  bool pending();
  /// Withdraws all receives; the inbox cannot be used any more.
  void close();

 private:
  struct Found {
    bool here = false;
    int source = 0;
    int bytes = 0;
  };

  void post(std::size_t slot);
  std::byte* memory(std::size_t slot) const noexcept;

  MPI_Comm comm_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> statuses_;
  std::vector<int> indices_;
  std::vector<Found> found_;
  std::size_t oldest_ = 0;
};

}  // namespace rankpool::transport
