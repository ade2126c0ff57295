// A process that runs one function.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/process_call.hpp>
#include <rankpool/detail/wait_source.hpp>
#include <rankpool/errors.hpp>
#include <rankpool/run.hpp>

namespace rankpool {

struct ProcessOptions {
  std::string name = {};            ///< at most 255 bytes; empty: Process-1, ..., and Process-1:1, ... for its children
  std::optional<bool> daemon = {};  ///< ends with the process that started it; none: as that one is
  std::optional<int> rank = {};     ///< where it runs; none: where there is most room
};

class Process;

namespace detail {
class ProcessClient;
const std::shared_ptr<ProcessClient>& client_of(const Process& process);
template <class F>
concept NotProcessOptions = !std::same_as<std::decay_t<F>, ProcessOptions> && !std::same_as<std::decay_t<F>, Process>;
}  // namespace detail

/// A function that runs in a process of its own, on any rank. Mirrors `multiprocessing.Process`. Any thread of the
/// process that made it may use it, and no other process.
///
///     rp::Process p(calculate_square, 10);
///     p.start();
///     p.join();
///
/// What the function returns is ignored. What it throws is printed on stderr and makes the exit code 1. At its end the
/// process waits for the Processes it has started, but for daemons, which are terminated. Misuse throws
/// std::logic_error; so does every member but `name`, `daemon` and `close` after `close`.
class Process {
 public:
  /// Starts nothing yet. The arguments are kept until `start`. @throws NotRunning
  template <detail::NotProcessOptions F, class... Args>
  requires detail::ProcessTask<F, Args...>
  explicit Process(F&& f, Args&&... args)
      : Process(ProcessOptions{}, std::forward<F>(f), std::forward<Args>(args)...) {}
  /// @throws std::invalid_argument for a name that is too long; NotRunning
  template <class F, class... Args>
  requires detail::ProcessTask<F, Args...>
  explicit Process(const ProcessOptions& options, F&& f, Args&&... args)
      : Process(options, detail::process_encoder(std::forward<F>(f), std::forward<Args>(args)...), nullptr) {}

  // What cannot be sent ends in a sentence of the compiler that says why.
  template <detail::NotProcessOptions F, class... Args>
  requires(!detail::ProcessTask<F, Args...>) explicit Process(F&&, Args&&...) {
    detail::require_task<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>();
  }
  template <class F, class... Args>
  requires(!detail::ProcessTask<F, Args...>) explicit Process(const ProcessOptions&, F&&, Args&&...) {
    detail::require_task<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>();
  }

  Process(Process&& other) noexcept;
  /// The process that was here before ends as by the destructor.
  Process& operator=(Process&& other) noexcept;
  /// Waits for the process; before that it terminates a daemon and, while an exception unwinds, any.
  ~Process();

  /// Starts the process and waits until it exists. Once. If it fails, it can be tried again.
  /// @throws std::invalid_argument if there is no such rank; Error if the rank cannot start one more process; what a
  /// `serialize` of an argument throws
  void start();
  /// Waits until the process has ended; can be repeated.
  void join();
  /// The same, but waits at most `limit`; false if it still runs.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> limit) {
    return join_until(detail::deadline_after(limit));
  }
  /// From `start` until the end of the process. Does not wait.
  bool is_alive() const;
  /// None before the end; n after exit(n), 0 if the function has returned, 1 if it has thrown, -n if signal n ended it.
  /// Does not wait.
  std::optional<int> exitcode() const;

  /// 0 before `start`.
  int pid() const;
  /// -1 before `start`.
  int rank() const;
  /// Empty before `start`.
  std::string host() const;
  const std::string& name() const;
  bool daemon() const;

  /// Sends SIGINT; as the other two it does not wait, and does nothing if the process has ended.
  void interrupt();
  /// Sends SIGTERM.
  void terminate();
  /// Sends SIGKILL.
  void kill();
  /// Says that nothing more is wanted of the process; can be repeated. @throws std::logic_error while it runs
  void close();

 private:
  friend struct detail::WaitAccess;
  friend const std::shared_ptr<detail::ProcessClient>& detail::client_of(const Process& process);

  Process(const ProcessOptions& options, std::function<void(detail::Buffer&)> encode, std::nullptr_t);
  bool join_until(detail::Deadline deadline);
  std::shared_ptr<detail::WaitSource> wait_source() const;
  detail::ProcessClient& client() const;

  std::shared_ptr<detail::ProcessClient> client_;
  int exceptions_ = std::uncaught_exceptions();
};

/// "<Process name='Process-1' pid=7 rank=0 stopped exitcode=0>": for messages.
std::string to_string(const Process& process);

}  // namespace rankpool
