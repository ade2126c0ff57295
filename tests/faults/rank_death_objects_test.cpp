// Ranks that die with what has its home there, or with what they hold of others.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/losing_ranks.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::check;
using support::check_throws;
using support::eventually;
using support::expect_good;
using support::SmallProgram;
using support::survivor;

namespace {

int run(int argc, char** argv, void (*program)()) {
  return rp::run(argc, argv, [program] {
    program();
    std::cout << "the end" << std::endl;
    return 0;
  });
}

using Objects = std::tuple<rp::Queue<int>, rp::Lock, rp::RLock, rp::Semaphore, rp::Event, rp::Barrier, rp::Value<int>,
                           rp::Array<double>, rp::Shared<std::vector<int>>, rp::Connection>;

/// Makes them at its rank, holds the lock, and waits to be killed.
void make_objects(rp::Queue<Objects> out, rp::Queue<int> keep) {
  rp::Pool pool(1);
  auto [here, there] = rp::Pipe();
  rp::Lock lock;
  lock.lock();
  const rp::Event event;
  there.send(1);
  there.send(2);
  out.put(Objects(rp::Queue<int>(), lock, rp::RLock(), rp::Semaphore(0), event, rp::Barrier(2), rp::Value<int>(3),
                  rp::Array<double>(10), pool.share(std::vector<int>(1000, 7)), std::move(here)));
  keep.get();  // for ever
}

const SmallProgram homes("homes", [](int argc, char** argv) {
  return run(argc, argv, [] {
    const auto pids = support::engine_pids();
    rp::Queue<Objects> from;
    rp::Queue<int> keep;
    rp::Process maker(rp::ProcessOptions{.rank = 1}, make_objects, from, keep);
    maker.start();
    auto [queue, lock, recursive, semaphore, event, barrier, value, array, shared, pipe] = from.get();
    rp::Condition condition(recursive);
    check(value.load() == 3, "a value of another rank");
    check(pipe.recv<int>() == 1, "a message of its pipe");

    // Whoever waits is woken.
    std::map<std::string, std::future<void>> waiting;
    const auto wait = [&](const char* name, auto&& call) { waiting[name] = std::async(std::launch::async, call); };
    wait("Queue", [&] { queue.get(); });
    wait("Lock", [&] { lock.lock(); });
    wait("Semaphore", [&] { semaphore.acquire(); });
    wait("Event", [&] { event.wait(); });
    wait("Barrier", [&] { barrier.wait(); });
    wait("Queue once more", [&] { queue.get(1h); });
    auto ready = std::async(std::launch::async, [&] { return rp::wait_ready({&queue, &maker}); });
    std::this_thread::sleep_for(100ms);
    {
      const std::lock_guard guard(recursive);  // which is unlocked when its home is no more
      ::kill(pids.at(1), SIGKILL);
      for (auto& [name, call] : waiting) {
        check(call.wait_for(support::long_enough) == std::future_status::ready, "that a wait ends: " + name);
        check_throws<rp::RankLost>(name, " of rank 1 (host ", [&] { call.get(); });
      }
      check(!ready.get().empty(), "that a lost queue is ready");
    }
    // Whoever comes later is told at once.
    check_throws<rp::RankLost>("get", "Queue", [&] { queue.get(); });
    check_throws<rp::RankLost>("put", "Queue", [&] { queue.put(1); });
    check_throws<rp::RankLost>("qsize", "Queue", [&] { queue.qsize(); });
    check_throws<rp::RankLost>("lock", "Lock", [&] { lock.lock(); });
    check_throws<rp::RankLost>("try_lock", "RLock", [&] { static_cast<void>(recursive.try_lock()); });
    check_throws<rp::RankLost>("condition", "RLock", [&] { condition.lock(); });
    check_throws<rp::RankLost>("acquire", "Semaphore", [&] { semaphore.acquire(); });
    check_throws<rp::RankLost>("release", "Semaphore", [&] { semaphore.release(); });
    check_throws<rp::RankLost>("set", "Event", [&] { event.set(); });
    check_throws<rp::RankLost>("wait", "Barrier", [&] { barrier.wait(); });
    check_throws<rp::RankLost>("load", "Value", [&] { value.load(); });
    check_throws<rp::RankLost>("store", "Value", [&] { value.store(4); });
    check_throws<rp::RankLost>("element", "Array", [&] { static_cast<void>(array.get(3)); });
    check_throws<rp::RankLost>("share", "Shared", [&] { static_cast<void>(shared.get()); });
    check(rp::wait_ready({&queue}).size() == 1, "that it is ready at once");
    check(pipe.recv<int>() == 2, "a message that has come before");
    check_throws<rp::EndOfStream>("recv", "its home has died", [&] { pipe.recv<int>(); });
    check_throws<rp::BrokenPipe>("send", "its home has died", [&] { pipe.send(1); });
    pipe.close();
    check(maker.exitcode() == -SIGKILL || maker.join_for(support::long_enough), "the end of the maker");

    // Also processes that are started later, with handles in their arguments, and errors travel.
    rp::Pool pool;
    const auto get = [](rp::Queue<int> lost, int) { return lost.get(); };
    check_throws<rp::RankLost>("get in a task", "Queue",
                               [&] { pool.map(rp::partial(get, queue), std::vector<int>(3)); });
    rp::Process late([](rp::Lock lost) { lost.lock(); }, lock);
    late.start();
    late.join();
    check(late.exitcode() == 1, "a process that locks it");
  });
});

/// Holds and waits for things of others until it is killed.
void use_objects(rp::Lock lock, rp::Value<int> value, rp::Barrier barrier, rp::Queue<int> queue,
                 rp::Semaphore semaphore, rp::Connection pipe, rp::Event ready) {
  lock.lock();
  value.store(1);
  pipe.send(5);
  std::thread getter([queue]() mutable { queue.get(); });
  std::thread acquirer([semaphore] { semaphore.acquire(); });
  std::this_thread::sleep_for(50ms);
  ready.set();
  barrier.wait();
  getter.join();
  acquirer.join();
}

const SmallProgram guests("guests", [](int argc, char** argv) {
  return run(argc, argv, [] {
    const auto pids = support::engine_pids();
    rp::Lock lock;
    rp::Value<int> value(0);
    rp::Barrier barrier(3);
    rp::Queue<int> queue;
    rp::Semaphore semaphore(0);
    rp::Event ready;
    auto [here, there] = rp::Pipe();
    rp::Process user(rp::ProcessOptions{.rank = 1}, use_objects, lock, value, barrier, queue, semaphore,
                     std::move(there), ready);
    user.start();
    ready.wait();
    auto waits = std::async(std::launch::async, [&] { barrier.wait(); });
    check(eventually([&] { return barrier.n_waiting() == 2; }), "that two wait");
    check(!lock.try_lock(), "that it holds the lock");
    ::kill(pids.at(1), SIGKILL);
    check_throws<rp::BrokenBarrier>("a barrier", "", [&] { waits.get(); });
    check(lock.try_lock_for(support::long_enough), "that a lock is free again");
    check(lock.previous_owner_died(), "that its owner has died");
    lock.unlock();
    check(here.recv<int>() == 5, "what it had sent");
    check_throws<rp::EndOfStream>("its pipe", "closed", [&] { here.recv<int>(); });
    queue.put(1);
    check(queue.get(support::long_enough) == 1, "an item that it does not take any more");
    semaphore.release();
    check(semaphore.try_acquire_for(support::long_enough), "a semaphore that it does not take any more");
    user.join();
  });
});

/// Takes items and says which, until it is killed.
void consume(rp::Queue<long> items, rp::Queue<long> taken) {
  for (;;) taken.put(items.get());
}

const SmallProgram consumers("consumers", [](int argc, char** argv) {
  return run(argc, argv, [] {
    constexpr long n = 20'000;
    const auto pids = support::engine_pids();
    rp::Queue<long> items;
    rp::Queue<long> taken;
    rp::Process victim(rp::ProcessOptions{.daemon = true, .rank = 1}, consume, items, taken);
    victim.start();
    std::map<long, int> seen;
    for (long i = 0; i < n; ++i) items.put(i);
    for (int i = 0; i < 500; ++i) ++seen[taken.get()];
    ::kill(pids.at(1), SIGKILL);
    victim.join();
    for (;;) {
      const auto next = taken.try_get();
      if (!next) break;
      ++seen[*next];
    }
    rp::Process heir(rp::ProcessOptions{.daemon = true, .rank = 2}, consume, items, taken);
    heir.start();
    while (!seen.contains(n - 1)) ++seen[taken.get()];
    for (const auto& [item, times] : seen) check(times == 1, "an item that two have taken: " + std::to_string(item));
    // it may have taken some of which it could not say so any more
    check(n - static_cast<long>(seen.size()) <= 1000, "that the others are there: " + std::to_string(seen.size()));
  });
});

}  // namespace

TEST(RankDeathObjects, homes) { expect_good(support::start("homes", survivor(3))); }
TEST(RankDeathObjects, homes_without_windows) {
  expect_good(support::start("homes", survivor(3, {{"RANKPOOL_WINDOW", "messages"}})));
}
TEST(RankDeathObjects, guests) {
  for (int round = 0; round < 3; ++round) expect_good(support::start("guests", survivor(3)));
}
TEST(RankDeathObjects, guests_without_windows) {
  expect_good(support::start("guests", survivor(3, {{"RANKPOOL_WINDOW", "messages"}})));
}
TEST(RankDeathObjects, consumers) { expect_good(support::start("consumers", survivor(4))); }
