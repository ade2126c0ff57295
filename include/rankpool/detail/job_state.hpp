// What a user process knows of a job it has submitted.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

class JobInbox;

/// The untyped half of the state behind an AsyncResult: has it ended, and how. Any thread.
class JobState {
 public:
  using Deadline = detail::Deadline;

  JobState();
  virtual ~JobState();
  JobState(const JobState&) = delete;
  JobState& operator=(const JobState&) = delete;

  /// Takes in the results of tasks [first, first + count). Called by one thread at a time, before the job ends.
  virtual void store(std::uint64_t first, std::uint64_t count, Reader& results) = 0;

  /// False if the deadline passed first.
  bool wait_until(Deadline deadline) const;
  bool ended() const noexcept;
  /// The same after a look at what has arrived, for who asks again and again without ever waiting.
  bool ready() const;
  /// @throws std::logic_error if it has not ended
  bool successful() const;
  /// Waits, then throws the error of the job if there is one. @throws TimeoutError if the deadline passed first
  void finish(Deadline deadline) const;
  /// Calls `callback` on the callback thread once the job has ended (at once if it has).
  void on_done(std::function<void()> callback);

 protected:
  /// The result of this task could not be decoded, by the exception that is being handled: an error of that task alone.
  void decoding_failed(std::uint64_t task);

 private:
  friend class JobInbox;
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace rankpool::detail
