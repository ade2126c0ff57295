// The semaphore at its home.
#include "objects/semaphore.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "../support/fake_home.hpp"
#include "link/cell.hpp"
#include "wire/bad_frame.hpp"

namespace {

using rankpool::link::Slice;
using rankpool::objects::Caller;
using rankpool::objects::Semaphore;
using rankpool::wire::bytes_of;
using rankpool::wire::Place;
using rankpool::wire::SemaphoreMake;
using rankpool::wire::SemaphoreOp;
using rankpool::wire::SemaphoreReceived;
using rankpool::wire::SemaphoreRelease;
using rankpool::wire::SemaphoreTaken;
using rankpool::wire::SemaphoreValue;
using rankpool::wire::Status;
using support::FakeHome;

class World {
 public:
  World(std::uint32_t value, std::uint32_t most) : semaphore_(1, bytes_of(SemaphoreMake{value, most})) {}

  Caller ask(int process, SemaphoreOp operation, std::span<const std::byte> body = {}) {
    const Caller caller{{process, 2}, 1, ++requests_};
    semaphore_.request(caller, static_cast<std::uint32_t>(operation), body, Slice{}, home_);
    return caller;
  }
  Status status(const Caller& caller) {
    const auto answer = home_.take(caller);
    return answer ? answer->status : Status::broken;
  }
  Status release(int process, std::uint32_t count) {
    return status(ask(process, SemaphoreOp::release, bytes_of(SemaphoreRelease{count})));
  }
  std::uint32_t value() { return home_.take(ask(9, SemaphoreOp::value))->as<SemaphoreValue>().value; }
  /// The caller says that it got it.
  void received(const Caller& caller) {
    ASSERT_EQ(status(ask(caller.process.rank, SemaphoreOp::received, bytes_of(SemaphoreReceived{caller.request}))),
              Status::ok);
  }
  void left(int process) { semaphore_.left({process, 2}, home_); }
  void withdraw(const Caller& caller) { semaphore_.withdraw(caller, home_); }
  FakeHome& home() { return home_; }
  Semaphore& semaphore() { return semaphore_; }

 private:
  FakeHome home_;
  Semaphore semaphore_;
  std::uint64_t requests_ = 0;
};

TEST(SemaphoreAtHome, CountsAndLetsInInOrder) {
  World world(1, 10);
  EXPECT_EQ(world.status(world.ask(1, SemaphoreOp::acquire)), Status::ok);
  EXPECT_EQ(world.status(world.ask(1, SemaphoreOp::try_acquire)), Status::no);
  const Caller first = world.ask(2, SemaphoreOp::acquire);
  const Caller second = world.ask(1, SemaphoreOp::acquire);
  EXPECT_EQ(world.release(3, 1), Status::ok);
  EXPECT_EQ(world.home().take(first)->as<SemaphoreTaken>().waited, 1u);
  EXPECT_FALSE(world.home().take(second));
  EXPECT_EQ(world.release(3, 3), Status::ok);
  EXPECT_EQ(world.status(second), Status::ok);
  EXPECT_EQ(world.value(), 2u);
  EXPECT_EQ(world.status(world.ask(1, SemaphoreOp::try_acquire)), Status::ok);
}

TEST(SemaphoreAtHome, RefusesMoreThanTheMost) {
  World world(2, 3);
  EXPECT_EQ(world.release(1, 2), Status::full);
  EXPECT_EQ(world.release(1, 0xffff'ffff), Status::full);
  EXPECT_EQ(world.release(1, 1), Status::ok);
  EXPECT_EQ(world.value(), 3u);
  EXPECT_THROW(World(4, 3), rankpool::wire::BadFrame);
}

TEST(SemaphoreAtHome, TakesBackWhatTheDeadNeverGot) {
  World world(0, 3);
  const Caller dead = world.ask(1, SemaphoreOp::acquire);
  const Caller next = world.ask(2, SemaphoreOp::acquire);
  world.release(3, 1);
  EXPECT_EQ(world.status(dead), Status::ok);  // it never reads this
  world.left(1);
  EXPECT_EQ(world.status(next), Status::ok);
  world.received(next);
  world.left(2);  // it knew
  EXPECT_EQ(world.value(), 0u);
}

TEST(SemaphoreAtHome, WritesItsValueIntoTheWindow) {
  World world(5, 7);
  const auto place = world.home().take(world.ask(1, SemaphoreOp::where))->as<Place>();
  const auto& cell = *reinterpret_cast<rankpool::link::Cell*>(world.home().at(place.cell));
  EXPECT_EQ(rankpool::link::SharedSemaphore::value(cell), 5u);
  world.semaphore().released(world.home());
  EXPECT_EQ(world.home().taken(), 0u);
}

/// Nothing is lost and nothing comes from nowhere.
TEST(SemaphoreAtHomeInAnyOrder, KeepsItsSum) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  World world(3, 1'000'000);
  std::uint64_t sum = 3;  // the value and what was given to those who have not said that they got it
  std::deque<Caller> waiting;
  std::vector<Caller> unconfirmed;
  const auto collect = [&] {  // grants, in order
    while (!waiting.empty()) {
      const auto answer = world.home().take(waiting.front());
      if (!answer) break;
      ASSERT_EQ(answer->status, Status::ok);
      unconfirmed.push_back(waiting.front());
      waiting.pop_front();
    }
    for (const Caller& caller : waiting) ASSERT_FALSE(world.home().take(caller));
  };
  for (int step = 0; step < 10'000; ++step) {
    const int process = static_cast<int>(random() % 4);
    switch (random() % 6) {
      case 0:
      case 1: {
        const Caller caller = world.ask(process, SemaphoreOp::acquire);
        if (world.home().take(caller)) {
          ASSERT_TRUE(waiting.empty());
          --sum;
        } else {
          waiting.push_back(caller);
        }
        break;
      }
      case 2: {
        const auto count = static_cast<std::uint32_t>(random() % 3 + 1);
        ASSERT_EQ(world.release(process, count), Status::ok);
        sum += count;
        break;
      }
      case 3: {
        if (unconfirmed.empty()) break;
        world.received(unconfirmed.back());
        unconfirmed.pop_back();
        --sum;
        break;
      }
      case 4: {
        if (waiting.empty()) break;
        const auto at = waiting.begin() + static_cast<std::ptrdiff_t>(random() % waiting.size());
        const Caller caller = *at;
        waiting.erase(at);
        world.withdraw(caller);
        ASSERT_EQ(world.status(caller), Status::withdrawn);
        break;
      }
      default: {
        if (random() % 4 != 0) break;
        const auto of_it = [&](const Caller& caller) { return caller.process.rank == process; };
        std::erase_if(waiting, of_it);
        std::erase_if(unconfirmed, of_it);
        world.left(process);
      }
    }
    collect();
    const std::uint32_t value = world.value();
    ASSERT_EQ(value + unconfirmed.size(), sum);
    ASSERT_TRUE(value == 0 || waiting.empty());
    ASSERT_EQ(world.home().answered_twice(), 0);
  }
}

}  // namespace
