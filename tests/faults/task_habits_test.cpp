// Bad habits of tasks: what one does to its process is no harm to the tasks behind it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>
#include <rankpool/register_exception.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;
using support::square;

namespace {

constexpr int rounds = 20;

class TaskHabits : public testing::Test {
 protected:
  /// Small and large results, and small and large arguments.
  void expect_that_all_is_well() {
    const std::vector<long> results = pool_.map(square, std::views::iota(0L, 100L));
    for (long i = 0; i < 100; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
    const auto turn = [](const std::string& text) { return std::string(text.rbegin(), text.rend()); };
    const std::string large(300'000, 'l');
    for (const std::string& result : pool_.map(turn, std::vector<std::string>(6, large + "!"), {.chunksize = 1}))
      ASSERT_TRUE(result == "!" + large);
    const rp::Insights numbers = pool_.insights();
    ASSERT_EQ(numbers.done + numbers.failed, numbers.submitted) << numbers;
  }

  rp::Pool pool_{2};
  support::Scratch scratch_;
};

/// Registered, and of no use: it throws when it is written, read or copied.
struct Stubborn : std::runtime_error {
  explicit Stubborn(int how = 0) : std::runtime_error("stubborn"), how_(how) {}
  Stubborn(const Stubborn& other) : std::runtime_error(other), how_(other.how_) {
    if (how_ == 3) throw std::logic_error("no copy");
  }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& how_;
    if (how_ == (Archive::is_saving::value ? 1 : 2)) throw 7;
  }
  int how_;
};
struct Odd {
  int number = 0;
};
const bool registered = [] {
  rp::register_exception<Stubborn>();
  return true;
}();

void throw_something(int what) {
  const std::string large(10'000'000, 't');
  switch (what) {
    case 0:
      throw 42;
    case 1:
      throw "a literal";
    case 2:
      throw Odd{1};
    case 3:
      throw std::string("text");
    case 4:
      throw nullptr;
    case 5:
      throw std::runtime_error(large);
    case 6:
      throw large;
    case 7:
    case 8:
    case 9:
    case 10:
      throw Stubborn(what - 7);
    case 11:
      try {
        throw_something(2);
      } catch (...) {
        try {
          std::throw_with_nested(std::runtime_error("second"));
        } catch (...) {
          std::throw_with_nested(std::out_of_range("third"));
        }
      }
      break;
    default:
      throw std::make_exception_ptr(Odd{2});
  }
}

}  // namespace

TEST_F(TaskHabits, throwing_anything) {
  ASSERT_TRUE(registered);
  for (int round = 0; round < rounds; ++round) {
    for (int what = 0; what <= 12; ++what) {
      if (round > 2 && (what == 5 || what == 6)) continue;  // enough of large ones
      const Failure failure([&] { pool_.apply(throw_something, what); });
      const auto* const info = failure.as<rp::RemoteInfo>();
      ASSERT_NE(info, nullptr) << what << ": " << failure;
      EXPECT_TRUE(failure.is<std::exception>()) << what << ": " << failure;
      EXPECT_GT(info->pid(), 0);
      if (what == 11) {
        EXPECT_TRUE(failure.is<std::out_of_range>()) << failure;
        EXPECT_NE(info->trace().find("Odd"), std::string::npos) << info->trace();
      }
    }
    expect_that_all_is_well();
  }
  const rp::Insights numbers = pool_.insights();
  EXPECT_EQ(numbers.lost, 0u) << numbers;
  EXPECT_EQ(numbers.workers_started, 2u) << numbers;
}

// ---- descriptors

namespace {

int close_everything(int from) {
  for (int fd = from; fd < 1024; ++fd) ::close(fd);
  return from;
}
/// And puts its own files into their places.
int replace_everything(const std::string& file) {
  close_everything(3);
  for (int i = 0; i < 20; ++i)
    if (::open(file.c_str(), O_RDWR | O_CREAT, 0600) < 0) throw std::runtime_error("cannot open a file");
  return 20;
}

}  // namespace

TEST_F(TaskHabits, closing_descriptors_that_are_not_its_own) {
  for (int round = 0; round < rounds; ++round) {
    EXPECT_EQ(pool_.apply(close_everything, 3), 3);
    expect_that_all_is_well();
    EXPECT_EQ(pool_.apply(replace_everything, scratch_.file("mine")), 20);
    expect_that_all_is_well();
    EXPECT_EQ(pool_.map(close_everything, std::vector<int>(20, 3), {.chunksize = 5}), std::vector<int>(20, 3));
    expect_that_all_is_well();
  }
  EXPECT_EQ(pool_.apply(close_everything, 0), 0) << "the standard streams too";
  expect_that_all_is_well();
  EXPECT_EQ(pool_.insights().lost, 0u);
  EXPECT_TRUE(support::content_of(scratch_.file("mine")).empty()) << "nothing was written into what is not rankpool's";
}

TEST_F(TaskHabits, leaving_none_to_open) {
  const auto no_more = [](int) {
    const rlimit none{3, 3};
    return ::setrlimit(RLIMIT_NOFILE, &none);
  };
  EXPECT_EQ(pool_.map(no_more, std::vector<int>(4), {.chunksize = 1}), std::vector<int>(4, 0));
  const std::vector<long> results = pool_.map(square, std::views::iota(0L, 100L));
  for (long i = 0; i < 100; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
}

// ---- processes of its own

namespace {

int leave_a_child(const std::string& log) {
  const int pid = ::fork();
  if (pid == 0) {
    support::add_line(log, std::to_string(::getpid()));
    for (;;) ::pause();
  }
  return pid;
}

/// Both return: the copy must not answer too.
long return_twice(const std::string& log, long number) {
  const int pid = ::fork();
  if (pid == 0) support::add_line(log, std::to_string(::getpid()));
  if (pid > 0) ::waitpid(pid, nullptr, 0);
  return number * number;
}

long throw_twice(long number) {
  const int pid = ::fork();
  if (pid > 0) ::waitpid(pid, nullptr, 0);
  throw std::domain_error(std::to_string(number));
}

/// What a copy sees of rankpool.
bool copy_is_refused(const rp::Queue<int>& queue) {
  const int pid = ::fork();
  if (pid == 0) {
    const Failure sending([&] { queue.put(1); });
    const Failure waiting([&] { static_cast<void>(queue.get(1s)); });
    const Failure opening([&] { rp::Pool(1).apply(square, 1L); });
    const auto is_clear = [](const Failure& failure) {
      return failure.is<std::logic_error>() && failure.what().find("fork()") != std::string::npos;
    };
    ::_exit(is_clear(sending) && is_clear(waiting) && is_clear(opening) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status == 0;
}

}  // namespace

TEST_F(TaskHabits, leaving_a_child) {
  const std::string log = scratch_.file("children");
  std::vector<int> children;
  {
    rp::Pool pool(1);
    for (int round = 0; round < rounds; ++round) {
      children.push_back(pool.apply(leave_a_child, log));
      ASSERT_EQ(pool.apply(square, 7L), 49);
    }
  }
  for (const int pid : children) EXPECT_TRUE(support::eventually([pid] { return support::is_dead(pid); })) << pid;
}

TEST_F(TaskHabits, returning_in_two_processes) {
  const std::string log = scratch_.file("copies");
  for (int round = 0; round < rounds; ++round) {
    const std::vector<long> results =
        pool_.map(rp::partial(return_twice, log), std::views::iota(0L, 20L), {.chunksize = 5});
    for (long i = 0; i < 20; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
    const Failure failure([&] { pool_.apply(throw_twice, 3L); });
    ASSERT_TRUE(failure.is<std::domain_error>()) << failure;
    expect_that_all_is_well();
  }
  EXPECT_EQ(support::lines_of(log).size(), 20u * rounds);
  EXPECT_EQ(pool_.insights().lost, 0u);
}

TEST_F(TaskHabits, using_rankpool_in_a_copy_of_its_process) {
  rp::Queue<int> queue;
  for (int round = 0; round < rounds; ++round) ASSERT_TRUE(pool_.apply(copy_is_refused, queue)) << "round " << round;
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(copy_is_refused(queue)) << "in the main program";
  queue.put(5);
  EXPECT_EQ(queue.get(), 5);
  expect_that_all_is_well();
}

TEST_F(TaskHabits, ignoring_the_end_of_children) {
  const auto ignore = [](int) { return std::signal(SIGCHLD, SIG_IGN) != SIG_ERR; };
  pool_.map(ignore, std::vector<int>(10), {.chunksize = 1});
  expect_that_all_is_well();
  rp::Pool inner(1);
  EXPECT_EQ(pool_.apply([] {
    rp::Pool nested(1);
    return nested.apply(square, 4L);
  }),
            16);
}

// ---- the state of a process

namespace {

int spoil(const std::string& folder, int number) {
  sigset_t all;
  ::sigfillset(&all);
  switch (number % 8) {
    case 0:
      return ::chdir(folder.c_str());
    case 1:
      return ::sigprocmask(SIG_SETMASK, &all, nullptr);
    case 2:
      for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_IGN);
      return 0;
    case 3:
      ::umask(0777);
      return 0;
    case 4:
      return ::setpriority(PRIO_PROCESS, 0, 19);
    case 5:
      ::close(STDIN_FILENO);
      return 0;
    case 6:
      std::thread([] { std::this_thread::sleep_for(20ms); }).detach();
      return 0;
    default:  // it ends the worker some time later, whatever that does then
      ::alarm(1);
      return 0;
  }
}

}  // namespace

TEST_F(TaskHabits, changing_what_belongs_to_the_process) {
  const std::string folder = scratch_.file("folder");
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  for (int round = 0; round < rounds; ++round) {
    std::vector<int> numbers(7);
    std::iota(numbers.begin(), numbers.end(), 0);
    EXPECT_EQ(pool_.map(rp::partial(spoil, folder), numbers, {.chunksize = 1}), std::vector<int>(7, 0));
    expect_that_all_is_well();
  }
  rp::Pool pool(rp::PoolOptions{.processes = 2, .retries = 3});
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(pool.map(rp::partial(spoil, folder), std::vector<int>{7, 7, 7, 7}, {.chunksize = 1}),
              std::vector<int>(4, 0));
    const auto nap = [](long x) {
      std::this_thread::sleep_for(3ms);
      return x * x;
    };
    EXPECT_EQ(pool.map(nap, std::vector<long>(800, 3)), std::vector<long>(800, 9)) << "the alarm went off meanwhile";
  }
  pool_.terminate();  // deaf workers do not delay it for long
  EXPECT_TRUE(pool_.join_for(support::long_enough));
}

namespace {

std::atomic<bool> goes_on{true};

/// Threads that use rankpool and outlive their task.
int leave_threads(const rp::Queue<int>& queue) {
  for (int i = 0; i < 2; ++i)
    std::thread([queue] {
      try {
        while (goes_on) {
          queue.put(1);
          static_cast<void>(queue.get());
        }
      } catch (const std::exception&) {  // the end
      }
    }).detach();
  return 2;
}

}  // namespace

TEST_F(TaskHabits, leaving_threads_behind) {
  rp::Queue<int> queue;
  for (int round = 0; round < rounds; ++round) {
    rp::Pool pool(2);
    EXPECT_EQ(pool.apply(leave_threads, queue), 2);
    const std::vector<long> results = pool.map(square, std::views::iota(0L, 100L));
    for (long i = 0; i < 100; ++i) ASSERT_EQ(results[static_cast<std::size_t>(i)], i * i);
  }
  expect_that_all_is_well();
}
