#include "link/rank_page.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <string>
#include <utility>

#include "link/descriptors.hpp"

namespace rankpool::link {

RankPage RankPage::create() {
  UniqueFd fd = make_memfd("rankpool-page", sizeof(RankPageData));
  RankPage page;
  page.data_ = new (map_shared(fd.get(), sizeof(RankPageData), true)) RankPageData{};
  page.fd_ = fd.release();
  do {
    if (::getrandom(&page->magic, sizeof page->magic, 0) != sizeof page->magic) throw_errno("rankpool: getrandom");
  } while (page->magic == 0);
  return page;
}

RankPage RankPage::open_peer(int pid, int fd, std::uint64_t magic) noexcept {
  RankPage page;
  if (pid <= 0 || fd < 0) return page;
  try {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    // In another process namespace this can be anything: a terminal or a pipe must not be disturbed.
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat what {};
    if (!file || ::fstat(file.get(), &what) != 0 || !S_ISREG(what.st_mode) ||
        what.st_size != static_cast<off_t>(sizeof(RankPageData))) {
      return page;
    }
    page.data_ = reinterpret_cast<RankPageData*>(map_shared(file.get(), sizeof(RankPageData), true));
  } catch (...) {
    return page;
  }
  if (page->magic != magic) page = RankPage();
  return page;
}

RankPage::RankPage(RankPage&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), fd_(std::exchange(other.fd_, -1)) {}

RankPage& RankPage::operator=(RankPage&& other) noexcept {
  RankPage old(std::move(*this));
  data_ = std::exchange(other.data_, nullptr);
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

RankPage::~RankPage() {
  if (data_ != nullptr) ::munmap(data_, sizeof(RankPageData));
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace rankpool::link
