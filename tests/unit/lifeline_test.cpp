// Lines between make-believe hosts, all in this process: who gets one, who is turned away, that they ring, and that
// they tell who has ended.
#include "transport/lifeline.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rankpool::link::Bell;
using rankpool::link::UniqueFd;
using rankpool::transport::connect_lines;
using rankpool::transport::Lifeline;
using rankpool::transport::LineAddress;
using rankpool::transport::LineEnd;
using rankpool::transport::LineListener;
using rankpool::transport::Pulse;
using Clock = std::chrono::steady_clock;
using Lines = std::vector<UniqueFd>;

constexpr std::size_t ranks = 4;

struct Job {
  Job() {
    for (const LineListener& listener : listeners) table.push_back(listener.address());
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      wanted[rank].assign(ranks, true);
      wanted[rank][rank] = false;
    }
  }

  std::array<Lines, ranks> connect(std::chrono::milliseconds limit = 20s) {
    std::array<Lines, ranks> lines;
    std::vector<std::jthread> threads;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        lines[rank] = connect_lines(listeners[rank], table, static_cast<int>(rank), wanted[rank], limit);
      });
    }
    threads.clear();
    return lines;
  }

  std::array<LineListener, ranks> listeners;
  std::vector<LineAddress> table;
  std::array<std::vector<bool>, ranks> wanted;
};

TEST(Lifeline, EveryPairThatWantsALineGetsOne) {
  Job job;
  job.wanted[1][3] = job.wanted[3][1] = false;
  const auto lines = job.connect();
  for (std::size_t a = 0; a < ranks; ++a) {
    for (std::size_t b = 0; b < ranks; ++b) {
      const bool due = a != b && !(a == 1 && b == 3) && !(a == 3 && b == 1);
      EXPECT_EQ(static_cast<bool>(lines[a][b]), due) << a << " and " << b;
    }
  }
}

TEST(Lifeline, ALineJoinsTheRightRanks) {
  Job job;
  const auto lines = job.connect();
  for (std::size_t a = 0; a < ranks; ++a) {
    for (std::size_t b = 0; b < ranks; ++b) {
      if (a == b) continue;
      const auto sent = static_cast<char>(10 * a + b);
      char got = 0;
      ASSERT_EQ(::send(lines[a][b].get(), &sent, 1, MSG_NOSIGNAL), 1);
      while (::recv(lines[b][a].get(), &got, 1, 0) != 1) std::this_thread::sleep_for(1ms);
      EXPECT_EQ(got, sent);
    }
  }
}

TEST(Lifeline, OtherAddressesAreTried) {
  Job job;
  for (LineAddress& one : job.table) {
    // First an address where nobody listens, and the right one last.
    one.ipv4 = {::inet_addr("127.0.0.2"), 0, ::inet_addr("127.255.255.254"), ::inet_addr("127.0.0.1")};
  }
  const auto lines = job.connect();
  EXPECT_TRUE(lines[0][3] && lines[3][0] && lines[1][2] && lines[2][1]);
}

TEST(Lifeline, WhoDoesNotKnowTheKeyIsTurnedAway) {
  Job job;
  job.table[1].key ^= 1;
  const auto lines = job.connect(300ms);
  // Rank 1 takes nobody: neither those that connect to it, nor the one that it connects to and that answers wrongly.
  for (const std::size_t other : {0u, 2u, 3u}) EXPECT_FALSE(lines[1][other]) << other;
  EXPECT_FALSE(lines[2][1] || lines[3][1]);
  EXPECT_TRUE(lines[0][2] && lines[2][0] && lines[2][3] && lines[3][2]);
}

TEST(Lifeline, StrangersDoNotDisturb) {
  Job job;
  std::vector<UniqueFd> strangers;
  for (int i = 0; i < 20; ++i) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(job.table[0].port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    if (i % 2 == 0) ::send(fd.get(), "GET / HTTP/1.1\r\nHost: somebody\r\n\r\n", 35, MSG_NOSIGNAL);
    strangers.push_back(std::move(fd));
  }
  const auto lines = job.connect();
  for (std::size_t other = 1; other < ranks; ++other) EXPECT_TRUE(lines[0][other] && lines[other][0]) << other;
}

