// The bytes of a file of results. Nothing here reads or writes files.
//
//   file    header, then any number of records
//   header  magic, version, checksum of the rest, and what the results are of (JournalIdentity)
//   record  head: its own checksum, that of what follows the head, the index of the first task, tasks, bytes that
//   follow;
//           then a hash of each task's item, and the results as they came, one after the other
//
// All numbers are little endian, whatever the machine. Files only ever grow at their end, so what a killed program
// leaves is a file that was good, and the beginning of one more record.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rankpool::client {

/// What results are of: equal only where the same tasks give the same results.
struct JournalIdentity {
  std::uint64_t program = 0;                      ///< its build
  std::uint64_t function = 0;                     ///< with the data bound to it, and all types
  std::uint64_t seed = 0;                         ///< RANKPOOL_SEED
  std::optional<std::uint64_t> result_bytes = 0;  ///< of each; none: each has its length in front
  friend bool operator==(const JournalIdentity&, const JournalIdentity&) = default;
};

/// Consecutive tasks that one record is of.
struct JournalRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::uint64_t at = 0;     ///< in the file: of the hashes, which the results follow
  std::uint64_t bytes = 0;  ///< of both
  std::uint64_t end() const noexcept { return first + count; }
};

/// A file of results, without the results.
struct Journal {
  std::vector<JournalRun> runs;  ///< by first task; no task is in two
  std::uint64_t tasks = 0;
  std::uint64_t good = 0;  ///< bytes of the file that are complete; 0: not even the header is
};

constexpr std::size_t journal_header_bytes = 48;
constexpr std::size_t journal_head_bytes = 32;
constexpr std::size_t journal_hash_bytes = 8;

/// Reads a whole file: checks every byte, and asks for no more memory than it has records. `name` is for messages.
/// @throws CheckpointError if it is no journal, of another identity, or damaged in another way than by a death in the
/// middle of a record
Journal read_journal(std::span<const std::byte> file, const JournalIdentity& identity, const std::string& name);

std::array<std::byte, journal_header_bytes> journal_header(const JournalIdentity& identity);
/// The head and the hashes of a record, for `results` to follow. None of the spans is empty but, perhaps, the results.
std::vector<std::byte> journal_record(std::uint64_t first, std::span<const std::uint64_t> hashes,
                                      std::span<const std::byte> results);

/// What a task was given, in 8 bytes.
std::uint64_t journal_hash(std::span<const std::byte> bytes) noexcept;
/// The hash of the i-th task of a run, whose bytes these are.
std::uint64_t hash_in(std::span<const std::byte> run, std::uint64_t i) noexcept;
/// How many bytes the first `count` of these items or results take; none if they are more than there are. `each`: as
/// JournalIdentity::result_bytes.
std::optional<std::size_t> bytes_of_items(std::span<const std::byte> bytes, std::uint64_t count,
                                          std::optional<std::uint64_t> each) noexcept;

}  // namespace rankpool::client
