// A job whose results are kept in a file.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/job_state.hpp>

#include "client/journal.hpp"

namespace rankpool::detail {

class PoolClient;

/// Stands between a job and its pool: what the file has is not sent, and what comes is written before the job has it.
/// One thread at a time gives it the input, another may take in results.
class Checkpoint {
 public:
  /// @throws CheckpointError
  Checkpoint(const std::filesystem::path& file, const client::JournalIdentity& identity, std::uint64_t item_bytes);

  /// Part of a block of input: tasks that are to be sent, or whose results are here.
  struct Part {
    bool known;
    std::uint64_t first;
    std::uint64_t count;
    std::span<const std::byte> bytes;  ///< of the items; of the results if known
  };
  /// The next items of the job, taken apart. @throws CheckpointError if the file is of other items, which closes it;
  /// std::invalid_argument for handles in them
  std::vector<Part> take_apart(const Buffer& block, std::uint64_t count);
  /// Sends what is to be sent of a block, and stores the rest.
  void deal(const std::vector<Part>& parts, PoolClient& pool, std::uint64_t job, JobState& state, Buffer& block);
  /// There are no more items.
  /// @throws CheckpointError if the file is of a longer input, which closes it
  void end_input();
  /// Tells the scheduler of tasks that it need not know.
  void send_skipped(PoolClient& pool, std::uint64_t job);

  /// Writes the results of tasks [first, first + count). Null, or why it cannot be written: nothing is from now on.
  std::exception_ptr record(std::uint64_t first, std::uint64_t count, std::span<const std::byte> results);
  /// This task has ended without a result.
  void forget(std::uint64_t task);
  /// The job has ended in good order. Null, or why the results are not certainly on the disk.
  std::exception_ptr finish();
  /// Nothing is written from now on, and others may use the file.
  void close() noexcept;

  /// Calls `store`, which may decode results, while no other thread does. A handle among them is an error there: who
  /// reads it from the file would have that of another object.
  void storing(const std::function<void()>& store);

 private:
  struct Sent {
    std::uint64_t first;
    std::uint64_t count;
    std::uint64_t left;                 ///< tasks that have not ended
    std::vector<std::uint64_t> hashes;  ///< none any more when all have
  };

  [[noreturn]] void refuse(const std::string& why);
  const client::JournalRun* known_at(std::uint64_t task);
  template <class Visit>
  void for_each_sent(std::uint64_t first, std::uint64_t count, Visit visit);

  client::JournalFile file_;
  const std::optional<std::uint64_t> item_bytes_;
  const std::optional<std::uint64_t> result_bytes_;

  // of who gives the input
  std::uint64_t next_ = 0;      // task
  std::size_t run_ = 0;         // in the file: the first that ends behind next_
  std::size_t run_offset_ = 0;  // of the result of next_, if that is in this run
  std::uint64_t skipped_ = 0;   // tasks of which the scheduler has not heard

  std::mutex sent_mutex_;
  std::deque<Sent> sent_;

  std::mutex file_mutex_;
  std::vector<std::uint64_t> hashes_;  // of the record that is being written
  std::mutex store_mutex_;
};

}  // namespace rankpool::detail
