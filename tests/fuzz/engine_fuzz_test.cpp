// Damaged frames end in BadFrame at the engine that they come to, or in nothing.
#include "engine.hpp"

#include <gtest/gtest.h>

namespace fuzz {
namespace {

constexpr int rounds = 12'000;

TEST(EngineFuzz, DamagedFrames) {
  run_damaged(engine_scripts(), rounds, decode_engine);
  EXPECT_LT(largest_allocation(), most_allocated);
}

/// The undamaged ones are served to their end: else the damage would be tried on nothing.
TEST(EngineFuzz, ScriptsAreWhole) {
  const std::vector<Bytes> scripts = engine_scripts();
  for (std::size_t i = 0; i < scripts.size(); ++i) EXPECT_NO_THROW(run_engine(scripts[i])) << "script " << i;
}

}  // namespace
}  // namespace fuzz
