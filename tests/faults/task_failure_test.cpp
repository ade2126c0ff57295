// Every way in which a task can end its process, over and over: that task alone fails, with the truth about it.
#include <alloca.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
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

namespace {

constexpr int rounds = 20;

/// Without the handlers of a sanitizer, which would turn the signal into an exit.
void restore_signals() {
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(number, SIG_DFL);
}

volatile int zero = 0;
int* volatile nowhere = nullptr;

// What a sanitizer would report instead of letting it happen.
[[gnu::no_sanitize("undefined"), gnu::no_sanitize("address")]] void write_nowhere() { *nowhere = 1; }
[[gnu::no_sanitize("undefined")]] void divide_by_zero() { zero = 7 / zero; }

int descend(int depth) {
  volatile char frame[4096];  // NOLINT: an array that the compiler must keep
  frame[depth % 4096] = 1;
  return depth < 0 ? 0 : descend(depth + 1) + frame[0];  // used after the call, so that there is a call
}

void fill_stack() {
  for (;;) {
    auto* const block = static_cast<volatile char*>(alloca(64 * 1024));
    block[0] = 1;
  }
}

struct ThrowsAtTheEnd {
  ~ThrowsAtTheEnd() noexcept(false) { support::throw_uncaught(); }
};
struct ThrowsInWhat : std::exception {
  const char* what() const noexcept override { support::throw_uncaught(); }
};

/// What a process may do to itself. The names are in the messages of the test.
struct Way {
  const char* name;
  void (*act)();
  std::optional<int> signal = {};
  std::optional<int> exit_code = {};
};

template <int number>
void raise_it() {
  ::raise(number);
}
template <int number>
void kill_self() {
  support::die_by(number);
}

const std::vector<Way>& every_way() {
  static const std::vector<Way> all{
      {"null pointer", write_nowhere, SIGSEGV},
      {"division by zero", divide_by_zero, SIGFPE},
      {"trap", [] { __builtin_trap(); }, SIGILL},
      {"abort", [] { std::abort(); }, SIGABRT},
      {"endless recursion", [] { zero = descend(0); }, SIGSEGV},
      {"alloca", fill_stack, SIGSEGV},
      {"stack of a thread", [] { std::thread([] { zero = descend(0); }).join(); }, SIGSEGV},
      {"_exit(0)", [] { ::_exit(0); }, {}, 0},
      {"_exit(255)", [] { ::_exit(255); }, {}, 255},
      {"exit(0)", [] { std::exit(0); }, {}, 0},
      {"exit(17)", [] { std::exit(17); }, {}, 17},
      {"_Exit(18)", [] { std::_Exit(18); }, {}, 18},
      {"quick_exit(19)", [] { std::quick_exit(19); }, {}, 19},
      {"exit(-1)", [] { std::exit(-1); }, {}, 255},
      {"terminate", [] { std::terminate(); }, SIGABRT},
      {"noexcept", [] { support::throw_through_noexcept(); }, SIGABRT},
      {"uncaught in a thread", [] { std::thread([] { support::throw_uncaught(); }).join(); }, SIGABRT},
      {"joinable thread", [] { std::thread waits([] { ::pause(); }); }, SIGABRT},
      {"throw in unwinding",
       [] {
         const ThrowsAtTheEnd a;
         support::throw_uncaught();
       },
       SIGABRT},
      {"throw in what()", [] { throw ThrowsInWhat(); }, SIGABRT},
      {"pthread_exit", [] { ::pthread_exit(nullptr); }, SIGABRT},
      {"SIGTERM", kill_self<SIGTERM>, SIGTERM},
      {"SIGKILL", raise_it<SIGKILL>, SIGKILL},
      {"SIGINT", kill_self<SIGINT>, SIGINT},
      {"SIGHUP", kill_self<SIGHUP>, SIGHUP},
      {"SIGPIPE", kill_self<SIGPIPE>, SIGPIPE},
      {"SIGALRM", kill_self<SIGALRM>, SIGALRM},
      {"SIGBUS", kill_self<SIGBUS>, SIGBUS},
      {"SIGUSR2", kill_self<SIGUSR2>, SIGUSR2},
      {"SIGXCPU", kill_self<SIGXCPU>, SIGXCPU},
      {"SIGRTMIN", [] { support::die_by(SIGRTMIN); }, SIGRTMIN},
      {"own group", [] { ::kill(0, SIGKILL); }, SIGKILL},
  };
  return all;
}

/// Ends its process if its number is right.
long end_at(std::size_t way, long victim, long number) {
  if (number == victim) {
    restore_signals();
    every_way()[way].act();
  }
  return number * number;
}

class TaskFailure : public testing::Test {
 protected:
  static void expect_that_all_is_well(rp::Pool& pool) {
    const std::vector<long> results = pool.map(square, std::views::iota(0L, 100L));
    for (long i = 0; i < 100; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
  }

  support::Scratch scratch_;
};

}  // namespace

// ---- each way out, with neighbours in its chunk

TEST_F(TaskFailure, costs_that_task_alone_in_whatever_way) {
  constexpr long count = 24;
  rp::Pool pool(2);
  std::size_t deaths = 0;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t way = 0; way < every_way().size(); ++way) {
      const Way& expected = every_way()[way];
      const long victim = (round * 7 + static_cast<long>(way)) % count;
      auto outcomes = pool.try_map(rp::partial(end_at, way, victim), std::views::iota(0L, count),
                                   {.chunksize = static_cast<std::size_t>(round % 3 * 6)});
      ++deaths;
      for (long i = 0; i < count; ++i) {
        const auto& outcome = outcomes[static_cast<std::size_t>(i)];
        if (i != victim) {
          ASSERT_TRUE(outcome.ok()) << expected.name << ", neighbour " << i << ": " << outcome.message();
          ASSERT_EQ(outcome.value(), i * i);
          continue;
        }
        const Failure failure([&] { static_cast<void>(outcome.value()); });
        const auto* const lost = failure.as<rp::WorkerLost>();
        ASSERT_NE(lost, nullptr) << expected.name << ": " << failure;
        EXPECT_EQ(lost->signal(), expected.signal) << expected.name << ": " << failure;
        EXPECT_EQ(lost->exit_code(), expected.exit_code) << expected.name << ": " << failure;
        EXPECT_EQ(lost->attempts(), 1);
        EXPECT_EQ(lost->task_index(), static_cast<std::size_t>(victim));
      }
    }
    expect_that_all_is_well(pool);
  }
  const rp::Insights numbers = pool.insights();
  EXPECT_EQ(numbers.failed, deaths);
  EXPECT_EQ(numbers.lost, deaths);
  EXPECT_EQ(numbers.retried, 0u);
  EXPECT_EQ(numbers.done, numbers.submitted - deaths);
  EXPECT_EQ(numbers.waiting + numbers.running + numbers.cancelled, 0u) << numbers;
  EXPECT_GE(numbers.workers_started, deaths + 2);
}

