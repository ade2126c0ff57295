// Every exception that rankpool throws.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

// One type_info for the whole process, also for user libraries that are built with hidden visibility.
#pragma GCC visibility push(default)

namespace rankpool {

/// Base of all errors of rankpool itself; misuse is a std::logic_error or std::invalid_argument instead.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where an error of a task comes from. Every exception that a task threw is given to the caller as a type derived from
/// this one too, so `catch (const RemoteInfo&)` finds it. Cheap to copy.
class RemoteInfo {
 public:
  /// What is known about the error; filled in by the process that receives it.
  struct Data {
    std::string type_name = {};  ///< demangled
    std::string what = {};
    int rank = -1;
    std::string host = {};
    int pid = 0;
    std::optional<std::size_t> task_index = {};  ///< none: an initializer, or something else that is no task
    std::string trace = {};
  };

  explicit RemoteInfo(Data data) : data_(std::make_shared<const Data>(std::move(data))) {}

  /// Demangled name of the type that was thrown.
  const std::string& type_name() const noexcept { return data_->type_name; }
  /// The original text of the exception.
  const std::string& remote_what() const noexcept { return data_->what; }
  /// Rank on which it was thrown.
  int rank() const noexcept { return data_->rank; }
  /// Host on which it was thrown.
  const std::string& host() const noexcept { return data_->host; }
  /// Process in which it was thrown.
  int pid() const noexcept { return data_->pid; }
  /// Index of the task in its job.
  std::optional<std::size_t> task_index() const noexcept { return data_->task_index; }
  /// Several lines: the task, its process, the error and what caused it.
  const std::string& trace() const noexcept { return data_->trace; }

 private:
  std::shared_ptr<const Data> data_;
};

/// A task threw a std::runtime_error, a type of the user's own or something that is no std::exception.
/// what() is the original text.
class RemoteError : public Error, public RemoteInfo {
 public:
  explicit RemoteError(Data data) : RemoteError(RemoteInfo(std::move(data))) {}

 private:
  explicit RemoteError(RemoteInfo info) : Error(info.remote_what()), RemoteInfo(std::move(info)) {}
};

/// The process that ran the task has ended: by a signal, by exit(), or because somebody ended it.
class WorkerLost : public Error {
 public:
  /// How the process ended, and where.
  struct Data {
    std::optional<int> signal = {};
    std::optional<int> exit_code = {};
    int rank = -1;
    std::string host = {};
    int pid = 0;
    int attempts = 1;                            ///< how often the task was begun
    std::optional<std::size_t> task_index = {};  ///< none: it was lost outside of a task
  };

  explicit WorkerLost(const Data& data) : WorkerLost(explain(data), data) {}
  /// As it was described in another process.
  WorkerLost(const std::string& text, Data data) : Error(text), data_(std::make_shared<const Data>(std::move(data))) {}

  /// The signal that killed it.
  std::optional<int> signal() const noexcept { return data_->signal; }
  /// The status of its exit().
  std::optional<int> exit_code() const noexcept { return data_->exit_code; }
  int rank() const noexcept { return data_->rank; }
  const std::string& host() const noexcept { return data_->host; }
  int pid() const noexcept { return data_->pid; }
  /// How often the task was begun.
  int attempts() const noexcept { return data_->attempts; }
  std::optional<std::size_t> task_index() const noexcept { return data_->task_index; }

 private:
  static std::string explain(const Data& data);

  std::shared_ptr<const Data> data_;
};

/// A task ran longer than its limit and was stopped.
class TaskTimeout : public Error {
 public:
  using Error::Error;
};

/// The time given to a call has passed; the thing waited for may still come.
class TimeoutError : public Error {
 public:
  using Error::Error;
};

/// The task was cancelled, or its pool was terminated.
class CancelledError : public Error {
 public:
  using Error::Error;
};

/// The pool or executor takes no more work.
class PoolClosed : public Error {
 public:
  using Error::Error;
};

/// Nothing is in the queue.
class Empty : public Error {
 public:
  using Error::Error;
};

/// No room is left in the queue.
class Full : public Error {
 public:
  using Error::Error;
};

/// This handle, or the whole queue, was closed.
class Closed : public Error {
 public:
  using Error::Error;
};

/// The other end of the pipe is closed, and everything it sent was read.
class EndOfStream : public Error {
 public:
  using Error::Error;
};

/// The other end of the pipe is closed: nobody would read this.
class BrokenPipe : public Error {
 public:
  using Error::Error;
};

/// The next message is longer than the room offered; it is kept for the next call.
class BufferTooShort : public Error {
 public:
  /// `size`: bytes of the message that waits.
  explicit BufferTooShort(std::size_t size);
  BufferTooShort(const std::string& text, std::size_t size) : Error(text), size_(size) {}
  /// Bytes of the message that waits.
  std::size_t size() const noexcept { return size_; }

 private:
  std::size_t size_;
};

/// The next message is of another type; it is kept for the next call.
class TypeMismatch : public Error {
 public:
  using Error::Error;
};

/// The barrier was aborted or reset, or one of those who waited ran out of time.
class BrokenBarrier : public Error {
 public:
  using Error::Error;
};

/// Bytes that do not describe a value of the type expected.
class SerializationError : public Error {
 public:
  using Error::Error;
};

/// A function that this process cannot find, or that cannot be sent.
class UnknownFunction : public Error {
 public:
  using Error::Error;
};

/// The processes of the job do not run the same build of the program or of a library.
class BinaryMismatch : public Error {
 public:
  using Error::Error;
};

/// The file of MapOptions::checkpoint cannot be used: it is of another program, function or input, it is damaged or in
/// use, or it cannot be written. What it has is left as it was.
class CheckpointError : public Error {
 public:
  using Error::Error;
};

/// An object was made outside of rankpool::run.
class NotRunning : public Error {
 public:
  using Error::Error;
};

/// A signal has asked the job to stop (SIGINT, SIGTERM), or to begin nothing new (SIGUSR1): what was waited for does not
/// come any more. Thrown in the main program only, in each of its threads that waits; when it leaves the program it is
/// not printed, and run() knows the exit code. Mirrors Python's KeyboardInterrupt.
class Interrupted : public Error {
 public:
  Interrupted(const std::string& text, int signal) : Error(text), signal_(signal) {}
  /// SIGINT, SIGTERM or SIGUSR1.
  int signal() const noexcept { return signal_; }

 private:
  int signal_;
};

/// A rank of the job has died, and with it what had its home there.
class RankLost : public Error {
 public:
  RankLost(const std::string& text, int rank) : Error(text), rank_(rank) {}
  /// The rank that has died.
  int rank() const noexcept { return rank_; }

 private:
  int rank_;
};

/// A call of MPI failed.
class MpiError : public Error {
 public:
  using Error::Error;
};

}  // namespace rankpool

#pragma GCC visibility pop
