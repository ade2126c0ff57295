#include "link/ring.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "link/descriptors.hpp"

namespace {

using namespace rankpool::link;

constexpr std::size_t capacity = 64 * 1024;

/// The counters, then the ring's memory twice in a row.
class RingMemory {
 public:
  RingMemory() {
    constexpr std::size_t head = capacity;
    const UniqueFd fd = make_memfd("ring-test", head + capacity);
    void* at = ::mmap(nullptr, head + 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::runtime_error("mmap");
    base_ = static_cast<std::byte*>(at);
    map(base_, head + capacity, fd.get(), 0);
    map(base_ + head + capacity, capacity, fd.get(), static_cast<off_t>(head));
    counters_ = new (base_) RingCounters;
  }
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;
  ~RingMemory() { ::munmap(base_, 3 * capacity); }

  RingWriter writer() { return {counters_, base_ + capacity, capacity}; }
  RingReader reader() { return {counters_, base_ + capacity, capacity}; }
  RingCounters& counters() { return *counters_; }

 private:
  static void map(std::byte* at, std::size_t size, int fd, off_t offset) {
    if (::mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) == MAP_FAILED) {
      throw std::runtime_error("mmap");
    }
  }
  std::byte* base_ = nullptr;
  RingCounters* counters_ = nullptr;
};

/// Records of random sizes and bytes, the same for both sides.
class Records {
 public:
  std::vector<std::byte> next() {
    const std::uint32_t kind = static_cast<std::uint32_t>(random_() % 16);
    const std::size_t size = kind == 0 ? 1 + random_() % (capacity / 2) : 1 + random_() % 200;
    std::vector<std::byte> record(sizeof(std::uint64_t) + size);
    const std::uint64_t length = record.size();
    std::memcpy(record.data(), &length, sizeof length);
    const std::uint64_t seed = random_();
    for (std::size_t i = sizeof length; i < record.size(); ++i) record[i] = static_cast<std::byte>(seed + i * 131);
    return record;
  }

 private:
  std::mt19937_64 random_{7};
};

constexpr int records = 20'000;

void produce(RingWriter out) {
  Records source;
  for (int i = 0; i < records; ++i) {
    const auto record = source.next();
    std::byte* at = nullptr;
    while ((at = out.reserve(record.size())) == nullptr) std::this_thread::yield();
    std::memcpy(at, record.data(), record.size());
    out.commit(record.size());
  }
}

/// How many records came as they should.
int check(RingReader in) {
  Records expected;
  for (int i = 0; i < records; ++i) {
    const auto record = expected.next();
    while (in.readable() == 0) std::this_thread::yield();
    if (in.readable() < record.size() || reinterpret_cast<std::uintptr_t>(in.data()) % 8 != 0 ||
        std::memcmp(in.data(), record.data(), record.size()) != 0) {
      return i;
    }
    in.consume(record.size());
    if (i % 3 == 0 || !in.pending()) in.publish();
  }
  return records;
}

TEST(Ring, WrapsBetweenThreads) {
  RingMemory memory;
  std::thread producer([&] { produce(memory.writer()); });
  EXPECT_EQ(check(memory.reader()), records);
  producer.join();
}

TEST(Ring, WrapsBetweenProcesses) {
  RingMemory memory;
  const pid_t child = ::fork();
  if (child == 0) {
    produce(memory.writer());
    ::_exit(0);
  }
  EXPECT_EQ(check(memory.reader()), records);
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Ring, FillsToTheLastByteAndNoFurther) {
  RingMemory memory;
  RingWriter out = memory.writer();
  RingReader in = memory.reader();
  EXPECT_FALSE(in.pending());
  EXPECT_EQ(in.readable(), 0U);
  EXPECT_EQ(out.reserve(capacity + 1), nullptr);
  ASSERT_NE(out.reserve(capacity), nullptr);
  EXPECT_EQ(out.reserve(capacity), out.reserve(1));  // the same place until commit
  out.commit(capacity - 8);
  EXPECT_EQ(out.reserve(9), nullptr);
  ASSERT_NE(out.reserve(8), nullptr);
  out.commit(5);  // rounded up
  EXPECT_EQ(out.reserve(1), nullptr);
  EXPECT_EQ(in.readable(), capacity);

  in.consume(capacity - 8);
  EXPECT_EQ(out.reserve(1), nullptr);  // not yet published
  EXPECT_FALSE(in.publish());
  EXPECT_NE(out.reserve(capacity - 8), nullptr);
  EXPECT_EQ(out.reserve(capacity - 7), nullptr);
}

TEST(Ring, PublishTellsWhetherRoomIsWanted) {
  RingMemory memory;
  RingWriter out = memory.writer();
  RingReader in = memory.reader();
  ASSERT_NE(out.reserve(capacity), nullptr);
  out.commit(capacity);
  out.want_room();
  EXPECT_TRUE(out.room_wanted());
  EXPECT_FALSE(in.publish());  // nothing was consumed
  ASSERT_EQ(in.readable(), capacity);
  in.consume(16);
  EXPECT_TRUE(in.publish());
  EXPECT_FALSE(out.room_wanted());
  in.consume(16);
  EXPECT_FALSE(in.publish());  // asked once, told once
}

TEST(Ring, DamagedCountersDoNotReachOutside) {
  RingMemory memory;
  RingWriter out = memory.writer();
  RingReader in = memory.reader();
  ASSERT_NE(out.reserve(capacity), nullptr);
  out.commit(capacity);
  memory.counters().head = 1'000 * capacity;  // "freed" what was never written
  EXPECT_EQ(out.reserve(8), nullptr);
  memory.counters().tail = 3 * capacity;
  EXPECT_GT(in.readable(), capacity);  // what LinkEnd refuses
}

}  // namespace
