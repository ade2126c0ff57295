// The exceptions that users catch: what they derive from, what they carry, and what they say.
#include <rankpool/errors.hpp>

#include <gtest/gtest.h>

#include <signal.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace {

using namespace rankpool;

template <class... E>
constexpr bool all_are_errors = (std::is_base_of_v<Error, E> && ...) &&
                                (std::is_convertible_v<E*, std::exception*> && ...) &&
                                (std::is_nothrow_copy_constructible_v<E> && ...);
static_assert(std::is_base_of_v<std::runtime_error, Error>);
static_assert(all_are_errors<RemoteError, WorkerLost, TaskTimeout, TimeoutError, CancelledError, PoolClosed, Empty,
                             Full, Closed, EndOfStream, BrokenPipe, BufferTooShort, TypeMismatch, BrokenBarrier,
                             SerializationError, UnknownFunction, BinaryMismatch, CheckpointError, NotRunning,
                             Interrupted, RankLost, MpiError>);
static_assert(!std::is_base_of_v<std::exception, RemoteInfo>);
static_assert(!std::is_base_of_v<TimeoutError, TaskTimeout>, "get(timeout) in a loop must not swallow a lost task");

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Errors, RemoteErrorCarriesWhereItCameFrom) {
  try {
    throw RemoteError({.type_name = "MyError",
                       .what = "my text",
                       .rank = 2,
                       .host = "node07",
                       .pid = 4711,
                       .task_index = 5,
                       .trace = "trace"});
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "my text");
    const auto& info = dynamic_cast<const RemoteInfo&>(error);
    EXPECT_EQ(info.type_name(), "MyError");
    EXPECT_EQ(info.remote_what(), "my text");
    EXPECT_EQ(info.rank(), 2);
    EXPECT_EQ(info.host(), "node07");
    EXPECT_EQ(info.pid(), 4711);
    EXPECT_EQ(info.task_index(), 5u);
    EXPECT_EQ(info.trace(), "trace");
  }
}

TEST(Errors, AKilledWorker) {
  const WorkerLost lost({.signal = SIGKILL, .rank = 2, .host = "node07", .pid = 4711, .attempts = 3, .task_index = 17});
  EXPECT_EQ(lost.signal(), SIGKILL);
  EXPECT_FALSE(lost.exit_code());
  EXPECT_EQ(lost.attempts(), 3);
  EXPECT_EQ(lost.rank(), 2);
  EXPECT_EQ(lost.host(), "node07");
  for (const char* part : {"task 17", "SIGKILL", "signal 9", "out of memory", "rank 2", "node07", "4711", "3 times"}) {
    EXPECT_TRUE(contains(lost.what(), part)) << part << " in " << lost.what();
  }
}

TEST(Errors, SignalsAreExplained) {
  const auto text = [](int signal) { return std::string(WorkerLost({.signal = signal, .task_index = 1}).what()); };
  EXPECT_TRUE(contains(text(SIGSEGV), "SIGSEGV") && contains(text(SIGSEGV), "-fsanitize=address"));
  EXPECT_TRUE(contains(text(SIGABRT), "abort()"));
  EXPECT_TRUE(contains(text(SIGILL), "-march=native"));
  EXPECT_TRUE(contains(text(SIGSEGV), "retries"));
  EXPECT_TRUE(contains(text(250), "signal 250"));
}

TEST(Errors, AWorkerThatCalledExit) {
  const WorkerLost lost({.exit_code = 3, .rank = 0, .host = "here", .pid = 1});
  EXPECT_EQ(lost.exit_code(), 3);
  EXPECT_FALSE(lost.signal());
  EXPECT_FALSE(lost.task_index());
  EXPECT_TRUE(contains(lost.what(), "exit code 3") && contains(lost.what(), "exit()")) << lost.what();
}

TEST(Errors, BufferTooShortSaysHowMuchIsNeeded) {
  const BufferTooShort error(1000);
  EXPECT_EQ(error.size(), 1000u);
  EXPECT_TRUE(contains(error.what(), "1000"));
}

}  // namespace
