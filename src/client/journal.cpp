#include "client/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include <rankpool/errors.hpp>

namespace rankpool::client {
namespace {

std::string text_of(int error) { return std::generic_category().message(error); }

}  // namespace

JournalFile::JournalFile(const std::filesystem::path& file, const JournalIdentity& identity) : name_(file.string()) {
  try {
    open(file);
    lock();
    read(identity);
  } catch (...) {
    close();
    if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), mapped_);
    throw;
  }
}

JournalFile::~JournalFile() {
  close();
  if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), mapped_);
}

void JournalFile::refuse(const std::string& why) const { throw CheckpointError("checkpoint " + name_ + ": " + why); }

void JournalFile::refuse(const std::string& what, int error) const { refuse(what + ": " + text_of(error)); }

void JournalFile::open(const std::filesystem::path& file) {
  // not for waiting: the name may be that of a pipe
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
  if (fd_ < 0) {
    const int error = errno;
    const auto folder = file.parent_path();
    std::error_code ignored;
    if (error == EISDIR) refuse("this is a directory: give the name of a file in it");
    if (error == ENOENT && !folder.empty() && !std::filesystem::exists(folder, ignored))
      refuse("its directory " + folder.string() + " does not exist: make it first");
    refuse("it cannot be opened for reading and writing", error);
  }
  struct stat about {};
  if (::fstat(fd_, &about) != 0) refuse("it cannot be looked at", errno);
  if (!S_ISREG(about.st_mode)) refuse("this is no regular file: give the name of another");
}

/// Freed by the kernel when this process dies, however.
void JournalFile::lock() {
  int result = 0;
  do {
    result = ::flock(fd_, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno == EWOULDBLOCK)
    refuse("it is in use by another program, or by another map of this one: wait for that, or give another file");
  if (errno != ENOSYS && errno != ENOLCK && errno != EOPNOTSUPP) refuse("it cannot be locked", errno);
  std::fprintf(stderr,
               "rankpool: checkpoint %s: its file system has no locks (%s): take care that no two programs use it at a "
               "time\n",
               name_.c_str(), text_of(errno).c_str());
}

void JournalFile::read(const JournalIdentity& identity) {
  struct stat about {};
  if (::fstat(fd_, &about) != 0) refuse("it cannot be looked at", errno);
  mapped_ = static_cast<std::size_t>(about.st_size);
  if (mapped_ > 0) {
    void* const map = ::mmap(nullptr, mapped_, PROT_READ, MAP_SHARED, fd_, 0);
    if (map == MAP_FAILED) refuse("it cannot be read", errno);
    map_ = static_cast<const std::byte*>(map);
  }
  found_ = read_journal({map_, mapped_}, identity, name_);
  size_ = found_.good;
  tasks_ = found_.tasks;
  if (size_ < mapped_ && ::ftruncate(fd_, static_cast<off_t>(size_)) != 0)
    refuse("what was left half-way at its end cannot be cut off", errno);
  if (size_ > 0) return;
  const auto header = journal_header(identity);
  write_at(0, header, {});
  size_ = found_.good = header.size();
}

void JournalFile::write_at(std::uint64_t at, std::span<const std::byte> first, std::span<const std::byte> second) {
  std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(first.data()), first.size()},
                             iovec{const_cast<std::byte*>(second.data()), second.size()}};
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    const ssize_t written = ::pwritev(fd_, parts.data(), static_cast<int>(parts.size()), static_cast<off_t>(at));
    if (written <= 0) {
      const int error = written == 0 ? EIO : errno;
      if (error == EINTR) continue;
      roll_to(size_);
      refuse("it cannot be written: " + text_of(error) + "; it has the results of " + std::to_string(tasks_) +
             (tasks_ == 1 ? " task" : " tasks") + ", and a run with it computes the others again: make room first");
    }
    at += static_cast<std::uint64_t>(written);
    auto left = static_cast<std::size_t>(written);
    for (iovec& part : parts) {
      const std::size_t of_this = std::min(left, part.iov_len);
      part.iov_base = static_cast<std::byte*>(part.iov_base) + of_this;
      part.iov_len -= of_this;
      left -= of_this;
    }
  }
}

/// The end of the file. Should that fail too, the next one who reads it cuts it off.
void JournalFile::roll_to(std::uint64_t size) noexcept {
  if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(size)) != 0) return;
  size_ = size;
}

void JournalFile::add(std::uint64_t first, std::span<const std::uint64_t> hashes, std::span<const std::byte> results) {
  const std::vector<std::byte> record = journal_record(first, hashes, results);
  write_at(size_, record, results);
  size_ += record.size() + results.size();
  tasks_ += hashes.size();
}

void JournalFile::roll_back() noexcept {
  roll_to(found_.good);
  tasks_ = found_.tasks;
}

void JournalFile::sync() {
  if (fd_ >= 0 && ::fdatasync(fd_) != 0)
    refuse("all results were computed and written, but the disk did not take them for good", errno);
}

void JournalFile::close() noexcept {
  if (fd_ < 0) return;
  ::flock(fd_, LOCK_UN);  // which the mapping would keep
  ::close(std::exchange(fd_, -1));
}

}  // namespace rankpool::client
