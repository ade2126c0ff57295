#include "worker/zygote.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "link/descriptors.hpp"

namespace {

using namespace std::chrono_literals;
using namespace rankpool;
using link::LinkEnd;
using link::RankPage;
using worker::ChildStart;
using worker::Zygote;
using worker::ZygoteEvent;
using Clock = std::chrono::steady_clock;

/// What a child does is the hundreds of its link's number.
enum Behaviour : std::uint32_t {
  leave = 100,
  leave_42 = 200,
  crash = 300,
  throw_error = 400,
  hang = 500,
  hang_with_offspring = 600,
  talk = 700,
  inspect = 800,
  print = 900,
  grow_large = 1000,
  leave_offspring = 1100,
  hang_deaf = 1200
};

/// Memory that tests and children share; mapped before the zygote.
struct Board {
  std::atomic<pid_t> zygote{0};
  std::atomic<int> count{0};
  std::array<std::atomic<pid_t>, 256> pids{};
  void add(pid_t pid) { pids[static_cast<std::size_t>(count++)] = pid; }
};
Board& board() {
  static Board* const shared =
      new (::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Board;
  return *shared;
}

void pause_for_ever() {
  for (;;) ::pause();
}

void start_offspring() {
  const pid_t pid = ::fork();
  if (pid == 0) pause_for_ever();
  board().add(pid);
}

/// A bit for each thing that is not as a child should find it.
int inspect_self(const ChildStart& start) {
  int wrong = 0;
  if (::getpgrp() != ::getpid()) wrong |= 1;
  char byte = 0;
  if (::read(STDIN_FILENO, &byte, 1) != 0) wrong |= 2;
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  if (::sigismember(&mask, SIGUSR2) != 1 || ::sigismember(&mask, SIGTERM) != 0 || ::sigismember(&mask, SIGCHLD) != 0) {
    wrong |= 4;
  }
  struct sigaction usr1 = {};
  struct sigaction chld = {};
  ::sigaction(SIGUSR1, nullptr, &usr1);
  ::sigaction(SIGCHLD, nullptr, &chld);
  if (usr1.sa_handler != SIG_IGN || chld.sa_handler != SIG_IGN) wrong |= 8;
  int death_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  if (death_signal != SIGKILL) wrong |= 16;
  // The standard streams, the two of the link, and nothing of the zygote's (what the test had open is counted by it).
  const std::filesystem::directory_iterator all("/proc/self/fd");
  if (std::distance(begin(all), end(all)) != board().count + 2) wrong |= 32;
  char name[16] = {};
  ::prctl(PR_GET_NAME, name);
  if (std::strcmp(name, "rankpool-zygote") == 0) wrong |= 64;
  start.page->busy_workers.fetch_add(1);
  return wrong;
}

int child_main(const ChildStart& start) {
  switch (start.link_id / 100 * 100) {
    case leave_42:
      return 42;
    case crash:
      ::raise(SIGSEGV);
      return 0;
    case throw_error:
      throw std::runtime_error("this child fails on purpose");
    case hang_with_offspring:
      start_offspring();
      pause_for_ever();
      return 0;
    case leave_offspring:
      start_offspring();
      return 0;
    case hang:
      pause_for_ever();
      return 0;
    case hang_deaf:
      ::signal(SIGTERM, SIG_IGN);
      board().add(::getpid());
      pause_for_ever();
      return 0;
    case talk: {
      LinkEnd end = LinkEnd::open(start.descriptors, *start.page);
      wire::Header head;
      head.kind = wire::Kind::test;
      head.token = start.link_id;
      end.try_send(head, {});
      end.ring();
      link::Incoming in;
      while (!end.receive(in)) end.wait([] { return false; }, 1s);
      return static_cast<int>(in.head.token);
    }
    case inspect:
      return inspect_self(start);
    case print:
      std::cout << "line of a child\nand an unfinished one";
      return 0;
    case grow_large: {
      constexpr std::size_t size = 64 << 20;
      std::vector<char> large(size, 'x');
      return large[size / 2] == 'x' ? 0 : 1;
    }
    default:
      return 0;
  }
}

bool alive(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const auto name_end = line.rfind(')');
  return name_end != std::string::npos && line.at(name_end + 2) != 'Z' && line.at(name_end + 2) != 'X';
}

bool gone_within(pid_t pid, Clock::duration time) {
  const auto limit = Clock::now() + time;
  while (alive(pid)) {
    if (Clock::now() > limit) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class ZygoteTest : public testing::Test {
 protected:
  ZygoteTest() { board().count = 0; }

  void start() { zygote = Zygote::start(*page, child_main, 0); }

  LinkEnd spawn(std::uint32_t link_id) {
    auto [end, descriptors] = LinkEnd::create();
    zygote.spawn(link_id, descriptors);
    return std::move(end);
  }

  /// The next report; sleeps as an engine does.
  ZygoteEvent next() {
    ZygoteEvent event;
    const auto limit = Clock::now() + 10s;
    while (!zygote.next_event(event)) {
      if (Clock::now() > limit) throw std::runtime_error("no report within 10 s");
      page->bell.wait([&] { return page->zygote_events != seen; }, 200ms);
      seen = page->zygote_events;
    }
    return event;
  }

  ZygoteEvent end_of(std::uint32_t link_id) {
    spawn(link_id);
    const ZygoteEvent forked = next();
    EXPECT_EQ(forked.what, ZygoteEvent::What::forked);
    EXPECT_EQ(forked.link_id, link_id);
    const ZygoteEvent ended = next();
    EXPECT_EQ(ended.what, ZygoteEvent::What::ended);
    EXPECT_EQ(ended.link_id, link_id);
    EXPECT_EQ(ended.pid, forked.pid);
    EXPECT_FALSE(alive(ended.pid));
    return ended;
  }

  pid_t wait_for_board(int index) {
    const auto limit = Clock::now() + 10s;
    while (board().pids[static_cast<std::size_t>(index)] == 0 || board().count <= index) {
      if (Clock::now() > limit) throw std::runtime_error("the child has not come so far within 10 s");
      std::this_thread::sleep_for(1ms);
    }
    return board().pids[static_cast<std::size_t>(index)];
  }

  RankPage page = RankPage::create();
  Zygote zygote;
  std::uint32_t seen = 0;
};

TEST_F(ZygoteTest, ReportsTheTrueEnd) {
  start();
  const int left = end_of(leave).status;
  EXPECT_TRUE(WIFEXITED(left) && WEXITSTATUS(left) == 0);
  const int left_42 = end_of(leave_42).status;
  EXPECT_TRUE(WIFEXITED(left_42) && WEXITSTATUS(left_42) == 42);
  const int crashed = end_of(crash).status;
#if !defined(__SANITIZE_ADDRESS__)  // which catches SIGSEGV and exits
  EXPECT_TRUE(WIFSIGNALED(crashed) && WTERMSIG(crashed) == SIGSEGV);
#else
  EXPECT_NE(crashed, 0);
#endif
  const int thrown = end_of(throw_error).status;
  EXPECT_TRUE(WIFSIGNALED(thrown) && WTERMSIG(thrown) == SIGABRT);
}

TEST_F(ZygoteTest, ReportsThePeakOfMemory) {
  start();
  const std::uint64_t small = end_of(leave).max_rss;
  const std::uint64_t large = end_of(grow_large).max_rss;
  EXPECT_GT(small, 100'000U);
  EXPECT_GT(large, 60'000'000U);
  EXPECT_LT(small, large);
}

TEST_F(ZygoteTest, ChildSpeaksThroughItsLink) {
  start();
  LinkEnd end = spawn(talk + 7);
  ASSERT_EQ(next().what, ZygoteEvent::What::forked);
  link::Incoming in;
  const auto limit = Clock::now() + 10s;
  while (!end.receive(in) && Clock::now() < limit) page->bell.wait([&] { return end.pending(); }, 1s);
  ASSERT_EQ(in.head.token, talk + 7U);
  end.release();
  wire::Header head;
  head.token = 33;
  ASSERT_TRUE(end.try_send(head, {}));
  end.ring();
  const ZygoteEvent ended = next();
  EXPECT_TRUE(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 33);
}

TEST_F(ZygoteTest, SignalReachesOneChildOnly) {
  start();
  spawn(hang);
  spawn(hang + 1);
  const ZygoteEvent first = next();
  const ZygoteEvent second = next();
  zygote.signal(hang, SIGTERM);
  const ZygoteEvent ended = next();
  EXPECT_EQ(ended.pid, first.pid);
  EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGTERM);
  zygote.signal(hang, SIGTERM);  // no longer there: nothing happens
  EXPECT_TRUE(alive(second.pid));
  zygote.signal(hang + 1, SIGKILL);
  EXPECT_EQ(WTERMSIG(next().status), SIGKILL);
}

TEST_F(ZygoteTest, DeafChildNeedsSigkill) {
  start();
  spawn(hang_deaf);
  next();
  wait_for_board(0);
  zygote.signal(hang_deaf, SIGTERM);
  zygote.signal(hang_deaf, SIGKILL);
  EXPECT_EQ(WTERMSIG(next().status), SIGKILL);
}

TEST_F(ZygoteTest, TwoHundredChildrenAtOnce) {
  start();
  constexpr std::uint32_t many = 200;
  std::vector<LinkEnd> ends;
  for (std::uint32_t i = 0; i < many; ++i) {
    auto [end, descriptors] = LinkEnd::create();
    zygote.spawn(talk + i % 100 + i / 100 * 10'000, descriptors);
    ends.push_back(std::move(end));
  }
  std::set<pid_t> forked;
  std::set<pid_t> ended;
  while (ended.size() < many) {
    const ZygoteEvent event = next();
    if (event.what == ZygoteEvent::What::ended) {
      EXPECT_EQ(forked.count(event.pid), 1U);
      EXPECT_TRUE(ended.insert(event.pid).second);
      continue;
    }
    ASSERT_EQ(event.what, ZygoteEvent::What::forked);
    EXPECT_TRUE(forked.insert(event.pid).second);
    if (event.link_id >= 10'000) {
      zygote.signal(event.link_id, SIGKILL);
      continue;
    }
    wire::Header head;
    head.token = 3;
    LinkEnd& end = ends[event.link_id - talk];
    ASSERT_TRUE(end.try_send(head, {}));
    end.ring();
  }
}

TEST_F(ZygoteTest, NoReportIsLostWhenTheEngineIsSlow) {
  start();
  constexpr std::uint32_t many = 400;
  for (std::uint32_t i = 0; i < many; ++i) spawn(leave + i * 10'000);
  std::this_thread::sleep_for(200ms);  // the reports are more than the socket takes
  std::map<std::uint32_t, int> stage;
  for (std::uint32_t i = 0; i < 2 * many; ++i) {
    const ZygoteEvent event = next();
    EXPECT_EQ(++stage[event.link_id], event.what == ZygoteEvent::What::forked ? 1 : 2);
  }
  EXPECT_EQ(stage.size(), many);
  EXPECT_EQ(page->zygote_events, 2 * many);
}

TEST_F(ZygoteTest, NothingIsLeftWhenTheHandleEnds) {
  start();
  std::vector<pid_t> pids{zygote.pid()};
  spawn(hang_with_offspring);
  spawn(hang_deaf);
  for (int i = 0; i < 20; ++i) spawn(hang + static_cast<std::uint32_t>(i));
  for (int i = 0; i < 22; ++i) pids.push_back(next().pid);
  pids.push_back(wait_for_board(0));
  pids.push_back(wait_for_board(1));
  for (const pid_t pid : pids) EXPECT_TRUE(alive(pid));
  zygote = Zygote();
  EXPECT_FALSE(zygote);
  for (const pid_t pid : pids) EXPECT_TRUE(gone_within(pid, 5s)) << pid;
}

TEST_F(ZygoteTest, ChildLeavesNobodyBehind) {
  start();
  EXPECT_EQ(end_of(leave_offspring).status, 0);
  EXPECT_TRUE(gone_within(wait_for_board(0), 5s));
}

TEST_F(ZygoteTest, DeathOfTheZygoteIsNoticedAndEndsItsChildren) {
  start();
  spawn(hang);
  const pid_t child = next().pid;
  ::kill(zygote.pid(), SIGKILL);
  EXPECT_THROW(next(), std::system_error);
  EXPECT_TRUE(gone_within(child, 5s));
  auto [end, descriptors] = LinkEnd::create();
  EXPECT_THROW(zygote.spawn(leave, descriptors), std::system_error);
  EXPECT_EQ(::fcntl(descriptors.memory, F_GETFD), -1);  // closed nevertheless
  EXPECT_THROW(zygote.signal(leave, SIGTERM), std::system_error);
}

TEST_F(ZygoteTest, SigtermEndsItWithEverything) {
  start();
  spawn(hang_with_offspring);
  const pid_t child = next().pid;
  const pid_t offspring = wait_for_board(0);
  ::kill(zygote.pid(), SIGINT);  // not for it
  EXPECT_TRUE(alive(child));
  ::kill(zygote.pid(), SIGTERM);
  for (const pid_t pid : {zygote.pid(), child, offspring}) EXPECT_TRUE(gone_within(pid, 5s));
}

TEST_F(ZygoteTest, KilledHolderTakesEverythingWithIt) {
  const pid_t holder = ::fork();
  if (holder == 0) {
    start();
    board().zygote = zygote.pid();
    spawn(hang_with_offspring);
    spawn(hang_deaf);
    board().add(next().pid);
    board().add(next().pid);
    pause_for_ever();
  }
  for (int i = 0; i < 4; ++i) wait_for_board(i);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  EXPECT_TRUE(gone_within(board().zygote, 5s));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(gone_within(board().pids[i], 5s)) << i;
}

TEST_F(ZygoteTest, HandleInAForkedProcessDoesNothing) {
  start();
  spawn(hang);
  const pid_t child = next().pid;
  const pid_t copy = ::fork();
  if (copy == 0) {
    zygote = Zygote();
    ::_exit(0);
  }
  ::waitpid(copy, nullptr, 0);
  EXPECT_TRUE(alive(child));
  EXPECT_TRUE(alive(zygote.pid()));
  Zygote moved(std::move(zygote));
  EXPECT_FALSE(zygote);
  zygote = std::move(moved);
  zygote.signal(hang, SIGKILL);
  EXPECT_EQ(next().pid, child);
}

TEST_F(ZygoteTest, LackOfDescriptorsFailsOneForkOnly) {
  start();
  EXPECT_EQ(end_of(leave).status, 0);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{3, limit.rlim_max};
  ASSERT_EQ(::prlimit(zygote.pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  spawn(leave + 1);
  const ZygoteEvent event = next();
  EXPECT_EQ(event.what, ZygoteEvent::What::fork_failed);
  EXPECT_EQ(event.link_id, leave + 1U);
  EXPECT_EQ(event.status, EMFILE);
  ASSERT_EQ(::prlimit(zygote.pid(), RLIMIT_NOFILE, &limit, nullptr), 0);
  EXPECT_EQ(end_of(leave + 2).status, 0);
}

TEST_F(ZygoteTest, ChildFindsACleanPlace) {
  struct sigaction usr1 = {};
  struct sigaction chld = {};
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigset_t blocked;
  sigset_t mask;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR2);
  ::sigaction(SIGUSR1, &ignore, &usr1);
  ::sigaction(SIGCHLD, &ignore, &chld);
  ::sigprocmask(SIG_BLOCK, &blocked, &mask);
  {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    board().count = static_cast<int>(std::distance(begin(all), end(all)));
  }
  start();
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::sigaction(SIGUSR1, &usr1, nullptr);
  ::sigaction(SIGCHLD, &chld, nullptr);
  const int status = end_of(inspect).status;
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(page->busy_workers, 1);
  sigset_t now;
  ::sigprocmask(SIG_BLOCK, nullptr, &now);
  EXPECT_EQ(::sigismember(&now, SIGTERM), 0);  // the rank's own mask is as before
}

TEST_F(ZygoteTest, OutputIsWrittenOnce) {
  const link::UniqueFd file = link::make_memfd("output", 0);
  std::fflush(stdout);
  const link::UniqueFd saved(::dup(STDOUT_FILENO));
  ::dup2(file.get(), STDOUT_FILENO);
  std::printf("of the rank; ");
  start();
  const int status = end_of(print).status;
  zygote = Zygote();
  std::fflush(stdout);
  ::dup2(saved.get(), STDOUT_FILENO);
  EXPECT_EQ(status, 0);
  std::string text(200, '\0');
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  ASSERT_GE(size, 0);
  text.resize(static_cast<std::size_t>(size));
  EXPECT_EQ(text, "of the rank; line of a child\nand an unfinished one");
}

TEST_F(ZygoteTest, TakesTheCoresOfTheGivenProcess) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  const auto cores_of = [](pid_t pid) {
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(pid, sizeof set, &set);
    return CPU_COUNT(&set);
  };
  const pid_t wide = ::fork();
  if (wide == 0) pause_for_ever();
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &all)) CPU_SET(core, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  zygote = Zygote::start(*page, child_main, wide);
  spawn(hang);
  EXPECT_EQ(cores_of(next().pid), CPU_COUNT(&all));
  zygote = Zygote::start(*page, child_main, 0);
  spawn(hang);
  EXPECT_EQ(cores_of(next().pid), 1);
  ::sched_setaffinity(0, sizeof all, &all);
  ::kill(wide, SIGKILL);
  ::waitpid(wide, nullptr, 0);
}

}  // namespace
