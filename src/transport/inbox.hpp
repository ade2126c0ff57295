// Packets on their way in.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace rankpool::transport {

/// A circle of receives posted in advance, from any rank. MPI matches them in the order they were posted, so looking at
/// the oldest only keeps the packets of each rank in order.
class Inbox {
 public:
  struct Arrival {
    int source;
    std::span<const std::byte> packet;
  };

  explicit Inbox(MPI_Comm comm);

  /// The oldest packet that has arrived, if any. To be given back by `recycle` before the next `take`. @throws MpiError
  std::optional<Arrival> take();
  void recycle();
  /// Has something arrived that `take` would return? May progress MPI.
  bool pending();
  /// Withdraws all receives; the inbox cannot be used any more.
  void close();

 private:
  void post(std::size_t slot);
  std::byte* memory(std::size_t slot) const noexcept;

  MPI_Comm comm_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<MPI_Request> requests_;
  std::size_t oldest_ = 0;
};

}  // namespace rankpool::transport