TEST_F(TaskFailure, says_what_a_full_stack_looks_like) {
  rp::Pool pool(1);
  const Failure failure([&] {
    pool.apply([] {
      restore_signals();
      zero = descend(0);
    });
  });
  EXPECT_TRUE(failure.is<rp::WorkerLost>()) << failure;
  EXPECT_NE(failure.what().find("more stack than there is"), std::string::npos) << failure;
  EXPECT_NE(failure.what().find("ulimit -s"), std::string::npos) << failure;
}

// ---- poison

namespace {

long die_always(const std::string& log, long number) {
  if (number != 11) return number * number;
  support::add_line(log, std::to_string(::getpid()));
  support::die_by(SIGSEGV);
}

/// Dies in its first runs, each time in another way.
long die_at_first(const std::string& prefix, long number) {
  const auto attempt = static_cast<std::size_t>(rp::this_task().attempt);
  if (number % 10 == 3 && attempt < 3) {
    support::add_line(prefix + std::to_string(number), std::to_string(::getpid()));
    support::die(attempt == 0 ? support::Death::kill : attempt == 1 ? support::Death::exit : support::Death::abort);
  }
  return number * number;
}

}  // namespace

TEST_F(TaskFailure, of_a_poisonous_task_ends_with_its_retries) {
  for (int round = 0; round < rounds; ++round) {
    const int retries = round % 4;
    rp::Pool pool(rp::PoolOptions{.processes = 2, .retries = retries});
    const std::string log = scratch_.file("poison" + std::to_string(round));
    const auto outcomes = pool.try_map(rp::partial(die_always, log), std::views::iota(0L, 40L), {.chunksize = 20});
    for (long i = 0; i < 40; ++i) {
      const auto& outcome = outcomes[static_cast<std::size_t>(i)];
      if (i != 11) {
        ASSERT_TRUE(outcome.ok()) << i << ": " << outcome.message();
        ASSERT_EQ(outcome.value(), i * i);
        continue;
      }
      const Failure failure([&] { static_cast<void>(outcome.value()); });
      const auto* const lost = failure.as<rp::WorkerLost>();
      ASSERT_NE(lost, nullptr) << failure;
      EXPECT_EQ(lost->attempts(), retries + 1);
      const std::string told =
          retries == 0 ? "set `retries`" : "the task was begun " + std::to_string(retries + 1) + " times";
      EXPECT_NE(failure.what().find(told), std::string::npos) << failure;
    }
    const std::vector<long> pids = support::numbers_of(log);
    EXPECT_EQ(pids.size(), static_cast<std::size_t>(retries) + 1);
    EXPECT_EQ(std::set<long>(pids.begin(), pids.end()).size(), pids.size()) << "each time in another process";
    const rp::Insights numbers = pool.insights();
    EXPECT_EQ(numbers.failed, 1u);
    EXPECT_EQ(numbers.lost, static_cast<std::uint64_t>(retries) + 1);
    EXPECT_EQ(numbers.retried, static_cast<std::uint64_t>(retries));
    expect_that_all_is_well(pool);
  }
}

