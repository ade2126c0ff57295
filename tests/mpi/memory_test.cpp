// Ten million items go through imap without being held, and through map held little more than once.
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <ranges>
#include <string>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/sanitized.hpp"

namespace rp = rankpool;

namespace {

constexpr long count = support::sanitized ? 1'000'000 : 10'000'000;
/// KiB: what was freed lately, and what they know of every byte.
constexpr long of_sanitizers = support::sanitized ? 400 * 1024 : 0;

/// KiB, of a line of /proc/self/status.
long status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    long value = 0;
    if (word == name + ":" && file >> value) return value;
  }
  return -1;
}

long add_one(long x) { return x + 1; }

}  // namespace

TEST(Memory, of_imap_does_not_depend_on_the_length_of_its_input) {
  rp::Pool pool;
  pool.map(add_one, std::views::iota(0L, 1000L));  // the workers are there, and the code is in memory
  const long before = status("VmRSS");
  ASSERT_GT(before, 0);
  // not of known size, as if they were generated
  const auto up_to = [](long end) {
    return std::views::iota(0L) | std::views::take_while([end](long x) { return x < end; });
  };
  long sum = 0;
  for (const long result : pool.imap(add_one, up_to(count))) sum += result;
  EXPECT_EQ(sum, count / 2 * (count + 1));
  sum = 0;
  for (const long result : pool.imap_unordered(add_one, up_to(count / 10))) sum += result;
  EXPECT_EQ(sum, count / 20 * (count / 10 + 1));
  EXPECT_LE(status("VmHWM") - before, 16 * 1024 + of_sanitizers) << "KiB that the process has grown by";
}

// Input and output are there once each, and what is on its way to or from a worker.
TEST(Memory, of_map_is_at_most_twice_that_of_input_and_output) {
  rp::Pool pool;
  pool.map(add_one, std::views::iota(0L, 1000L));
  const long before = status("VmRSS");
  std::vector<int> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  const std::vector<int> results = pool.map([](int x) { return x + 1; }, numbers);
  EXPECT_EQ(results.back(), count);
  const long held = 2 * static_cast<long>(count * sizeof(int)) / 1024;
  EXPECT_LE(status("VmHWM") - before, 2 * held + of_sanitizers) << "KiB that the process has grown by";
}
