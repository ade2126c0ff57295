// What the kernel knows of the processes of a test.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "scratch.hpp"

namespace support {

/// Every process: its parent and the letter of its state.
struct ProcessState {
  int parent = 0;
  char state = '?';
};

inline std::vector<int> all_pids() {
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(name.front())) != 0) pids.push_back(std::stoi(name));
  }
  return pids;
}

inline std::map<int, ProcessState> process_table() {
  std::map<int, ProcessState> table;
  for (const int pid : all_pids()) {
    const std::string stat = content_of("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(')');
    if (name_end == std::string::npos || name_end + 4 > stat.size()) continue;  // it has ended meanwhile
    table[pid] = {std::atoi(stat.c_str() + name_end + 4), stat[name_end + 2]};
  }
  return table;
}

/// Ended, or at least a zombie.
inline bool is_dead(int pid) {
  const auto table = process_table();
  const auto found = table.find(pid);
  return found == table.end() || found->second.state == 'Z' || found->second.state == 'X';
}

/// Every process of this job on this host below the launcher (or below this one if there is none).
inline std::set<int> job_processes() {
  const int root = std::getenv("OMPI_COMM_WORLD_RANK") != nullptr ? ::getppid() : ::getpid();
  const auto table = process_table();
  std::set<int> found;
  for (const auto& [pid, state] : table) {
    for (int up = pid; up > 1;) {
      const auto entry = table.find(up);
      if (entry == table.end()) break;
      up = entry->second.parent;
      if (up == root) {
        found.insert(pid);
        break;
      }
    }
  }
  return found;
}

/// Processes with this text in their environment; not those of other users.
inline std::vector<int> marked_processes(const std::string& mark) {
  std::vector<int> found;
  for (const int pid : all_pids())
    if (content_of("/proc/" + std::to_string(pid) + "/environ").find(mark) != std::string::npos) found.push_back(pid);
  return found;
}

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// The workers of the pool: maps until each of them has had a task.
inline std::set<int> worker_pids(rankpool::Pool& pool) {
  const auto nap = [](int) {
    ::usleep(2000);
    return static_cast<int>(::getpid());
  };
  const auto workers = static_cast<std::size_t>(pool.processes());
  std::set<int> pids;
  eventually([&] {
    for (const int pid : pool.map(nap, std::vector<int>(2 * workers), {.chunksize = 1})) pids.insert(pid);
    return pids.size() >= workers;
  });
  return pids;
}

}  // namespace support
