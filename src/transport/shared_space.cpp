#include "transport/shared_space.hpp"

#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include <rankpool/errors.hpp>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; before, the kernel refuses it
#endif

namespace rankpool::transport {
namespace {

constexpr const char* place_variable = "OMPI_MCA_btl_vader_backing_directory";
constexpr const char* size_variable = "OMPI_MCA_btl_vader_segment_size";
constexpr std::uint64_t default_size = 4 * 1024 * 1024;
constexpr std::uint64_t page_of_it = 4096;  // what it takes besides
constexpr std::uint64_t mega = 1024 * 1024;

std::uint64_t number_in(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  std::uint64_t number = 0;
  if (text == nullptr || std::from_chars(text, text + std::strlen(text), number).ec != std::errc()) return otherwise;
  return number;
}

std::string place() {
  const char* const chosen = std::getenv(place_variable);
  return chosen != nullptr && *chosen != '\0' ? chosen : "/dev/shm";
}

std::string own_host() {
  std::array<char, 64> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

constexpr const char* advice = "make room there, or give the container more (docker run --shm-size)";

}  // namespace

void avoid_full_shared_space() {
  const std::uint64_t ranks = number_in("OMPI_COMM_WORLD_LOCAL_SIZE", 0);
  if (ranks < 2 || std::getenv("OMPI_MCA_btl") != nullptr) return;
  struct statvfs room {};
  if (::statvfs(place().c_str(), &room) != 0) return;
  const std::uint64_t there = std::uint64_t{room.f_bavail} * room.f_frsize;
  const std::uint64_t each = number_in(size_variable, default_size) + page_of_it;
  if (there / each >= ranks) return;
  ::setenv("OMPI_MCA_btl", "^vader", 0);
  // Open MPI would not use the loopback, and one host alone may have nothing else.
  const bool one_host = number_in("OMPI_COMM_WORLD_SIZE", 0) == ranks;
  if (one_host && std::getenv("OMPI_MCA_btl_tcp_if_exclude") == nullptr)
    ::setenv("OMPI_MCA_btl_tcp_if_include", "lo", 0);
  if (number_in("OMPI_COMM_WORLD_LOCAL_RANK", 0) != 0) return;
  std::fprintf(stderr,
               "rankpool: %s of host %s has %llu MiB left, and the %llu ranks there need %llu MiB: they use TCP among "
               "themselves, which is slower; %s\n",
               place().c_str(), own_host().c_str(), static_cast<unsigned long long>(there / mega),
               static_cast<unsigned long long>(ranks),
               static_cast<unsigned long long>((ranks * each + mega - 1) / mega), advice);
}

void take_shared_space(int rank) {
  // The name of the file ends with the number of the rank; those of other ranks may be mapped too.
  const std::string end = "." + std::to_string(rank);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/vader_segment.") == std::string::npos || !std::string_view(line).ends_with(end)) continue;
    std::uintptr_t begin = 0;
    std::uintptr_t behind = 0;
    const char* const text = line.c_str();
    const auto first = std::from_chars(text, text + line.size(), begin, 16);
    if (first.ec != std::errc() || *first.ptr != '-') continue;
    if (std::from_chars(first.ptr + 1, text + line.size(), behind, 16).ec != std::errc() || behind <= begin) continue;
    if (::madvise(reinterpret_cast<void*>(begin), behind - begin, MADV_POPULATE_WRITE) == 0) continue;
    if (errno == EFAULT || errno == ENOMEM || errno == ENOSPC)
      throw MpiError(place() + " of host " + own_host() + " is full, and rank " + std::to_string(rank) +
                     " needs some MiB there to talk to the others: " + advice);
  }
}

}  // namespace rankpool::transport
