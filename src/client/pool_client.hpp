// The compiled half of Pool.
#pragma once

#include <csignal>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include <rankpool/detail/job_state.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/stream_state.hpp>
#include <rankpool/insights.hpp>
#include <rankpool/pool.hpp>

#include "client/client.hpp"
#include "client/job_inbox.hpp"

namespace rankpool::detail {

/// What its user calls it, for messages.
struct PoolWords {
  const char* what;    ///< "pool"
  const char* closed;  ///< "closed"
  const char* close;   ///< the call that does it
  const char* type;    ///< to make another one
};
/// What pool_numbers and pool_ended bring. @throws wire::BadFrame
Insights read_insights(link::Incoming& in);

/// A pool as its user process sees it: is it open, and which jobs are out. Any thread.
class PoolClient final : public client::Receiver, public std::enable_shared_from_this<PoolClient> {
 public:
  static std::shared_ptr<PoolClient> open(const PoolOptions& options, const PoolWords& words);
  PoolClient(std::shared_ptr<client::Client> client, const PoolWords& words);

  /// Announces a job and returns its token. @throws PoolClosed, or the error of a failed initializer
  std::uint64_t open_job(std::shared_ptr<JobState> state, const JobShape& shape, Buffer callable,
                         std::shared_ptr<Checkpoint> checkpoint = nullptr);
  void send_items(std::uint64_t job, std::uint64_t count, Buffer& items);
  /// The results of the next `count` tasks are here already.
  void skip_items(std::uint64_t job, std::uint64_t count);
  void end_job(std::uint64_t job);
  /// Forgets a job whose input failed.
  void cancel_job(std::uint64_t job);

  /// A job whose input is drawn as its results are taken.
  void add_stream(std::weak_ptr<StreamState> stream);
  /// Brings the input of all those to an end, for who is going to wait for the last job.
  void finish_streams();

  int processes() const noexcept { return processes_; }
  Insights insights(JobState::Deadline deadline);
  /// @throws as open_job
  void check_open();
  void close();
  /// Ends the workers and every job that is out; with SIGTERM they have a moment before they are killed.
  void terminate(int signal = SIGKILL);
  /// Cancels the calls that no worker has begun, and waits until it is known which those are; and what has not come
  /// of the streams.
  void cancel_calls(JobState::Deadline deadline);
  bool join(JobState::Deadline deadline);
  /// What the destructor of its owner does: closes (or, while an exception unwinds, terminates) and waits.
  void leave(bool unwinding) noexcept;

  void on_frame(link::Incoming& in) override;

 private:
  enum class Life { open, closed, terminated, failed };
  void end_jobs(const std::exception_ptr& error, bool cancelled);
  void forget(std::uint64_t job);
  void require_open() const;  // under the mutex

  std::shared_ptr<client::Client> client_;
  const PoolWords words_;
  std::uint64_t token_;
  int processes_ = 0;
  int retries_ = 0;
  std::mutex mutex_;
  Life life_ = Life::open;
  bool left_by_user_ = false;  // closed or terminated by a call
  bool killed_ = false;        // terminated without a moment's grace
  std::uint64_t next_call_ = 0;
  std::exception_ptr failure_;
  Buffer::Cargo cargo_;  // of the initializer
  std::atomic<bool> ended_{false};
  std::unordered_map<std::uint64_t, std::shared_ptr<JobInbox>> jobs_;
  std::optional<Insights> last_insights_;  // once it has ended
  std::vector<std::weak_ptr<StreamState>> streams_;
};

}  // namespace rankpool::detail
