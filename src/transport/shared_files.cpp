#include "transport/shared_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "transport/mpi_check.hpp"

namespace rankpool::transport {

namespace {

/// This job's, and no other's: nobody maps those.
std::set<std::string> mapped_files() {
  std::set<std::string> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path != std::string::npos && line.find("/vader_segment.", path) != std::string::npos) {
      files.insert(line.substr(path));
    }
  }
  return files;
}

}  // namespace

void SharedFiles::unlink(MPI_Comm comm) {
  const std::set<std::string> files = mapped_files();
  const char* const here = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  const char* const mine = std::getenv("OMPI_COMM_WORLD_LOCAL_RANK");
  const bool all_mapped =
      here != nullptr && mine != nullptr && files.size() == static_cast<std::size_t>(std::atoi(here));
  const int known = all_mapped ? 1 : 0;
  int everywhere = 0;
  check(MPI_Allreduce(&known, &everywhere, 1, MPI_INT, MPI_MIN, comm), "MPI_Allreduce");
  if (everywhere == 0) return;
  for (const std::string& file : files) {
    ::unlink(file.c_str());  // whoever comes first
    if (file.substr(file.rfind('.') + 1) == mine) own_ = file;
  }
}

void SharedFiles::restore() const {
  if (own_.empty()) return;
  const int fd = ::open(own_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
}

}  // namespace rankpool::transport