TEST(Lifeline, AMissingRankCostsTheLimitAndNothingElse) {
  Job job;
  job.table[0].port = 0;
  const auto start = Clock::now();
  const auto lines = job.connect(200ms);
  EXPECT_GE(Clock::now() - start, 200ms);
  EXPECT_FALSE(lines[0][1] || lines[2][0]);
  EXPECT_TRUE(lines[1][2] && lines[2][1]);
}

std::vector<LineEnd> ends_of(Lines lines) {
  std::vector<LineEnd> ends(lines.size());
  for (std::size_t rank = 0; rank < lines.size(); ++rank) {
    ends[rank].socket = std::move(lines[rank]);
    ends[rank].judged = true;
  }
  return ends;
}

bool rung(Bell& bell) {
  const auto start = Clock::now();
  bell.wait([] { return false; }, 5s);
  return Clock::now() - start < 4s;
}

TEST(Lifeline, ARingWakesTheOtherSide) {
  Job job;
  auto lines = job.connect();
  std::array<Bell, 2> bells;
  Lifeline first(ends_of(std::move(lines[0])), bells[0]);
  Lifeline second(ends_of(std::move(lines[1])), bells[1]);
  for (int i = 0; i < 20; ++i) {
    const std::jthread ringer([&] {
      while (!bells[1].has_sleeper()) std::this_thread::sleep_for(1ms);
      if (i % 2 == 0) return first.ring(1);
      std::this_thread::sleep_for(2ms);  // reminders are left out within a millisecond of the last ring
      first.remind(1);
    });
    ASSERT_TRUE(rung(bells[1])) << i;
  }
  first.ring(0);  // nobody: not even itself
}

TEST(Lifeline, RingingThatNobodyHearsNeverBlocks) {
  Job job;
  auto lines = job.connect();
  Bell bell;
  Lifeline first(ends_of(std::move(lines[0])), bell);
  for (int i = 0; i < 300'000; ++i) first.ring(1);  // more than the line holds: nobody reads at the other end
  lines[1].clear();                                 // closed
  for (int i = 0; i < 10; ++i) first.ring(1);
  lines[2].clear();
  EXPECT_FALSE(bell.has_sleeper());
}

TEST(Lifeline, TheEndOfALineLeavesTheOthersWorking) {
  Job job;
  auto lines = job.connect();
  std::array<Bell, 2> bells;
  auto first = std::make_unique<Lifeline>(ends_of(std::move(lines[0])), bells[0]);
  Lifeline second(ends_of(std::move(lines[1])), bells[1]);
  lines[2].clear();
  lines[3].clear();
  std::this_thread::sleep_for(20ms);
  const std::jthread ringer([&] {
    while (!bells[1].has_sleeper()) std::this_thread::sleep_for(1ms);
    first->ring(1);
  });
  EXPECT_TRUE(rung(bells[1]));
}

// ---- who is alive

/// Waits for what is new; at most 10 s.
std::vector<Lifeline::Loss> next_losses(Lifeline& line, Bell& bell) {
  const auto deadline = Clock::now() + 10s;
  while (!line.news() && Clock::now() < deadline) bell.wait([&] { return line.news(); }, 1s);
  return line.losses();
}
void expect_loss(Lifeline& line, Bell& bell, int rank, bool silent) {
  const auto losses = next_losses(line, bell);
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].rank, rank);
  EXPECT_EQ(losses[0].silent, silent);
  EXPECT_FALSE(line.up(rank));
  EXPECT_FALSE(line.news()) << "each is told once";
  EXPECT_TRUE(line.losses().empty());
}
bool goes_down(const Lifeline& line, int rank) {
  for (int i = 0; i < 5000 && line.up(rank); ++i) std::this_thread::sleep_for(1ms);
  return !line.up(rank);
}

TEST(Life, TheEndOfALineIsALoss) {
  Job job;
  auto lines = job.connect();
  Bell bell;
  Lifeline first(ends_of(std::move(lines[0])), bell);
  EXPECT_FALSE(first.news());
  for (const int other : {1, 2, 3}) EXPECT_TRUE(first.up(other));
  lines[2].clear();
  expect_loss(first, bell, 2, false);
  lines[1].clear();
  expect_loss(first, bell, 1, false);
  EXPECT_TRUE(first.up(3));
}

TEST(Life, APlannedEndIsNone) {
  Job job;
  auto lines = job.connect();
  std::array<Bell, 2> bells;
  Lifeline first(ends_of(std::move(lines[0])), bells[0]);
  auto second = std::make_unique<Lifeline>(ends_of(std::move(lines[1])), bells[1]);
  second->leave();
  EXPECT_TRUE(goes_down(first, 1));
  second.reset();
  lines[2].clear();
  expect_loss(first, bells[0], 2, false);  // and of rank 1 nothing
}

