#include "link/segment.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "link/descriptors.hpp"

namespace {

using namespace rankpool::link;
using rankpool::detail::Buffer;

Buffer filled(std::size_t size, int value) {
  Buffer buffer;
  std::memset(buffer.extend(size), value, size);
  return buffer;
}

bool all_are(std::span<const std::byte> bytes, int value) {
  for (const auto byte : bytes) {
    if (byte != static_cast<std::byte>(value)) return false;
  }
  return true;
}

ino_t inode(int fd) {
  struct stat file {};
  return ::fstat(fd, &file) == 0 ? file.st_ino : 0;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class SegmentTest : public testing::Test {
 protected:
  void SetUp() override {
    discard_kept_memory();
    before_ = open_descriptors();
  }
  void TearDown() override {
    discard_kept_memory();
    EXPECT_EQ(open_descriptors(), before_) << "descriptors leaked";
  }

 private:
  std::size_t before_ = 0;
};

TEST_F(SegmentTest, SmallBufferIsNoSlice) {
  Buffer buffer = filled(1000, 1);
  EXPECT_FALSE(take_slice(buffer));
  EXPECT_EQ(buffer.size(), 1000U);
}

TEST_F(SegmentTest, SliceOfABuffer) {
  Buffer buffer = filled(200'000, 2);
  const Slice slice = take_slice(buffer);
  ASSERT_TRUE(slice);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(slice.segment->size(), 200'000U);
  EXPECT_EQ(slice.length, 200'000U);
  EXPECT_TRUE(all_are(slice.bytes(), 2));
}

TEST_F(SegmentTest, ReceiverMapsReadOnly) {
  Buffer buffer = filled(200'000, 3);
  const Slice sent = take_slice(buffer);
  auto received = std::make_shared<Segment>(::dup(sent.segment->fd()), sent.segment->size());
  EXPECT_EQ(received->writable_data(), nullptr);
  const Slice part{received, 1000, 50'000};
  EXPECT_EQ(part.bytes().size(), 50'000U);
  EXPECT_TRUE(all_are(part.bytes(), 3));
  const std::byte value{9};
  EXPECT_EQ(::pwrite(received->fd(), &value, 1, 0), -1);  // the receiver of a payload cannot change it
}

TEST_F(SegmentTest, CreateIsWritable) {
  const auto segment = Segment::create(100'000);
  ASSERT_NE(segment->writable_data(), nullptr);
  std::memset(segment->writable_data(), 4, segment->size());
  EXPECT_EQ(segment->data(), segment->writable_data());
  const auto received = std::make_shared<Segment>(::dup(segment->fd()), segment->size());
  EXPECT_TRUE(all_are({received->data(), received->size()}, 4));
}

TEST_F(SegmentTest, MemoryIsUsedAgainOnlyAfterTheLastReceiver) {
  Buffer buffer = filled(200'000, 5);
  Slice sent = take_slice(buffer);
  const ino_t first = inode(sent.segment->fd());

  // A descriptor, a mapping, and a descriptor under way each hold it.
  UniqueFd held(::dup(sent.segment->fd()));
  sent = {};
  EXPECT_NE(inode(filled(200'000, 6).descriptor()), first);

  std::byte* map = map_shared(held.get(), 200'000, false);
  held = UniqueFd();
  EXPECT_NE(inode(filled(200'000, 6).descriptor()), first);
  EXPECT_TRUE(all_are({map, 200'000}, 5));

  {
    auto [here, there] = make_socket_pair();
    Buffer other = filled(200'000, 7);
    Slice travelling = take_slice(other);
    const ino_t second = inode(travelling.segment->fd());
    const int fd = travelling.segment->fd();
    const std::byte message{1};
    ASSERT_EQ(send_message(here.get(), {&message, 1}, {&fd, 1}), Sent::yes);
    travelling = {};
    const Buffer busy = filled(200'000, 8);
    EXPECT_NE(inode(busy.descriptor()), second);
    EXPECT_NE(inode(busy.descriptor()), first);
  }

  ::munmap(map, 200'000);
}

TEST_F(SegmentTest, MemoryComesBackWhenNobodyHasIt) {
  Buffer buffer = filled(200'000, 5);
  Slice sent = take_slice(buffer);
  const ino_t first = inode(sent.segment->fd());
  UniqueFd held(::dup(sent.segment->fd()));
  sent = {};
  ASSERT_NE(inode(filled(200'000, 6).descriptor()), first);
  discard(take_memory(1));  // the piece of the line before: the other one is still held
  held = UniqueFd();
  EXPECT_EQ(inode(filled(200'000, 6).descriptor()), first);
}

TEST_F(SegmentTest, KilledReceiverGivesTheMemoryBack) {
  Buffer buffer = filled(200'000, 5);
  Slice sent = take_slice(buffer);
  const ino_t first = inode(sent.segment->fd());
  auto [here, there] = make_socket_pair();
  const pid_t receiver = ::fork();
  if (receiver == 0) {
    const Slice slice{std::make_shared<Segment>(::dup(sent.segment->fd()), sent.segment->size()), 0, 1};
    const std::byte ready = slice.bytes()[0];
    send_message(there.get(), {&ready, 1});
    for (;;) ::pause();
  }
  sent = {};
  std::byte ready{};
  while (receive_message(here.get(), {&ready, 1}) == Received::empty) ::usleep(1000);
  EXPECT_EQ(ready, std::byte{5});
  {
    const Buffer other = filled(200'000, 6);
    EXPECT_NE(inode(other.descriptor()), first);
    ::kill(receiver, SIGKILL);
    ::waitpid(receiver, nullptr, 0);
    EXPECT_EQ(inode(filled(200'000, 6).descriptor()), first);
  }
}

TEST_F(SegmentTest, ForkedProcessDoesNotWriteIntoItsParentsMemory) {
  { const Buffer kept = filled(200'000, 5); }
  const pid_t child = ::fork();
  if (child == 0) {
    const Buffer mine = filled(200'000, 9);
    ::_exit(all_are({mine.data(), mine.size()}, 9) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  SharedMemory memory = take_memory(200'000);
  EXPECT_TRUE(all_are({memory.map, 200'000}, 5));
  discard(memory);
}

TEST_F(SegmentTest, KeepsOnlyAFewPieces) {
  constexpr std::size_t sent = 40;
  constexpr std::size_t kept = 20;
  std::vector<Slice> slices;
  for (std::size_t i = 0; i < sent; ++i) {
    Buffer buffer = filled(4 << 20, static_cast<int>(i));
    slices.push_back(take_slice(buffer));
  }
  for (std::size_t i = 0; i < sent; ++i) EXPECT_TRUE(all_are(slices[i].bytes().first(4096), static_cast<int>(i)));
  const std::size_t with_all = open_descriptors();  // two for each
  slices.clear();
  EXPECT_LE(open_descriptors(), with_all - 2 * sent + kept);
  discard_kept_memory();
  EXPECT_EQ(open_descriptors(), with_all - 2 * sent);
}

TEST_F(SegmentTest, ASliceIsMappedAloneAndTheRestOnlyWhenAskedFor) {
  Buffer buffer = filled(1 << 20, 3);
  buffer.data()[500'000] = std::byte{7};
  const Slice sent = take_slice(buffer);
  const Slice received{std::make_shared<Segment>(::dup(sent.segment->fd()), sent.segment->size()), 499'999, 3};
  const std::span<const std::byte> part = received.bytes();
  EXPECT_EQ(part[0], std::byte{3});
  EXPECT_EQ(part[1], std::byte{7});
  EXPECT_EQ(part[2], std::byte{3});
  EXPECT_EQ(received.segment->view(500'000, 1).data(), part.data() + 1);  // inside what is mapped
  EXPECT_TRUE(all_are(received.segment->view(0, 500'000), 3));
  EXPECT_EQ(received.segment->view(500'000, 500'000)[0], std::byte{7});
  EXPECT_EQ(part[1], std::byte{7});  // still there
}

TEST_F(SegmentTest, EmptySegmentHasNoMapping) {
  Segment nothing(-1, 0);
  EXPECT_EQ(nothing.data(), nullptr);
}

TEST_F(SegmentTest, BadDescriptorThrows) {
  Segment bad(-1, 100);
  EXPECT_THROW(bad.data(), std::system_error);
}

}  // namespace
