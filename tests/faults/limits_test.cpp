// The limits of the system: open files, processes, memory. What cannot be had is an error that names the limit; what
// can be done without is done without; and nobody waits for ever.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Ended;
using support::Failure;
using support::SmallProgram;
using support::square;
using support::StartOptions;

namespace {

void set_limit(__rlimit_resource what, rlim_t soft, rlim_t hard) {
  const rlimit limit{soft, hard};
  if (::setrlimit(what, &limit) != 0) throw std::system_error(errno, std::generic_category(), "setrlimit");
}

/// A program whose ranks all have a limit from their beginning; it prints what it has to say.
template <class Program>
int run_limited(int argc, char** argv, __rlimit_resource what, rlim_t limit, Program program) {
  set_limit(what, limit, limit);
  return rp::run(argc, argv, [&] {
    program();
    return 0;
  });
}

void say(const Failure& failure) { std::cout << failure << std::endl; }
bool pool_works(int workers) {
  rp::Pool pool(workers);
  const std::vector<long> all = pool.map(square, std::views::iota(0L, 100L));
  return std::accumulate(all.begin(), all.end(), 0L) == 328'350;
}

bool says(const Ended& ended, const std::string& part) { return ended.out.find(part) != std::string::npos; }

// ---- open files

std::string repeat(const std::string& text) { return text + text; }

/// Payloads that travel in files of their own, far more than may be open: in one map, in many calls whose results are
/// not taken for a while, and in a queue.
void send_medium_payloads() {
  const std::string text(40'000, 'x');
  const std::string twice = repeat(text);
  constexpr int count = 500;
  rp::Pool pool(2);
  const std::vector<std::string> texts(count, text);
  for (const std::size_t chunksize : {0u, 1u})
    if (pool.map(repeat, texts, {.chunksize = chunksize}) != std::vector<std::string>(count, twice))
      throw std::runtime_error("a map has lost something");
  std::vector<rp::AsyncResult<std::string>> calls;
  for (int i = 0; i < count; ++i) calls.push_back(pool.apply_async(repeat, text));
  std::this_thread::sleep_for(100ms);
  for (auto& call : calls)
    if (call.get() != twice) throw std::runtime_error("a call has lost something");
  rp::Queue<std::string> queue;
  for (int i = 0; i < count; ++i) queue.put(text);
  for (int i = 0; i < count; ++i)
    if (queue.get() != text) throw std::runtime_error("a queue has lost something");
  auto dict = rp::Manager().dict<int, std::string>();
  const std::string large(300'000, 'x');
  for (int i = 0; i < 60; ++i) dict.set(i, large);
  for (int i = 0; i < 60; ++i)
    if (dict.get(i) != large) throw std::runtime_error("a dict has lost something");
  std::cout << "all there" << std::endl;
}

const SmallProgram medium_payloads("medium_payloads", [](int argc, char** argv) {
  return run_limited(argc, argv, RLIMIT_NOFILE, 64, send_medium_payloads);
});

/// More workers than there can be; with fewer it works afterwards.
const SmallProgram many_workers("many_workers", [](int argc, char** argv) {
  return run_limited(argc, argv, RLIMIT_NOFILE, 48, [] {
    for (int i = 0; i < 3; ++i) {
      rp::Pool pool(200);
      say(Failure([&] { pool.map(square, std::views::iota(0L, 10'000L)); }));
    }
    std::vector<rp::Process> processes;
    say(Failure([&] {
      for (int i = 0; i < 200; ++i)
        processes.emplace_back(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0).start();
    }));
    for (rp::Process& process : processes)
      if (process.pid() != 0) process.kill();
    for (rp::Process& process : processes)
      if (process.pid() != 0) process.join();
    std::cout << (pool_works(2) ? "two work" : "two do not work") << std::endl;
  });
});

/// So few that not even this can be: it depends on the start who notices, and where.
const SmallProgram hardly_any("hardly_any", [](int argc, char** argv) {
  set_limit(RLIMIT_NOFILE, 8, 8);
  return rp::run(argc, argv, [] {
    say(Failure([] { pool_works(2); }));
    return 5;
  });
});

/// The main program has used up all descriptors: it hears of that in its own calls, and goes on when it has given some
/// back.
const SmallProgram greedy_main("greedy_main", [](int argc, char** argv) {
  return run_limited(argc, argv, RLIMIT_NOFILE, 64, [] {
    rp::Pool pool(2);
    pool.map(square, std::views::iota(0L, 100L));
    std::vector<int> taken;
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken.push_back(fd);
    say(Failure([&] { pool.apply(repeat, std::string(100'000, 'x')); }));
    const long small = pool.apply(square, 12L);
    for (const int fd : taken) ::close(fd);
    const std::string twice = pool.apply(repeat, std::string(100'000, 'x'));
    std::cout << small << " and " << twice.size() << std::endl;
  });
});

// ---- processes

/// The limit does not bind root. A number that nobody else has, so that only this program's processes count.
bool become_nobody() {
  if (::geteuid() != 0) return false;
  const auto id = static_cast<uid_t>(2'000'000 + ::getpid());
  return ::setgroups(0, nullptr) == 0 && ::setgid(id) == 0 && ::setuid(id) == 0;
}

int zygote() {
  for (const auto& [pid, state] : support::process_table())
    if (state.parent == ::getpid() &&
        support::content_of("/proc/" + std::to_string(pid) + "/comm") == "rankpool-zygote\n")
      return pid;
  throw std::runtime_error("there is no zygote");
}

void use_few_processes(rlim_t count) {
  rp::Pool first(2);
  first.map(square, std::views::iota(0L, 100L));
  {
    rp::Pool pool(static_cast<int>(count) + 4);
    say(Failure([&] { pool.map(square, std::views::iota(0L, 10'000L)); }));
    say(Failure([&] { pool.apply(square, 2L); }));
  }
  std::vector<rp::Process> processes;
  say(Failure([&] {
    for (rlim_t i = 0; i < count + 4; ++i)
      processes.emplace_back(rp::ProcessOptions{.daemon = true}, support::sleep_for_ever, 0).start();
  }));
  std::cout << first.apply(square, 12L) << " by a pool that was there before" << std::endl;
  for (rp::Process& process : processes)
    if (process.pid() != 0) process.kill();
  for (rp::Process& process : processes)
    if (process.pid() != 0) process.join();
  rlimit free{};
  ::getrlimit(RLIMIT_NPROC, &free);
  free.rlim_cur = free.rlim_max;
  if (::prlimit(zygote(), RLIMIT_NPROC, &free, nullptr) != 0)
    throw std::system_error(errno, std::generic_category(), "prlimit");
  std::cout << (pool_works(static_cast<int>(count) + 4) ? "all work now" : "they do not work") << std::endl;
}

/// Root alone can have a user of its own for this; for others there may be processes that come and go.
const SmallProgram few_processes("few_processes", [](int argc, char** argv) {
  constexpr rlim_t count = 8;  // main program and its two threads, zygote, workers
  if (!become_nobody()) {
    std::cout << "not root" << std::endl;
    return 0;
  }
  rlimit before{};
  ::getrlimit(RLIMIT_NPROC, &before);
  set_limit(RLIMIT_NPROC, count, before.rlim_max);
  return rp::run(argc, argv, [] {
    use_few_processes(count);
    return 0;
  });
});

template <rlim_t count>
int start_with(int argc, char** argv) {
  if (!become_nobody()) {
    std::cout << "not root" << std::endl;
    return 1;
  }
  set_limit(RLIMIT_NPROC, count, count);
  return rp::run(argc, argv, [] { return 0; });
}
const SmallProgram no_second_process("no_second_process", start_with<1>);
const SmallProgram no_thread("no_thread", start_with<2>);

// ---- memory

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they reserve far more than any limit
/// Address space for small things only.
const SmallProgram little_memory("little_memory", [](int argc, char** argv) {
  return run_limited(argc, argv, RLIMIT_AS, 700ull << 20, [] {
    rp::Pool pool(2);
    const auto size_of = [](const std::string& text) { return text.size(); };
    const std::string text(300 << 20, 'x');
    say(Failure([&] { pool.apply(size_of, text); }));
    std::cout << pool.apply(size_of, std::string(1 << 20, 'x')) << " bytes are possible" << std::endl;
  });
});
#endif

std::vector<StartOptions> starts() { return support::every_start(); }

}  // namespace

TEST(OpenFiles, medium_payloads_need_not_be_open_all_at_once) {
  for (const StartOptions& start : starts()) {
    const Ended ended = support::start("medium_payloads", start);
    EXPECT_EQ(ended.status, 0) << ended;
    EXPECT_TRUE(says(ended, "all there")) << ended;
    EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
  }
}

TEST(OpenFiles, too_many_workers_are_an_error) {
  for (const StartOptions& start : starts()) {
    const Ended ended = support::start("many_workers", start);
    EXPECT_EQ(ended.status, 0) << ended;
    EXPECT_TRUE(says(ended, "cannot start a worker process: raise the limit on open files (ulimit -n)")) << ended;
    EXPECT_TRUE(says(ended, "cannot start Process-")) << ended;
    EXPECT_TRUE(says(ended, "two work")) << ended;
    EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
  }
}

TEST(OpenFiles, hardly_any_is_an_error) {
  for (const StartOptions& start : starts()) {
    const Ended ended = support::start("hardly_any", start);
    EXPECT_NE(ended.status, 0) << ended;
    EXPECT_TRUE((ended.out + ended.err).find("pen files") != std::string::npos) << ended;  // ours, or the system's text
    EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
  }
}

TEST(OpenFiles, a_main_program_that_has_them_all_hears_of_it) {
  for (const StartOptions& start : starts()) {
    const Ended ended = support::start("greedy_main", start);
    EXPECT_EQ(ended.status, 0) << ended;
    EXPECT_TRUE(says(ended, "raise the limit of open files: ulimit -n")) << ended;
    EXPECT_TRUE(says(ended, "144 and 200000")) << ended;
    EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
  }
}

TEST(Processes, too_many_are_an_error_and_when_there_is_room_all_is_well) {
  const Ended ended = support::start("few_processes");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
  if (says(ended, "not root")) return;
  EXPECT_TRUE(says(ended, "cannot start a worker process: raise the limit on processes (ulimit -u)")) << ended;
  EXPECT_TRUE(says(ended, "raise the limit on processes (ulimit -u) and open files (ulimit -n)")) << ended;
  EXPECT_TRUE(says(ended, "144 by a pool that was there before")) << ended;
  EXPECT_TRUE(says(ended, "all work now")) << ended;
}

TEST(Processes, a_program_that_cannot_have_any_says_so) {
  for (const char* const program : {"no_second_process", "no_thread"}) {
    const Ended ended = support::start(program);
    EXPECT_EQ(ended.status, 1) << ended;
    EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
    if (says(ended, "not root")) continue;
    EXPECT_NE(ended.err.find("raise the limit on processes: ulimit -u"), std::string::npos) << ended;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(AddressSpace, what_does_not_fit_is_an_error_of_its_task) {
  const Ended ended = support::start("little_memory");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_TRUE(says(ended, "bad_alloc") || says(ended, "raise the limit of memory: ulimit -v")) << ended;
  EXPECT_TRUE(says(ended, "1048576 bytes are possible")) << ended;
  EXPECT_TRUE(ended.in_time && ended.left.empty()) << ended;
}
#endif

// ---- many at once

TEST(ManyAtOnce, ten_million_tasks) {
  constexpr long count = 10'000'000;
  rp::Pool pool;
  const std::vector<int> results = pool.map([](int x) { return x % 7; }, std::views::iota(0, static_cast<int>(count)));
  ASSERT_EQ(results.size(), static_cast<std::size_t>(count));
  long expected = 0;
  for (int i = 0; i < count; ++i) expected += i % 7;
  EXPECT_EQ(std::accumulate(results.begin(), results.end(), 0L), expected);
}

TEST(ManyAtOnce, ten_thousand_futures) {
  constexpr long count = 10'000;
  rp::ProcessPoolExecutor executor;
  std::vector<rp::Future<long>> futures;
  for (long i = 0; i < count; ++i) futures.push_back(executor.submit(square, i));
  long sum = 0;
  for (rp::Future<long>& future : futures) sum += future.result();
  EXPECT_EQ(sum, 333'283'335'000);

  futures.clear();
  for (long i = 0; i < count; ++i) futures.push_back(executor.submit(square, i));
  std::vector<char> seen(count);
  for (const rp::Future<long>& future : rp::as_completed(futures, 60s)) {
    const auto root = static_cast<std::size_t>(std::lround(std::sqrt(future.result())));
    ASSERT_LT(root, seen.size());
    EXPECT_EQ(std::exchange(seen[root], 1), 0);
  }
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0L), count) << "each has come once";

  futures.clear();
  const support::Scratch scratch;
  const std::string gate = scratch.file("gate");
  for (int i = 0; i < 2 * rp::slot_count(); ++i) executor.submit(support::wait_for_file, gate);
  for (long i = 0; i < count; ++i) futures.push_back(executor.submit(square, i));
  for (std::size_t i = 0; i < futures.size(); i += 10)  // one question each
    EXPECT_TRUE(futures[i].cancel()) << "none of them could begin";
  executor.shutdown(false, true);
  for (rp::Future<long>& future : futures) EXPECT_TRUE(future.cancelled());
  support::add_line(gate, "open");
}

TEST(ManyAtOnce, a_hundred_thousand_futures) {
  constexpr long count = 100'000;
  rp::ProcessPoolExecutor executor;
  std::vector<rp::Future<long>> futures;
  for (long i = 0; i < count; ++i) futures.push_back(executor.submit(square, i));
  long sum = 0;
  for (rp::Future<long>& future : futures) sum += future.result();
  EXPECT_EQ(sum, 333'328'333'350'000);

  const support::Scratch scratch;
  const std::string gate = scratch.file("gate");
  for (int i = 0; i < 2 * rp::slot_count(); ++i) executor.submit(support::wait_for_file, gate);
  futures.clear();
  for (long i = 0; i < count; ++i) futures.push_back(executor.submit(square, i));
  executor.shutdown(false, true);
  for (rp::Future<long>& future : futures) EXPECT_TRUE(future.done());
  support::add_line(gate, "open");
}
