// How a map is cut, limited and repeated.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>

namespace rankpool {

/// Options of `Pool::map` and its kin.
struct MapOptions {
  std::size_t chunksize = 0;                   ///< tasks that travel together; 0: automatic
  std::chrono::nanoseconds task_timeout = {};  ///< a task that runs longer is stopped: TaskTimeout; 0: no limit
  std::optional<int> retries = {};             ///< runs beyond the first of a lost or late task; none: the pool's
  std::size_t buffersize = 0;  ///< imap: items drawn and not yet yielded, at least a chunk; 0: 2 chunks per worker
  /// A file of results: those it has are not computed again, new ones are added. None if empty.
  std::filesystem::path checkpoint = {};
};

}  // namespace rankpool
