// A file of results: opened for this process alone, read, and extended at its end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "client/journal_format.hpp"

namespace rankpool::client {

/// Not thread-safe, but what was in the file when it was opened may be read by any thread.
class JournalFile {
 public:
  /// Makes the file, or reads what is in it; a record that was left half-way is cut off.
  /// @throws CheckpointError as read_journal; if the file is in use, or cannot be opened, read or written
  JournalFile(const std::filesystem::path& file, const JournalIdentity& identity);
  JournalFile(const JournalFile&) = delete;
  JournalFile& operator=(const JournalFile&) = delete;
  ~JournalFile();

  /// The file in messages.
  const std::string& name() const noexcept { return name_; }
  /// What was in it.
  const std::vector<JournalRun>& runs() const noexcept { return found_.runs; }
  /// The hashes and results of one of these.
  std::span<const std::byte> bytes_of(const JournalRun& run) const noexcept { return {map_ + run.at, run.bytes}; }
  /// How many results are in it now.
  std::uint64_t tasks() const noexcept { return tasks_; }

  /// Adds the results of consecutive tasks with one write; they survive the death of this process then.
  /// @throws CheckpointError if that fails; the file is as before, and can be closed
  void add(std::uint64_t first, std::span<const std::uint64_t> hashes, std::span<const std::byte> results);
  /// Takes out all that was added.
  void roll_back() noexcept;
  /// Waits until the disk has all. @throws CheckpointError
  void sync();
  /// Lets others use it. What was in it when it was opened can still be read.
  void close() noexcept;
  bool is_open() const noexcept { return fd_ >= 0; }

 private:
  [[noreturn]] void refuse(const std::string& why) const;
  [[noreturn]] void refuse(const std::string& what, int error) const;
  void open(const std::filesystem::path& file);
  void lock();
  void read(const JournalIdentity& identity);
  void write_at(std::uint64_t at, std::span<const std::byte> first, std::span<const std::byte> second);
  void roll_to(std::uint64_t size) noexcept;

  std::string name_;
  int fd_ = -1;
  const std::byte* map_ = nullptr;
  std::size_t mapped_ = 0;
  Journal found_;
  std::uint64_t size_ = 0;
  std::uint64_t tasks_ = 0;
};

}  // namespace rankpool::client
