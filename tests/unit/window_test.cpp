// Windows and the cells in them.
#include "link/window.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rankpool::link::Cell;
using rankpool::link::CellClock;
using rankpool::link::Owner;
using rankpool::link::SharedLock;
using rankpool::link::SharedSemaphore;
using rankpool::link::Window;

constexpr std::uint64_t magic = 0x1234;

std::int64_t used_blocks(const Window& window) {
  struct stat what {};
  ::fstat(window.fd(), &what);
  return what.st_blocks;
}

TEST(Window, IsOneMemoryForAllWhoMapIt) {
  const Window window = Window::create(magic);
  EXPECT_GE(window.size(), std::uint64_t{64} << 20);
  const Window all = Window::open(window.fd());
  ASSERT_EQ(all.size(), window.size());
  const Window cells = Window::open_peer(::getpid(), window.fd(), magic);
  ASSERT_TRUE(cells);
  window.cell(Window::head_bytes).depth = 7;
  EXPECT_EQ(all.cell(Window::head_bytes).depth, 7u);
  EXPECT_EQ(cells.cell(Window::head_bytes).depth, 7u);
  *all.at(window.size() - 1) = std::byte{3};
  EXPECT_EQ(*window.at(window.size() - 1), std::byte{3});
  EXPECT_FALSE(Window::open_peer(::getpid(), window.fd(), magic + 1));
  EXPECT_FALSE(Window::open_peer(::getpid(), 9999, magic));
  EXPECT_FALSE(Window::open_peer(-1, window.fd(), magic));
  EXPECT_FALSE(Window::open_peer(::getpid(), 0, magic));
}

