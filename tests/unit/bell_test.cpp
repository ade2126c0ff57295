#include "link/bell.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <new>
#include <thread>

namespace {

using namespace std::chrono_literals;
using rankpool::link::Answered;
using rankpool::link::Bell;
using rankpool::link::Nanoseconds;
using Clock = std::chrono::steady_clock;

/// Long enough that a lost wake-up shows as a failure of `expect_prompt`, not as a hang.
constexpr auto lost = 3s;

template <class T>
T* shared() {
  void* at = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : new (at) T{};
}

struct PingPong {
  Bell ping;
  Bell pong;
  alignas(64) std::atomic<std::uint32_t> served{0};
  alignas(64) std::atomic<std::uint32_t> returned{0};
  alignas(64) std::atomic<std::uint32_t> late{0};
};

void await(Bell& bell, const std::atomic<std::uint32_t>& counter, std::uint32_t value,
           std::atomic<std::uint32_t>& late) {
  while (counter.load(std::memory_order_acquire) < value) {
    const auto start = Clock::now();
    bell.wait([&] { return counter.load(std::memory_order_acquire) >= value; }, lost);
    if (Clock::now() - start >= lost) ++late;
  }
}

void serve(PingPong& game, std::uint32_t rounds, bool remember) {
  Answered answered{0};
  for (std::uint32_t i = 1; i <= rounds; ++i) {
    game.served.store(i, std::memory_order_release);
    remember ? game.ping.ring(answered) : game.ping.ring();
    await(game.pong, game.returned, i, game.late);
  }
}

void give_back(PingPong& game, std::uint32_t rounds, bool remember) {
  Answered answered{0};
  for (std::uint32_t i = 1; i <= rounds; ++i) {
    await(game.ping, game.served, i, game.late);
    game.returned.store(i, std::memory_order_release);
    remember ? game.pong.ring(answered) : game.pong.ring();
  }
}

constexpr std::uint32_t rounds = 50'000;

TEST(Bell, PingPongBetweenThreadsLosesNoWakeUp) {
  PingPong game;
  std::thread other([&] { give_back(game, rounds, true); });
  serve(game, rounds, true);
  other.join();
  EXPECT_EQ(game.returned.load(), rounds);
  EXPECT_EQ(game.late.load(), 0U);
  EXPECT_FALSE(game.ping.has_sleeper());
}

TEST(Bell, PingPongBetweenProcessesLosesNoWakeUp) {
  for (const bool remember : {false, true}) {
    PingPong* game = shared<PingPong>();
    ASSERT_NE(game, nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      give_back(*game, rounds, remember);
      ::_exit(0);
    }
    serve(*game, rounds, remember);
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(game->returned.load(), rounds);
    EXPECT_EQ(game->late.load(), 0U);
    ::munmap(game, sizeof *game);
  }
}

// Each waiter waits for its own counter, so an answer meant for another must never be taken for its own.
TEST(Bell, ManySleepersAndManyRingers) {
  constexpr std::size_t pairs = 3;
  constexpr std::uint32_t steps = 5'000;
  Bell bell;
  std::atomic<std::uint32_t> late{0};
  std::array<std::atomic<std::uint32_t>, pairs> sent{};
  std::array<std::atomic<std::uint32_t>, pairs> seen{};
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p < pairs; ++p) {
    threads.emplace_back([&, p] {
      for (std::uint32_t i = 1; i <= steps; ++i) {
        await(bell, sent[p], i, late);
        seen[p].store(i, std::memory_order_release);
      }
    });
    threads.emplace_back([&, p] {
      Answered answered{0};
      for (std::uint32_t i = 1; i <= steps; ++i) {
        sent[p].store(i, std::memory_order_release);
        bell.ring(answered);
        if (i % 64 == 0) {
          while (seen[p].load(std::memory_order_acquire) < i) std::this_thread::yield();
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& count : seen) EXPECT_EQ(count.load(), steps);
  EXPECT_EQ(late.load(), 0U);
}

TEST(Bell, DoesNotSleepWithoutTimeOrWhenReady) {
  Bell bell;
  const auto start = Clock::now();
  int asked = 0;
  bell.wait([&] { return ++asked, false; }, 0ns);
  bell.wait([&] { return ++asked, false; }, -5s);
  EXPECT_EQ(asked, 0);
  bell.wait([] { return true; }, Nanoseconds::max());
  EXPECT_LT(Clock::now() - start, 2s);
}

TEST(Bell, TimeoutEndsTheSleep) {
  Bell bell;
  const auto start = Clock::now();
  bell.wait([] { return false; }, 20ms);
  EXPECT_GE(Clock::now() - start, 19ms);
  EXPECT_FALSE(bell.has_sleeper());
}

TEST(Bell, LongestTimeoutDoesNotOverflow) {
  Bell bell;
  std::atomic<bool> woken{false};
  std::thread sleeper([&] {
    while (!woken) bell.wait([&] { return woken.load(); }, Nanoseconds::max());
  });
  while (!bell.has_sleeper()) std::this_thread::yield();
  std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(bell.has_sleeper());  // an overflow would make the sleep end at once, again and again
  woken = true;
  bell.ring();
  sleeper.join();
}

TEST(Bell, LeavesTheBellWhenReadyThrows) {
  Bell bell;
  EXPECT_THROW(bell.wait([]() -> bool { throw 1; }, 1s), int);
  EXPECT_FALSE(bell.has_sleeper());
}

TEST(Bell, KilledSleeperHarmsNobody) {
  PingPong* game = shared<PingPong>();
  ASSERT_NE(game, nullptr);
  const pid_t sleeper = ::fork();
  if (sleeper == 0) {
    for (;;) game->ping.wait([] { return false; }, 10s);
  }
  while (!game->ping.has_sleeper()) std::this_thread::yield();
  ::kill(sleeper, SIGKILL);
  ::waitpid(sleeper, nullptr, 0);
  EXPECT_TRUE(game->ping.has_sleeper());  // its announcement stays

  std::thread other([&] { give_back(*game, 2'000, true); });
  serve(*game, 2'000, true);
  other.join();
  EXPECT_EQ(game->late.load(), 0U);
  ::munmap(game, sizeof *game);
}

}  // namespace
