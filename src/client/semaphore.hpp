// What a process has of a semaphore.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "client/remote_object.hpp"
#include "link/cell.hpp"
#include "wire/lock.hpp"
#include "wire/semaphore.hpp"

namespace rankpool::client {

/// Where windows are mapped it is a cell in the window of its home; where there are one-sided operations this process's
/// engine is asked, which needs the home only for those who wait; else the home is asked.
class SemaphoreObject final : public RemoteObject {
 public:
  /// `saved`: as `save` wrote it; null: just made.
  SemaphoreObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id, detail::Reader* saved);

  /// When it was made: how high it can be, and where it lies. @throws Error if there is no room for it
  void locate(std::uint32_t most);

  bool acquire_until(Deadline deadline);
  /// False, with nothing changed, if the count would be more than `most()`.
  bool release(std::uint32_t count);
  std::uint32_t value();
  std::uint32_t most() const noexcept { return known_.most; }

 protected:
  void save(detail::Buffer& out) const override;
  void on_home_lost() override { cell_.store(nullptr, std::memory_order_release); }

 private:
  bool acquire_at_home(Deadline deadline, bool wait);
  std::optional<Reply> ask_for(Deadline deadline, wire::SemaphoreOp operation, std::uint32_t count = 1);
  std::uint64_t word_offset() const noexcept;
  link::Cell& cell() const {
    link::Cell* const own = cell_.load(std::memory_order_acquire);
    return own != nullptr ? *own : map_cell();
  }
  link::Cell& map_cell() const;

  const bool direct_;
  const bool one_sided_;
  struct {
    wire::Place place;
    std::uint32_t most = 0;
    std::uint32_t reserved = 0;
  } known_;
  mutable std::atomic<link::Cell*> cell_{nullptr};
};

}  // namespace rankpool::client
