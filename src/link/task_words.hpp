// What an engine and the child that works for it know of the child's tasks without a frame.
#pragma once

#include <atomic>
#include <cstdint>

namespace rankpool::link {

/// In the shared memory of a link. Tasks are numbered from 1 in the order in which the child begins them in its life.
///
/// The engine may take back what the child has not begun: `recall` stops it from beginning anything more, and a
/// child_recalled frame behind the tasks lets it begin again what comes after that frame. So it is certain at any time
/// which tasks the child has begun.
class TaskWords {
 public:
  // --- the child

  /// Begins the next task. False if what lies before the next child_recalled must not be begun; then the engine sees no
  /// change, not even for a moment.
  bool begin() noexcept {
    std::uint64_t turn = turn_.load(std::memory_order_relaxed);
    while (turn < one_recall)
      if (turn_.compare_exchange_weak(turn, turn + 1, std::memory_order_acq_rel, std::memory_order_relaxed))
        return true;
    return false;
  }
  /// A child_recalled frame was taken in.
  void passed_recall() noexcept { turn_.fetch_sub(one_recall, std::memory_order_acq_rel); }
  /// When the task that runs is too late, in ns of the steady clock (which all processes of a host share); 0: never, or
  /// no task runs.
  void set_deadline(std::uint64_t ns) noexcept { deadline_.store(ns, std::memory_order_release); }
  /// Where the child waits for requests to stop (a futex): the low half of the number of the task that shall stop.
  std::atomic<std::uint32_t>& stop() noexcept { return stop_; }

  // --- the engine

  /// How many tasks the child has begun.
  std::uint64_t begun() const noexcept { return turn_.load(std::memory_order_acquire) & (one_recall - 1); }
  /// How many tasks the child has begun; it begins no other before it has taken in the child_recalled that must follow.
  std::uint64_t recall() noexcept { return turn_.fetch_add(one_recall, std::memory_order_acq_rel) & (one_recall - 1); }
  /// How many of these the child has not taken in; there is room for `most_recalls`.
  std::uint64_t recalls() const noexcept { return turn_.load(std::memory_order_relaxed) / one_recall; }
  static constexpr std::uint64_t most_recalls = 0x8000;
  std::uint64_t deadline() const noexcept { return deadline_.load(std::memory_order_acquire); }

 private:
  static constexpr std::uint64_t one_recall = std::uint64_t{1} << 48;

  std::atomic<std::uint64_t> turn_{0};  // tasks begun in the low 48 bits, recalls not taken in yet above
  std::atomic<std::uint64_t> deadline_{0};
  std::atomic<std::uint32_t> stop_{0};
};

}  // namespace rankpool::link
