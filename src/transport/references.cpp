#include "transport/references.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include <rankpool/errors.hpp>

namespace rankpool::transport {

References::References(int ranks) : sent_(static_cast<std::size_t>(ranks)) {}

SegmentReference References::add(int to, link::Slice slice) {
  SegmentReference reference;
  reference.segment_size = slice.segment->size();
  reference.offset = slice.offset;
  reference.length = slice.length;
  reference.token = ++last_token_;
  reference.fd = slice.segment->fd();
  sent_.at(static_cast<std::size_t>(to)).push_back({reference.token, std::move(slice)});
  ++open_;
  return reference;
}

void References::acknowledge(int from, std::uint64_t token) {
  auto& sent = sent_.at(static_cast<std::size_t>(from));
  if (sent.empty() || sent.front().token != token) {
    throw MpiError("rank " + std::to_string(from) + " acknowledged a segment that is not due (token " +
                   std::to_string(token) + "); do all ranks run the same build of the program?");
  }
  sent.pop_front();
  --open_;
}

void References::lose(int rank) {
  auto& sent = sent_.at(static_cast<std::size_t>(rank));
  open_ -= sent.size();
  sent.clear();
}

std::shared_ptr<link::Segment> open_reference(int source, int pid, const SegmentReference& reference) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(reference.fd);
  const auto fail = [&](const std::string& why, const char* advice) {
    throw MpiError("cannot open a segment of rank " + std::to_string(source) + " at " + path + ": " + why + "; " +
                   advice);
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    const bool too_many = error == EMFILE || error == ENFILE;
    fail(std::generic_category().message(error),
         too_many ? "raise the limit of open files (ulimit -n)" : "run with RANKPOOL_SEGMENTS=copy");
  }
  auto segment = std::make_shared<link::Segment>(fd, reference.segment_size);
  struct stat found {};
  // A mapping beyond the end of the file would end in SIGBUS at the first touch.
  if (::fstat(fd, &found) != 0 || found.st_size < 0 ||
      static_cast<std::uint64_t>(found.st_size) < reference.segment_size) {
    fail("it is shorter than announced", "do all ranks run the same build of the program?");
  }
  return segment;
}

}  // namespace rankpool::transport