TEST(Window, GivesLargePiecesBackToTheSystem) {
  const Window window = Window::create(magic);
  const std::uint64_t offset = window.cells_limit() + 64;
  constexpr std::uint64_t bytes = 8 << 20;
  const auto before = used_blocks(window);
  for (std::uint64_t i = 0; i < bytes; ++i) *window.at(offset + i) = std::byte{1};
  *window.at(offset - 1) = *window.at(offset + bytes) = std::byte{2};
  EXPECT_GT(used_blocks(window), before + 15'000);
  window.wipe(offset, bytes);
  EXPECT_LT(used_blocks(window), before + 100);
  for (std::uint64_t i = 0; i < bytes; i += 61) ASSERT_EQ(*window.at(offset + i), std::byte{0});
  EXPECT_EQ(*window.at(offset + bytes - 1), std::byte{0});
  EXPECT_EQ(*window.at(offset - 1), std::byte{2});
  EXPECT_EQ(*window.at(offset + bytes), std::byte{2});
}

TEST(SharedLock, KnowsItsOwner) {
  const Owner owner = SharedLock::owner(SharedLock::process(65'535, 0xffffff), 0x3fffff);
  EXPECT_EQ(SharedLock::rank_in(owner | SharedLock::flags), 65'535);
  EXPECT_EQ(SharedLock::link_in(owner | SharedLock::flags), 0xffffffu);
  EXPECT_EQ(SharedLock::thread_in(owner | SharedLock::flags), 0x3fffffu);
  EXPECT_EQ(SharedLock::owner_in(owner | SharedLock::flags), owner);
  EXPECT_EQ(SharedLock::owner(SharedLock::process(1, 2), 3),
            SharedLock::owner(SharedLock::process(1, 2 + (1u << 24)), 3 + (1u << 22)));
}

TEST(SharedLock, IsFreedFromTheDeadAndSaysSo) {
  Cell cell{};
  const Owner dead = SharedLock::owner(SharedLock::process(1, 2), 3);
  const Owner me = SharedLock::owner(SharedLock::process(1, 4), 1);
  ASSERT_TRUE(SharedLock::try_lock(cell, dead));
  EXPECT_FALSE(SharedLock::try_lock(cell, me));
  EXPECT_FALSE(SharedLock::sleep_and_lock(cell, me, CellClock::now() + 10ms));
  EXPECT_FALSE(SharedLock::unlock(cell, me));
  rankpool::link::clean_after(cell, SharedLock::process(2, 2));  // somebody else
  rankpool::link::clean_after(cell, SharedLock::process(1, 3));
  EXPECT_FALSE(SharedLock::try_lock(cell, me));
  rankpool::link::clean_after(cell, SharedLock::process(1, 2));
  ASSERT_TRUE(SharedLock::try_lock(cell, me));
  EXPECT_NE(cell.lock.load() & SharedLock::orphaned, 0u);
  EXPECT_TRUE(SharedLock::unlock(cell, me));
  ASSERT_TRUE(SharedLock::try_lock(cell, me));
  EXPECT_EQ(cell.lock.load() & SharedLock::orphaned, 0u);
}

TEST(SharedLock, IsFreedFromARankThatHasDied) {
  const Window window = Window::create(magic);
  window.set_cells_end(Window::head_bytes + 3 * sizeof(Cell));
  const auto cell = [&](std::uint64_t number) -> Cell& {
    return window.cell(Window::head_bytes + number * sizeof(Cell));
  };
  const Owner dead = SharedLock::owner(SharedLock::process(2, 5), 1);
  const Owner other = SharedLock::owner(SharedLock::process(1, 5), 1);
  ASSERT_TRUE(SharedLock::try_lock(cell(0), dead));
  ASSERT_TRUE(SharedLock::try_lock(cell(1), other));
  window.clean_cells_after_rank(2);
  EXPECT_EQ(cell(0).lock.load(), SharedLock::orphaned);
  EXPECT_EQ(cell(1).lock.load(), other);
  EXPECT_EQ(cell(2).lock.load(), 0u);
}

TEST(SharedLock, WakesThreadsOneAfterTheOther) {
  Cell cell{};
  long sum = 0;
  std::vector<std::thread> threads;
  for (std::uint32_t t = 1; t <= 4; ++t)
    threads.emplace_back([&, me = SharedLock::owner(SharedLock::process(0, 1), t)] {
      for (int i = 0; i < 2'000; ++i) {
        while (!SharedLock::sleep_and_lock(cell, me, CellClock::now() + 200ms)) {
        }
        ++sum;
        SharedLock::unlock(cell, me);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 8'000);
  EXPECT_EQ(cell.sleepers.load(), 0u);
}

TEST(SharedSemaphore, CountsUpToTheMost) {
  Cell cell{};
  EXPECT_FALSE(SharedSemaphore::try_acquire(cell));
  EXPECT_FALSE(SharedSemaphore::sleep_and_acquire(cell, CellClock::now() + 10ms));
  EXPECT_TRUE(SharedSemaphore::release(cell, 2, 3));
  EXPECT_FALSE(SharedSemaphore::release(cell, 2, 3));
  EXPECT_FALSE(SharedSemaphore::release(cell, 0xffff'ffff, 3));
  EXPECT_EQ(SharedSemaphore::value(cell), 2u);
  EXPECT_TRUE(SharedSemaphore::try_acquire(cell));
  EXPECT_TRUE(SharedSemaphore::sleep_and_acquire(cell, CellClock::now()));
  EXPECT_EQ(cell.semaphore.load(), 0u);
}

TEST(Cells, AreCleanedWhenAProcessWasKilledInItsSleep) {
  const Window window = Window::create(magic);
  Cell& lock = window.cell(Window::head_bytes);
  Cell& semaphore = window.cell(Window::head_bytes + sizeof(Cell));
  window.set_cells_end(Window::head_bytes + 2 * sizeof(Cell));
  const Owner me = SharedLock::owner(SharedLock::process(0, 1), 1);
  ASSERT_TRUE(SharedLock::try_lock(lock, me));
  std::vector<pid_t> children;
  for (int which = 0; which < 2; ++which) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    if (which == 0) SharedLock::sleep_and_lock(lock, SharedLock::process(0, 2), CellClock::now() + 1min);
    SharedSemaphore::sleep_and_acquire(semaphore, CellClock::now() + 1min);
    ::_exit(0);
  }
  while (lock.sleepers.load() == 0 || semaphore.semaphore.load() == 0) std::this_thread::sleep_for(1ms);
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  window.clean_cells_after(SharedLock::process(0, 2));
  EXPECT_TRUE(SharedLock::unlock(lock, me));
  EXPECT_TRUE(SharedLock::try_lock(lock, me));
  EXPECT_TRUE(SharedSemaphore::release(semaphore, 1, 1));
  EXPECT_TRUE(SharedSemaphore::try_acquire(semaphore));
}

}  // namespace
