// The compiled half of Process.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/deadline.hpp>
#include <rankpool/process.hpp>

#include "client/client.hpp"
#include "wire/process.hpp"

namespace rankpool::detail {

/// A Process as the process that made it sees it. Any thread.
class ProcessClient final : public client::Receiver, public std::enable_shared_from_this<ProcessClient> {
 public:
  ProcessClient(std::shared_ptr<client::Client> client, const ProcessOptions& options,
                std::function<void(Buffer&)> encode);

  void start();
  bool join(Deadline deadline);
  /// For wait_ready: ready when it has ended. @throws std::logic_error if it was not started, or was closed
  std::shared_ptr<WaitSource> wait_source();
  bool is_alive();
  std::optional<int> exitcode();
  int pid() const;
  int rank() const;
  std::string host() const;
  const std::string& name() const noexcept { return name_; }
  bool daemon() const noexcept { return daemon_; }
  void signal(int number, const char* call);
  void close();
  /// What the destructor of its Process does.
  void leave(bool unwinding) noexcept;
  std::string to_string();

  /// It was started and has ended, as far as the frames that have come tell. The frame that changes it wakes all who
  /// wait on the link.
  bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }
  /// It was started, successfully.
  bool started() const noexcept { return started_.load(std::memory_order_acquire); }
  client::Client& client() const noexcept { return *client_; }
  ProcessInfo info() const;

  void on_frame(link::Incoming& in) override;
  void on_rank_lost(int rank) override;

 private:
  void has_ended(int wait_status);
  void lost();
  void require_own(const char* call) const;
  void require_open() const;
  void require_started(const char* call) const;
  void send_signal(int number);
  void look();
  [[noreturn]] void throw_failed() const;

  std::shared_ptr<client::Client> client_;
  const int maker_pid_;
  std::uint64_t token_ = 0;
  std::string number_;
  std::string name_;
  bool daemon_;
  std::optional<int> wish_;
  std::mutex start_mutex_;
  std::function<void(Buffer&)> encode_;  // until it has been started
  Buffer::Cargo cargo_;                  // until the child has its handles
  std::atomic<bool> closed_{false};

  // by the frames, before the flag that tells of them
  wire::ProcessStarted where_{};
  wire::ProcessFailed failure_{};
  std::exception_ptr interruption_;  // why it was not started, unless it could not be
  int wait_status_ = 0;
  std::atomic<bool> started_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> ready_{false};
  std::atomic<bool> ended_{false};
};

}  // namespace rankpool::detail

namespace rankpool::client {

/// The end of this process, for the Processes it has started: terminates the daemons and waits for the others. A daemon
/// that does not end is left to rank 0, which kills it when this process has ended.
void end_processes();

}  // namespace rankpool::client
