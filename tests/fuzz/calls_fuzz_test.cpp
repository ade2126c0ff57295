// Damaged calls end in an exception or in a harmless call, never in a crash, a wild jump or endless memory.
#include "calls.hpp"

#include <gtest/gtest.h>

#include "damage.hpp"

namespace fuzz {
namespace {

constexpr int rounds = 100'000;

TEST(CallFuzz, DamagedCalls) {
  Random random(seed);
  const std::vector<Bytes> messages = calls();
  long refused = 0;
  long ran = 0;
  for (int i = 0; i < rounds; ++i) {
    Bytes message = messages[static_cast<std::size_t>(i) % messages.size()];
    damage(message, random);
    const Bytes reply = rankpool::test::answer(message);
    (reply.at(0) == std::byte{0} ? ran : refused) += 1;
  }
  EXPECT_GT(refused, rounds / 4);
  EXPECT_GT(ran, 0) << "only arguments were changed";
  EXPECT_LT(largest_allocation(), most_allocated);
}

/// The undamaged ones are answered, one of them with an error: else the damage would be tried on nothing.
TEST(CallFuzz, SeedsAreWhole) {
  int errors = 0;
  for (const Bytes& message : calls()) errors += rankpool::test::answer(message).at(0) == std::byte{0} ? 0 : 1;
  EXPECT_EQ(errors, 1);
}

}  // namespace
}  // namespace fuzz
