// Values of more than 2 GiB, which no single message of MPI carries, one after the other: at a time there are the value
// of the sender, the memory it travels in, and the value of the receiver; with the item of a map, which its caller has
// until the end, four of them.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

namespace rp = rankpool;

namespace {

using Huge = std::vector<std::uint64_t>;

constexpr std::uint64_t bytes = (std::uint64_t{1} << 31) + 4096 + 8;
constexpr std::uint64_t words = bytes / sizeof(std::uint64_t);

Huge make_huge(std::uint64_t seed) {
  Huge huge(words);
  for (std::uint64_t i = 0; i < words; ++i) huge[i] = (i + seed) * 0x9e3779b97f4a7c15u;
  return huge;
}

/// All of it counts.
std::uint64_t hash_of(const Huge& huge) {
  std::uint64_t hash = huge.size();
  for (const std::uint64_t word : huge) hash = (hash ^ word) * 0x100000001b3u;
  return hash;
}

Huge increased(Huge huge) {
  for (std::uint64_t& word : huge) ++word;
  return huge;
}

std::uint64_t expected_hash(std::uint64_t seed, std::uint64_t added) {
  std::uint64_t hash = words;
  for (std::uint64_t i = 0; i < words; ++i) hash = (hash ^ ((i + seed) * 0x9e3779b97f4a7c15u + added)) * 0x100000001b3u;
  return hash;
}

void take_from_queue(rp::Queue<Huge> queue, rp::Queue<std::uint64_t> answers) { answers.put(hash_of(queue.get())); }
void take_from_pipe(rp::Connection end, rp::Queue<std::uint64_t> answers) { answers.put(hash_of(end.recv<Huge>())); }

/// KiB, of a line of /proc/meminfo.
std::uint64_t memory(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    std::uint64_t value = 0;
    if (word == name + ":" && file >> value) return value;
  }
  return 0;
}

class HugePayload : public testing::Test {
 protected:
  void SetUp() override {
    // the test would end others, not itself
    ASSERT_GT(memory("MemAvailable"), 5 * bytes / 1024) << "KiB: too little memory on this host for four such values";
  }
};

}  // namespace

TEST_F(HugePayload, goes_and_comes_as_the_item_and_the_result_of_a_map) {
  rp::Pool pool(1);
  std::vector<Huge> results;
  {
    std::vector<Huge> items;
    items.push_back(make_huge(1));
    results = pool.map(increased, std::move(items));
  }
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(hash_of(results.front()), expected_hash(1, 1));
}

TEST_F(HugePayload, goes_through_a_queue_and_a_pipe) {
  rp::Queue<std::uint64_t> answers;
  {
    rp::Queue<Huge> queue;
    rp::Process reader(take_from_queue, queue, answers);
    reader.start();
    queue.put(make_huge(3));
    EXPECT_EQ(answers.get(), expected_hash(3, 0));
    reader.join();
  }
  auto [mine, theirs] = rp::Pipe();
  rp::Process reader(take_from_pipe, std::move(theirs), answers);
  reader.start();
  mine.send(make_huge(4));
  EXPECT_EQ(answers.get(), expected_hash(4, 0));
  reader.join();
}