TEST_F(TaskFailure, is_mended_by_enough_retries) {
  rp::Pool pool(rp::PoolOptions{.processes = 3, .retries = 3});
  for (int round = 0; round < rounds; ++round) {
    const std::string log = scratch_.file(std::to_string(round) + ".");
    const auto results = pool.map(rp::partial(die_at_first, log), std::views::iota(0L, 60L),
                                  {.chunksize = static_cast<std::size_t>(round % 3 * 10)});
    for (long i = 0; i < 60; ++i) {
      ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
      ASSERT_EQ(support::lines_of(log + std::to_string(i)).size(), i % 10 == 3 ? 3u : 0u) << i;
    }
  }
  const rp::Insights numbers = pool.insights();
  EXPECT_EQ(numbers.failed, 0u);
  EXPECT_EQ(numbers.lost, static_cast<std::uint64_t>(rounds) * 6 * 3);
  EXPECT_EQ(numbers.retried, numbers.lost);
}

// ---- hangs

namespace {

long hang(long number) {
  if (number % 6 != 5) return number * number;
  sigset_t all;
  ::sigfillset(&all);
  switch (number / 6 % 10) {
    case 1:  // deaf
      std::signal(SIGTERM, SIG_IGN);
      for (;;) ::pause();
    case 2:  // deafer
      ::sigprocmask(SIG_SETMASK, &all, nullptr);
      for (;;) zero = 0;
    case 3:  // what reaches it then is SIGKILL alone
      ::raise(SIGSTOP);
      [[fallthrough]];
    default:
      for (;;) ::pause();
  }
}

}  // namespace

TEST_F(TaskFailure, by_a_hang_of_any_kind_is_a_timeout_of_that_task) {
  constexpr long count = 120;
  rp::Pool pool(4);
  const auto outcomes = pool.try_map(hang, std::views::iota(0L, count), {.chunksize = 12, .task_timeout = 400ms});
  for (long i = 0; i < count; ++i) {
    const auto& outcome = outcomes[static_cast<std::size_t>(i)];
    if (i % 6 != 5) {
      ASSERT_TRUE(outcome.ok()) << i << ": " << outcome.message();
      ASSERT_EQ(outcome.value(), i * i);
      continue;
    }
    const Failure failure([&] { static_cast<void>(outcome.value()); });
    ASSERT_TRUE(failure.is<rp::TaskTimeout>()) << failure;
  }
  const rp::Insights numbers = pool.insights();
  EXPECT_EQ(numbers.failed, static_cast<std::uint64_t>(count) / 6);
  EXPECT_EQ(numbers.lost, numbers.failed);
  expect_that_all_is_well(pool);
}

// ---- a stack without a limit

namespace {

/// Starts itself again with that limit: the place of the stack is chosen at the start.
const SmallProgram unlimited_stack("unlimited_stack", [](int argc, char** argv) {
  rlimit limit{};
  ::getrlimit(RLIMIT_STACK, &limit);
  if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_max == RLIM_INFINITY) {
    limit.rlim_cur = RLIM_INFINITY;
    ::setrlimit(RLIMIT_STACK, &limit);
    ::execl("/proc/self/exe", argv[0], support::small_program_flag.data(), argv[0], nullptr);
  }
  return rp::run(argc, argv, [] {
    rp::Pool pool(rp::PoolOptions{.processes = 2, .memory_limit = 64u << 20});
    const auto in_thread = [](long x) {
      long result = 0;
      std::thread([&] { result = square(x); }).join();
      return result;
    };
    for (int round = 0; round < 5; ++round) {
      const Failure failure([&] { pool.apply([] { zero = descend(0); }); });
      const auto* const lost = failure.as<rp::WorkerLost>();
      if (lost == nullptr || lost->signal() != SIGSEGV) return 1;
      if (pool.map(in_thread, std::vector<long>(100, 7)) != std::vector<long>(100, 49)) return 2;
    }
    return 0;
  });
});

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their own memory is beyond any limit
TEST_F(TaskFailure, by_endless_recursion_ends_also_where_the_stack_has_no_limit) {
  const Ended ended = support::start("unlimited_stack");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}
#endif
