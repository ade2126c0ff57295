// What a process has of a Lock or RLock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "client/remote_object.hpp"
#include "link/cell.hpp"
#include "wire/lock.hpp"

namespace rankpool::client {

/// A lock, or something with a lock. Where windows are mapped it is a cell in the window of its home. Else the home is
/// asked, or this process's engine, which need not ask the home while nobody waits; then `thread_` and `depth_` say
/// what this process knows: which of its threads holds it, and how often.
class LockObject : public RemoteObject {
 public:
  /// `saved`: as `save` wrote it; null: just made.
  LockObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id, detail::Reader* saved);
  ~LockObject() override;

  /// Asks where it lies, once, when it was made. @throws Error if there is no room for it
  void locate();

  /// @throws std::logic_error if the calling thread has it and it is not recursive
  void lock() {
    if (!direct_ || !link::SharedLock::try_lock(cell(), me())) return lock_slowly();
    cell().depth = 1;
  }
  bool lock_until(Deadline deadline);
  /// Of a lock whose home is lost nobody is to know: guards unlock in destructors.
  /// @throws std::logic_error if the calling thread does not hold it
  void unlock() {
    if (!direct_) return unlock_at_home();
    if (lost()) return;
    if (type() == wire::ObjectType::lock) return release(cell());
    unlock_once();
  }
  bool locked();
  bool previous_owner_died();

  /// By the calling thread.
  bool held_by_me() const;
  /// Unlocks it however often it was locked, and says how often that was. @throws std::logic_error if the calling
  /// thread does not hold it
  std::uint32_t release_fully();
  /// Undoes `release_fully`.
  void acquire_again(std::uint32_t depth);

 protected:
  void save(detail::Buffer& out) const override;
  /// Whoever uses it next asks where it lies, and is told.
  void on_home_lost() override { cells_.store(nullptr, std::memory_order_release); }
  bool direct() const noexcept { return direct_; }
  bool one_sided() const noexcept { return one_sided_; }
  const wire::Place& place() const noexcept { return place_; }
  /// Of this object at `number`, counted from its place; maps the window at the first call.
  link::Cell& cell(std::uint32_t number = 0) const {
    link::Cell* const first = cells_.load(std::memory_order_acquire);
    return (first != nullptr ? first : map_cells())[number];
  }
  link::Owner me() const noexcept { return link::SharedLock::owner(process_, this_thread()); }

 private:
  link::Cell* map_cells() const;
  void lock_slowly();
  bool wait_for_cell(Deadline deadline);
  bool lock_at_home(Deadline deadline, bool wait);
  void unlock_once();
  void release(link::Cell& cell);
  std::optional<Reply> ask_lock(Deadline deadline, wire::LockOp operation);
  void unlock_at_home();
  bool locked_at_home();
  bool is_recursive() const noexcept { return type() != wire::ObjectType::lock; }
  [[noreturn]] void refuse_second_lock() const;
  [[noreturn]] void refuse_unlock(std::uint64_t word) const;
  wire::LockHolder caller() const;

  const bool direct_;
  const bool one_sided_;
  const link::Owner process_;
  wire::Place place_;
  mutable std::atomic<link::Cell*> cells_{nullptr};

  std::atomic<std::uint32_t> thread_{0};
  std::uint32_t depth_ = 0;
  bool orphaned_ = false;
};

}  // namespace rankpool::client
