// What a user process knows of a job it has submitted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

class JobInbox;
class JobState;

/// How a job has ended.
enum class Ending : std::uint8_t { value, error, cancelled };

/// Is told when jobs end, by whichever thread ends them, often the one that reads the link: it must not wait.
class EndObserver {
 public:
  virtual ~EndObserver() = default;
  virtual void ended(std::size_t index, Ending how) noexcept = 0;
};

/// What stands behind a job until it has ended: who can be asked about it. Any thread.
class JobOrigin {
 public:
  virtual ~JobOrigin() = default;
  /// Cancels the job if its work has not begun: it has ended then. Waits for the answer.
  virtual void cancel(JobState& job) = 0;
  /// Has its work begun? Waits for the answer.
  virtual bool running(const JobState& job) = 0;
  /// The job of this process that must end before this one can; null if there is none.
  virtual std::shared_ptr<JobState> awaited() const { return nullptr; }
};

/// The untyped half of the state behind an AsyncResult or a Future: has it ended, and how. Any thread.
class JobState {
 public:
  using Deadline = detail::Deadline;

  JobState();
  virtual ~JobState();
  JobState(const JobState&) = delete;
  JobState& operator=(const JobState&) = delete;

  /// Takes in the results of tasks [first, first + count). Called by one thread at a time, before the job ends.
  virtual void store(std::uint64_t first, std::uint64_t count, Reader& results);
  /// So many tasks, whose results are stored next, took `work` ns of computing in all. As `store`.
  virtual void measured(std::uint64_t, std::uint64_t) {}
  /// One task has failed; here the error of the first task in input order is kept as that of the job. As `store`.
  virtual void failed(std::uint64_t task, std::exception_ptr error);

  /// False if the deadline passed first.
  bool wait_until(Deadline deadline) const;
  bool ended() const noexcept;
  /// The same after a look at what has arrived, for who asks again and again without ever waiting.
  bool ready() const;
  /// @throws std::logic_error if it has not ended
  bool successful() const;
  /// Waits, then throws the error of the job if there is one. `call` is who waits, for the message. @throws
  /// TimeoutError if the deadline passed first
  void finish(Deadline deadline, std::string_view call = "AsyncResult::get") const;
  /// Waits, then returns the error of the job, or null. @throws TimeoutError; CancelledError if it was cancelled
  std::exception_ptr wait_for_error(Deadline deadline, std::string_view call) const;
  /// Calls `callback` on the callback thread once the job has ended (at once if it has).
  void on_done(std::function<void()> callback);

  /// Ends the job: with this error, if there is one, whatever was said before. False if it had ended before. Threads
  /// that wait must be woken by the caller, unless it is the one that reads the link.
  bool end(std::exception_ptr error = nullptr, bool cancelled = false);
  /// The same, and wakes who waits.
  bool end_here(std::exception_ptr error = nullptr, bool cancelled = false);
  /// How it has ended. Once it has.
  Ending ending() const noexcept;
  /// Its error, null if there is none. Once it has ended.
  std::exception_ptr error() const noexcept;
  /// Ended because it was cancelled, or its pool was terminated?
  bool cancelled() const noexcept { return ended() && ending() == Ending::cancelled; }

  /// Calls `observer` when the job ends; false if it has, then nothing is called.
  bool observe(std::shared_ptr<EndObserver> observer, std::size_t index);
  /// Not any more, unless it is about to.
  void ignore(const EndObserver& observer) noexcept;

  /// Is asked about the job until it has ended.
  void set_origin(std::shared_ptr<JobOrigin> origin);
  /// Cancels the job if its work has not begun; true if it is cancelled now. Waits for an answer of the scheduler.
  bool cancel();
  /// Has its work begun, and not ended? As `cancel`.
  bool running() const;
  /// The job of this process that must end before this one can; null if there is none.
  std::shared_ptr<JobState> awaited() const;

 protected:
  /// The result of this task could not be decoded, by the exception that is being handled: an error of that task alone.
  void decoding_failed(std::uint64_t task);

 private:
  friend class JobInbox;
  std::shared_ptr<JobOrigin> origin() const;

  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace rankpool::detail
