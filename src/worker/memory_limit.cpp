#include "worker/memory_limit.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <string>

namespace rankpool::worker {
namespace {

constexpr std::uint64_t least_room = std::uint64_t{1} << 20;  // what decoding a task and its first allocations may take
constexpr std::uint64_t least_stack = std::uint64_t{8} << 20;  // as it is nearly everywhere

/// Bytes that count; 0 if the kernel does not say.
std::uint64_t held_now() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmData:")) return std::stoull(line.substr(7)) * 1024;
  return 0;
}

std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

/// The stack of a task is not in RLIMIT_DATA; where it may grow without end, so would the process.
void bound_stack(std::uint64_t bytes) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return;
  limit.rlim_cur = std::max(bytes, least_stack);
  ::setrlimit(RLIMIT_STACK, &limit);
}

}  // namespace

void MemoryLimit::open(std::uint64_t bytes) {
  rlimit limit{};
  if (bytes == 0 || ::getrlimit(RLIMIT_DATA, &limit) != 0) return;
  const std::uint64_t held = held_now();
  if (bytes < held + least_room)
    throw std::invalid_argument("PoolOptions::memory_limit is " + std::to_string(bytes) + " bytes, but a worker has " +
                                mebibytes(held) + " already before its first task: allow it at least " +
                                mebibytes(held + least_room) + ", and what its tasks need");
  bytes_ = std::min<std::uint64_t>(bytes, limit.rlim_cur);
  highest_ = limit.rlim_cur;
  room_ = bytes_ - std::min(bytes_, held);
  bound_stack(bytes);
}

bool MemoryLimit::used_up() noexcept {
  if (bytes_ == 0) return false;
  set(bytes_);
  void* const block = ::mmap(nullptr, room_ / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  set(highest_);
  if (block == MAP_FAILED) return true;
  ::munmap(block, room_ / 2);
  return false;
}

void MemoryLimit::set(std::uint64_t soft) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_DATA, &limit) != 0) return;
  limit.rlim_cur = soft;
  ::setrlimit(RLIMIT_DATA, &limit);
}

}  // namespace rankpool::worker
