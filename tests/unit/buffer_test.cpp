#include <rankpool/detail/buffer.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "link/shared_memory.hpp"

namespace {

using rankpool::detail::Buffer;
namespace link_room = rankpool::link;

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

bool holds(const Buffer& buffer, const std::vector<std::byte>& bytes) {
  return buffer.size() == bytes.size() && std::memcmp(buffer.data(), bytes.data(), bytes.size()) == 0;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(Buffer, EmptyAtFirst) {
  const Buffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.descriptor(), -1);
}

TEST(Buffer, StaysOnTheHeapUpToTheThreshold) {
  Buffer buffer;
  const auto bytes = random_bytes(Buffer::segment_threshold, 1);
  buffer.append(bytes.data(), bytes.size());
  EXPECT_EQ(buffer.descriptor(), -1);
  EXPECT_TRUE(holds(buffer, bytes));
  EXPECT_EQ(buffer.release_descriptor(), -1);
  EXPECT_EQ(buffer.release_memory().map, nullptr);
  EXPECT_TRUE(holds(buffer, bytes));
}

TEST(Buffer, MovesToAMemfdBeyondTheThreshold) {
  Buffer buffer;
  auto bytes = random_bytes(Buffer::segment_threshold + 1, 2);
  for (const auto byte : bytes) buffer.append(&byte, 1);
  EXPECT_GE(buffer.descriptor(), 0);
  EXPECT_TRUE(holds(buffer, bytes));
}

TEST(Buffer, KeepsItsBytesThroughAppendsOfEverySize) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    Buffer buffer;
    std::vector<std::byte> expected;
    while (expected.size() < 3'000'000) {
      const std::size_t size = round % 2 == 0 ? random() % 300'000 : random() % 30'000;
      const auto piece = random_bytes(size, static_cast<unsigned>(random()));
      if (random() % 2 == 0) {
        buffer.append(piece.data(), piece.size());
      } else if (size != 0) {
        std::memcpy(buffer.extend(size), piece.data(), size);
      }
      expected.insert(expected.end(), piece.begin(), piece.end());
      if (random() % 8 == 0) {
        expected.resize(expected.size() - std::min<std::size_t>(expected.size(), random() % 20'000));
        buffer.truncate(expected.size());
      }
    }
    ASSERT_TRUE(holds(buffer, expected)) << "round " << round;
  }
}

TEST(Buffer, ClearAndTruncateKeepTheCapacity) {
  Buffer buffer;
  const auto bytes = random_bytes(1 << 20, 4);
  buffer.append(bytes.data(), bytes.size());
  const std::byte* const at = buffer.data();
  buffer.truncate(100);
  EXPECT_EQ(buffer.size(), 100U);
  EXPECT_EQ(std::memcmp(buffer.data(), bytes.data(), 100), 0);
  buffer.clear();
  EXPECT_TRUE(buffer.empty());
  buffer.append(bytes.data(), bytes.size());
  EXPECT_EQ(buffer.data(), at);
  EXPECT_TRUE(holds(buffer, bytes));
}

TEST(Buffer, MoveLeavesTheSourceEmpty) {
  const auto bytes = random_bytes(200'000, 5);
  Buffer first;
  first.append(bytes.data(), bytes.size());
  Buffer second(std::move(first));
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(first.descriptor(), -1);
  EXPECT_TRUE(holds(second, bytes));
  first = std::move(second);
  EXPECT_TRUE(holds(first, bytes));
  EXPECT_TRUE(second.empty());
}

TEST(Buffer, HandsOverADescriptorThatHoldsTheBytes) {
  const auto bytes = random_bytes(300'000, 6);
  Buffer buffer;
  buffer.append(bytes.data(), bytes.size());
  const int fd = buffer.release_descriptor();
  ASSERT_GE(fd, 0);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.descriptor(), -1);
  struct stat file {};
  ASSERT_EQ(::fstat(fd, &file), 0);
  EXPECT_GE(file.st_size, static_cast<off_t>(bytes.size()));
  std::vector<std::byte> read(bytes.size());
  EXPECT_EQ(::pread(fd, read.data(), read.size(), 0), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, bytes);
  ::close(fd);
  buffer.append(bytes.data(), 10);  // of use again
  EXPECT_EQ(std::memcmp(buffer.data(), bytes.data(), 10), 0);
}

TEST(Buffer, ImpossibleSizesThrowAndChangeNothing) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{100'000}}) {
    const auto bytes = random_bytes(size, 7);
    Buffer buffer;
    buffer.append(bytes.data(), bytes.size());
    EXPECT_THROW(buffer.extend(std::numeric_limits<std::size_t>::max() - 50), std::bad_alloc);
    EXPECT_THROW(buffer.extend(std::numeric_limits<std::size_t>::max() / 2), std::bad_alloc);
    EXPECT_TRUE(holds(buffer, bytes));
  }
}

TEST(Buffer, UsesItsMemoryAgain) {
  link_room::discard_kept_memory();
  const auto bytes = random_bytes(1 << 20, 8);
  ino_t first = 0;
  {
    Buffer buffer;
    buffer.append(bytes.data(), bytes.size());
    struct stat file {};
    ASSERT_EQ(::fstat(buffer.descriptor(), &file), 0);
    first = file.st_ino;
  }
  Buffer buffer;
  buffer.append(bytes.data(), bytes.size());
  struct stat file {};
  ASSERT_EQ(::fstat(buffer.descriptor(), &file), 0);
  EXPECT_EQ(file.st_ino, first);
  EXPECT_TRUE(holds(buffer, bytes));
}

TEST(Buffer, LeaksNoDescriptor) {
  link_room::discard_kept_memory();
  const std::size_t before = open_descriptors();
  const auto bytes = random_bytes(100'000, 9);
  for (int i = 0; i < 50; ++i) {
    Buffer buffer;
    for (int k = 0; k < 5; ++k) buffer.append(bytes.data(), bytes.size());
    if (i % 3 == 0) ::close(buffer.release_descriptor());
  }
  EXPECT_LE(open_descriptors(), before + 4);  // what is kept is bounded
  link_room::discard_kept_memory();
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
