// Ten million items go through imap without being held.
#include <gtest/gtest.h>

#include <fstream>
#include <ranges>
#include <string>

#include <rankpool/rankpool.hpp>

namespace rp = rankpool;

namespace {

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

TEST(ImapMemory, does_not_depend_on_the_length_of_the_input) {
  constexpr long count = 10'000'000;
  rp::Pool pool;
  pool.map(add_one, std::views::iota(0L, 1000L));  // the workers are there, and the code is in memory
  const long before = status("VmRSS");
  ASSERT_GT(before, 0);
  long sum = 0;
  // not of known size, as if it were generated
  const auto input = std::views::iota(0L) | std::views::take_while([](long x) { return x < count / 2; });
  for (const long result : pool.imap(add_one, input)) sum += result;
  for (const long result : pool.imap_unordered(add_one, input)) sum += result;
  EXPECT_EQ(sum, count / 2 * (count / 2 + 1));
  EXPECT_LE(status("VmHWM") - before, 16 * 1024) << "KiB that the process has grown by";
}
