// CPython's test_concurrent_futures/test_deadlock.py: whatever goes wrong on the way of a task, its future ends, and so
// does the executor, which works on here where Python's is broken.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../support/failure.hpp"
#include "../support/scratch.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

enum class Fault { none, error, exit, crash };

bool in_worker() { return rp::current_process().name.starts_with("PoolWorker"); }

void act(Fault fault) {
  switch (fault) {
    case Fault::none:
      return;
    case Fault::error:
      throw std::runtime_error("an error on the way");
    case Fault::exit:
      std::exit(1);
    case Fault::crash:
      std::signal(SIGSEGV, SIG_DFL);
      ::raise(SIGSEGV);
  }
}

/// Fails where it is told to: when it is written or read, by a worker or by somebody else.
struct Trap {
  Fault saving = Fault::none;
  Fault loading = Fault::none;
  bool at_worker = true;
  int value = 0;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if (Archive::is_saving::value && in_worker() == at_worker) act(saving);
    archive& saving& loading& at_worker& value;
    if (Archive::is_loading::value && in_worker() == at_worker) act(loading);
  }
};

int value_of(const Trap& trap) { return trap.value; }
Trap make_trap(Fault saving, Fault loading, bool at_worker) { return {saving, loading, at_worker, 1}; }
int do_now(Fault fault) {
  act(fault);
  return 1;
}
long next(long x) { return x + 1; }

class ExecutorDeadlock : public ::testing::Test {
 protected:
  /// The executor must be as good as new, for each of its workers.
  void TearDown() override {
    std::vector<rp::Future<long>> futures;
    for (long i = 0; i < 8; ++i) futures.push_back(executor.submit(next, i));
    for (long i = 0; i < 8; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].result(30s), i + 1);
    EXPECT_TRUE(executor.shutdown_for(30s));
  }
  template <class R>
  void expect_lost(rp::Future<R> future, std::optional<int> signal, std::optional<int> exit_code) {
    try {
      future.result(30s);
      FAIL() << "the task has not failed";
    } catch (const rp::WorkerLost& lost) {
      EXPECT_EQ(lost.signal(), signal);
      EXPECT_EQ(lost.exit_code(), exit_code);
    }
  }
  rp::ProcessPoolExecutor executor{2};
};

TEST_F(ExecutorDeadlock, test_error_at_task_pickle) {
  EXPECT_THROW(executor.submit(value_of, Trap{.saving = Fault::error, .at_worker = false}).result(30s),
               rp::SerializationError);
}

TEST_F(ExecutorDeadlock, test_exit_at_task_unpickle) {
  expect_lost(executor.submit(value_of, Trap{.loading = Fault::exit}), {}, 1);
}

TEST_F(ExecutorDeadlock, test_error_at_task_unpickle) {
  EXPECT_THROW(executor.submit(value_of, Trap{.loading = Fault::error}).result(30s), rp::SerializationError);
}

TEST_F(ExecutorDeadlock, test_crash_at_task_unpickle) {
  expect_lost(executor.submit(value_of, Trap{.loading = Fault::crash}), SIGSEGV, {});
}

TEST_F(ExecutorDeadlock, test_crash_during_func_exec_on_worker) {
  expect_lost(executor.submit(do_now, Fault::crash), SIGSEGV, {});
}

TEST_F(ExecutorDeadlock, test_exit_during_func_exec_on_worker) {
  expect_lost(executor.submit(do_now, Fault::exit), {}, 1);
}

TEST_F(ExecutorDeadlock, test_error_during_func_exec_on_worker) {
  EXPECT_THROW(executor.submit(do_now, Fault::error).result(30s), rp::RemoteError);
}

TEST_F(ExecutorDeadlock, test_crash_during_result_pickle_on_worker) {
  expect_lost(executor.submit(make_trap, Fault::crash, Fault::none, true), SIGSEGV, {});
}

TEST_F(ExecutorDeadlock, test_exit_during_result_pickle_on_worker) {
  expect_lost(executor.submit(make_trap, Fault::exit, Fault::none, true), {}, 1);
}

TEST_F(ExecutorDeadlock, test_error_during_result_pickle_on_worker) {
  EXPECT_THROW(executor.submit(make_trap, Fault::error, Fault::none, true).result(30s), rp::SerializationError);
}

TEST_F(ExecutorDeadlock, test_error_during_result_unpickle_in_result_handler) {
  EXPECT_THROW(executor.submit(make_trap, Fault::none, Fault::error, false).result(30s), rp::SerializationError);
}

// mpi4py's TestFuturesPickle: what goes through keeps its state, and what does not is an error of its task alone.
class Mpi4pyPickle : public ExecutorDeadlock {};

TEST_F(Mpi4pyPickle, good_pickle) {
  EXPECT_EQ(executor.submit(value_of, Trap{.value = 7}).result(30s), 7);
  EXPECT_EQ(executor.submit(make_trap, Fault::none, Fault::none, true).result(30s).value, 1);
}

TEST_F(Mpi4pyPickle, bad_pickle) {
  EXPECT_THROW(executor.submit(value_of, Trap{.saving = Fault::error, .at_worker = false}).result(30s),
               rp::SerializationError);
  EXPECT_THROW(executor.submit(make_trap, Fault::error, Fault::none, true).result(30s), rp::SerializationError);
}

TEST_F(Mpi4pyPickle, bad_unpickle) {
  EXPECT_THROW(executor.submit(value_of, Trap{.loading = Fault::error}).result(30s), rp::SerializationError);
  EXPECT_THROW(executor.submit(make_trap, Fault::none, Fault::error, false).result(30s), rp::SerializationError);
}

template <class Call>
const rp::RemoteInfo* where_it_failed(support::Failure& failure, Call&& call) {
  failure = support::Failure(call);
  EXPECT_TRUE(failure.is<rp::SerializationError>()) << failure;
  return failure.as<rp::RemoteInfo>();
}

// What failed here says nothing of another process.
TEST_F(Mpi4pyPickle, exc_pickle) {
  support::Failure failure([] {});
  EXPECT_EQ(
      where_it_failed(failure,
                      [&] { executor.submit(value_of, Trap{.saving = Fault::error, .at_worker = false}).result(30s); }),
      nullptr);
}

// What failed there says where, and what was thrown.
TEST_F(Mpi4pyPickle, exc_unpickle) {
  support::Failure failure([] {});
  const rp::RemoteInfo* where =
      where_it_failed(failure, [&] { executor.submit(value_of, Trap{.loading = Fault::error}).result(30s); });
  ASSERT_NE(where, nullptr);
  EXPECT_NE(where->pid(), ::getpid());
  EXPECT_NE(where->trace().find("an error on the way"), std::string::npos) << where->trace();
}

/// Says when it goes.
struct Watched {
  std::string file;
  int live = 0;

  Watched() = default;
  explicit Watched(std::string path) : file(std::move(path)), live(1) {}
  Watched(Watched&& other) noexcept : file(std::move(other.file)), live(std::exchange(other.live, 0)) {}
  Watched(const Watched& other) = default;
  Watched& operator=(const Watched&) = delete;
  ~Watched() {
    if (live != 0 && in_worker()) support::add_line(file, "gone");
  }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& file& live;
  }
};

// The arguments of a task go with it, in the worker as well.
TEST_F(ExecutorDeadlock, test_ressources_gced_in_workers) {
  const support::Scratch scratch;
  const std::string file = scratch.file("gone");
  executor.submit([](const Watched&) {}, Watched(file)).result(30s);
  EXPECT_TRUE(support::eventually([&] { return support::exists(file); }));
}

}  // namespace
