// The count of an object's handles against what processes really have, whatever overtakes what.
#include "objects/lifetime.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <utility>
#include <vector>

using rankpool::objects::Lifetime;
using rankpool::wire::Address;

namespace {

constexpr std::size_t processes = 4;

Address address(std::size_t process) { return {static_cast<int>(process), 7}; }

/// Processes that hand handles of one object to each other. What each says to the home arrives in its order; what
/// different ones say, in any.
class World {
 public:
  explicit World(unsigned seed) : random_(seed) {
    lifetime_.hold(address(0), 1);  // the maker
    handles_[0] = 1;
  }

  void step() {
    const std::size_t process = pick(processes);
    switch (pick(4)) {
      case 0:  // a message with a handle in it; the sender has at least one of its own
        if (handles_[process] == 0) return;
        say(process, [this, pin = ++pins_] { lifetime_.pin(pin, 1); });
        under_way_.push_back(pins_);
        break;
      case 1:  // it arrives
        if (under_way_.empty()) return;
        std::swap(under_way_[pick(under_way_.size())], under_way_.back());
        if (handles_[process]++ == 0) say(process, [this, process] { lifetime_.hold(address(process), 1); });
        say(process, [this, pin = under_way_.back()] { lifetime_.pin(pin, -1); });
        under_way_.pop_back();
        break;
      case 2:  // a handle goes
        if (handles_[process] == 0) return;
        if (--handles_[process] == 0) say(process, [this, process] { lifetime_.drop(address(process)); });
        break;
      default:
        hear(process);
    }
  }

  void end() {
    while (!under_way_.empty() || heard_less()) step();
    for (std::size_t process = 0; process < processes; ++process) {
      if (handles_[process] > 0) say(process, [this, process] { lifetime_.drop(address(process)); });
      handles_[process] = 0;
      while (!said_[process].empty()) hear(process);
    }
    EXPECT_TRUE(lifetime_.over());
  }

 private:
  std::size_t pick(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_); }
  void say(std::size_t process, std::function<void()> what) { said_[process].push_back(std::move(what)); }
  void hear(std::size_t process) {
    if (said_[process].empty()) return;
    said_[process].front()();
    said_[process].pop_front();
    if (!lifetime_.over()) return;
    // the home would let the object go now
    EXPECT_TRUE(under_way_.empty());
    for (const int count : handles_) EXPECT_EQ(count, 0);
  }
  bool heard_less() const {
    for (const auto& queue : said_)
      if (!queue.empty()) return true;
    return false;
  }

  std::mt19937 random_;
  Lifetime lifetime_;
  std::array<int, processes> handles_{};
  std::uint64_t pins_ = 0;
  std::vector<std::uint64_t> under_way_;
  std::array<std::deque<std::function<void()>>, processes> said_;
};

TEST(Lifetime, is_over_exactly_when_no_handle_is_left) {
  for (unsigned seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (int i = 0; i < 60; ++i) world.step();
    world.end();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Lifetime, tells_when_the_last_hold_of_a_process_goes) {
  Lifetime lifetime;
  lifetime.hold(address(1), 10);
  lifetime.hold(address(2), 20);
  lifetime.hold(address(1), 11);
  EXPECT_EQ(lifetime.holders(), (std::vector<Address>{address(1), address(2)}));
  EXPECT_EQ(lifetime.note_token(address(1)), 11u);
  EXPECT_FALSE(lifetime.drop(address(1)));
  EXPECT_EQ(lifetime.note_token(address(1)), 11u);
  EXPECT_TRUE(lifetime.drop(address(1)));
  EXPECT_FALSE(lifetime.drop(address(1)));
  EXPECT_EQ(lifetime.note_token(address(1)), 0u);
  EXPECT_FALSE(lifetime.over());
  EXPECT_TRUE(lifetime.drop(address(2)));
  EXPECT_TRUE(lifetime.over());
}

}  // namespace
