#include "link/rank_page.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "link/descriptors.hpp"

namespace {

using rankpool::link::make_memfd;
using rankpool::link::RankPage;
using rankpool::link::RankPageData;
using rankpool::link::UniqueFd;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(RankPage, NewPageIsZeroButForItsMagic) {
  const RankPage page = RankPage::create();
  ASSERT_TRUE(page);
  EXPECT_GE(page.fd(), 0);
  EXPECT_NE(page->magic, 0U);
  EXPECT_NE(page->magic, RankPage::create()->magic);
  EXPECT_EQ(page->zygote_events, 0U);
  EXPECT_EQ(page->busy_workers, 0);
}

TEST(RankPage, PeerSharesTheMemory) {
  const RankPage page = RankPage::create();
  const pid_t owner = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    const RankPage peer = RankPage::open_peer(owner, page.fd(), page->magic);
    if (!peer || &*peer == &*page) ::_exit(1);
    peer->busy_workers = 7;
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(page->busy_workers, 7);
}

TEST(RankPage, RefusesWhatIsNotThePage) {
  const RankPage page = RankPage::create();
  const int self = ::getpid();
  EXPECT_FALSE(RankPage::open_peer(self, page.fd(), page->magic + 1));
  EXPECT_FALSE(RankPage::open_peer(self, 9'999, page->magic));
  EXPECT_FALSE(RankPage::open_peer(self, -1, page->magic));
  EXPECT_FALSE(RankPage::open_peer(-1, page.fd(), page->magic));
  EXPECT_FALSE(RankPage::open_peer(0x3fffffff, page.fd(), page->magic));
  const UniqueFd short_file = make_memfd("short", sizeof(RankPageData) - 1);
  EXPECT_FALSE(RankPage::open_peer(self, short_file.get(), 0));
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  EXPECT_FALSE(RankPage::open_peer(self, pipe[0], 0));  // and does not hang
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(RankPage, MovesAndLeaksNothing) {
  const std::size_t before = open_descriptors();
  {
    RankPage page = RankPage::create();
    const std::uint64_t magic = page->magic;
    RankPage other(std::move(page));
    EXPECT_FALSE(page);
    page = std::move(other);
    EXPECT_FALSE(other);
    EXPECT_EQ(page->magic, magic);
    page = RankPage::create();
    const RankPage peer = RankPage::open_peer(::getpid(), page.fd(), page->magic);
    EXPECT_TRUE(peer);
    EXPECT_FALSE(RankPage::open_peer(::getpid(), page.fd(), magic));
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
