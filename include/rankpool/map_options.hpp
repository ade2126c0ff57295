// How a map is cut, limited and repeated.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>

namespace rankpool {

/// Options of `Pool::map` and its kin.
///
/// A map with a `checkpoint` can be killed at any moment, by `kill -9` of everything too, and run again: it then gives
/// what it would have given, and computes only what the file lacks.
///
///     std::vector<double> energies = pool.map(energy, positions, {.checkpoint = "energies.journal"});
///
/// - The file has the results of tasks that returned; those that threw or were lost are computed again by the next run.
/// - It belongs to this build of the program, this function with the data bound to it, RANKPOOL_SEED, and these items,
///   each of which is compared with the one that its result was computed from. Anything else is refused with a
///   CheckpointError, and the file is left as it was: delete it, or give another one. More items at the end are fine,
///   and so are other options, another number of ranks, and the other calls for the same tasks (`map`, `imap`,
///   `try_map`, and `async`). Handles among the data count as the objects they name (of a Shared, its value counts);
///   none may be in items and results.
/// - Results are written when they come, before the caller has them, also while it does something else; what has not
///   come when the program dies is lost. The end of the map waits until the disk has all. Before that a file survives
///   the death of every process, but not of the machine: then it may lack its end, or be refused as damaged.
/// - One job at a time can use a file, on a file system with locks also from several hosts. `map_reduce` has no result
///   for each task, and refuses a checkpoint.
/// - If the file cannot be written (the disk is full), the map ends with a CheckpointError that says what it has.
struct MapOptions {
  std::size_t chunksize = 0;                   ///< tasks that travel together; 0: automatic
  std::chrono::nanoseconds task_timeout = {};  ///< a task that runs longer is stopped: TaskTimeout; 0: no limit
  std::optional<int> retries = {};             ///< runs beyond the first of a lost or late task; none: the pool's
  std::size_t buffersize = 0;  ///< imap: items drawn and not yet yielded, at least a chunk; 0: 2 chunks per worker
  /// A file of results: those it has are not computed again, new ones are added; made if it is not there. None if
  /// empty. See above.
  std::filesystem::path checkpoint = {};
};

}  // namespace rankpool