TEST(Life, WhoIsGivenUpSeesItsLineEnd) {
  Job job;
  auto lines = job.connect();
  std::array<Bell, 2> bells;
  Lifeline first(ends_of(std::move(lines[0])), bells[0]);
  Lifeline second(ends_of(std::move(lines[1])), bells[1]);
  first.give_up(1);
  EXPECT_FALSE(first.up(1));
  expect_loss(second, bells[1], 0, false);
  EXPECT_TRUE(first.losses().empty());
}

/// A child that waits to be killed, and its end here.
struct Process {
  Process() : pid(::fork()) {
    while (pid == 0) ::pause();
    end.process = rankpool::transport::watch_process(pid);
  }
  void kill() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  pid_t pid;
  LineEnd end;
};

TEST(Life, ADeadProcessOfThisHostIsALoss) {
  std::array<Process, 3> processes;
  auto page = rankpool::link::RankPage::create();
  processes[1].end.page = &*page;
  std::vector<LineEnd> ends;
  for (Process& process : processes) {
    ASSERT_TRUE(process.end.process);
    ends.push_back(std::move(process.end));
  }
  Bell bell;
  Lifeline line(std::move(ends), bell);
  processes[0].kill();
  expect_loss(line, bell, 0, false);
  page->leaves = true;
  processes[1].kill();
  EXPECT_TRUE(goes_down(line, 1));
  processes[2].kill();
  expect_loss(line, bell, 2, false);  // and of rank 1, which had said so, nothing
}

TEST(Life, WhoIsSilentForTooLongIsLost) {
  Job job;
  auto lines = job.connect();
  std::array<Bell, 2> bells;
  const Pulse pulse{50ms, 300ms};
  Lifeline first(ends_of(std::move(lines[0])), bells[0], pulse);
  Lifeline second(ends_of(std::move(lines[1])), bells[1], pulse);  // 2 and 3 never say a word
  const auto start = Clock::now();
  std::vector<Lifeline::Loss> losses;
  while (losses.size() < 2 && Clock::now() < start + 10s) {
    for (const auto& loss : next_losses(first, bells[0])) losses.push_back(loss);
  }
  ASSERT_EQ(losses.size(), 2u);
  EXPECT_TRUE(losses[0].silent && losses[1].silent);
  EXPECT_EQ(losses[0].rank + losses[1].rank, 2 + 3);
  EXPECT_GE(Clock::now() - start, 250ms);
  // Who comes back finds its line closed.
  char byte = 0;
  while (::recv(lines[2][0].get(), &byte, 1, 0) < 0) std::this_thread::sleep_for(1ms);
  while (::recv(lines[2][0].get(), &byte, 1, 0) > 0) continue;
  // Both of those that beat live, for as long as one likes.
  EXPECT_TRUE(first.up(1) && second.up(0));
}

TEST(Life, AShortSilenceAndASilenceThatDoesNotCountLoseNothing) {
  Job job;
  auto lines = job.connect();
  Bell bell;
  auto ends = ends_of(std::move(lines[0]));
  ends[2].judged = false;
  ends[3].judged = false;
  Lifeline first(std::move(ends), bell, Pulse{100ms, 1000ms});
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(400ms);
    ASSERT_EQ(::send(lines[1][0].get(), "~", 1, MSG_NOSIGNAL), 1);
  }
  EXPECT_FALSE(first.news());
  for (const int other : {1, 2, 3}) EXPECT_TRUE(first.up(other));
}

TEST(LifeDeathTest, WhoHangsAfterALossEnds) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const Pulse pulse{.stuck = 300ms, .last_words = "it hangs\n"};
  EXPECT_EXIT(
      {
        Job job;
        auto lines = job.connect();
        Bell bell;
        Lifeline first(ends_of(std::move(lines[0])), bell, pulse);
        std::this_thread::sleep_for(600ms);  // which is nobody's business yet
        lines[1].clear();
        for (int i = 0; i < 60; ++i) {
          std::this_thread::sleep_for(10ms);
          first.alive();
        }
        ::write(STDERR_FILENO, "it works, ", 10);
        std::this_thread::sleep_for(10s);
      },
      testing::ExitedWithCode(1), "^it works, it hangs");
}

}  // namespace
