// The compiled half of Pool.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <unordered_map>

#include <rankpool/detail/job_state.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/pool.hpp>

#include "client/client.hpp"
#include "client/job_inbox.hpp"

namespace rankpool::detail {

/// A pool as its user process sees it: is it open, and which jobs are out. Any thread.
class PoolClient final : public client::Receiver, public std::enable_shared_from_this<PoolClient> {
 public:
  static std::shared_ptr<PoolClient> open(const PoolOptions& options);
  explicit PoolClient(std::shared_ptr<client::Client> client);

  /// Announces a job and returns its token. @throws PoolClosed, or the error of a failed initializer
  std::uint64_t open_job(std::shared_ptr<JobState> state, const JobShape& shape, Buffer callable);
  void send_items(std::uint64_t job, std::uint64_t count, Buffer& items);
  void end_job(std::uint64_t job);
  /// Forgets a job whose input failed.
  void cancel_job(std::uint64_t job);

  int processes() const noexcept { return processes_; }
  void close();
  void terminate();
  bool join(JobState::Deadline deadline);

  void on_frame(link::Incoming& in) override;

 private:
  enum class Life { open, closed, terminated, failed };
  void fail_jobs(const std::exception_ptr& error);
  void forget(std::uint64_t job);

  std::shared_ptr<client::Client> client_;
  std::uint64_t token_;
  int processes_ = 0;
  int retries_ = 0;
  std::mutex mutex_;
  Life life_ = Life::open;
  bool left_by_user_ = false;  // closed or terminated by a call
  std::exception_ptr failure_;
  Buffer::Cargo cargo_;  // of the initializer
  std::atomic<bool> ended_{false};
  std::unordered_map<std::uint64_t, std::shared_ptr<JobInbox>> jobs_;
};

}  // namespace rankpool::detail
