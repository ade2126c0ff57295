// A task that kills the process from which all workers of its rank are forked: that ends the job, with a word and no
// hang.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/processes.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::SmallProgram;
using support::StartOptions;

namespace {

/// On the last rank; with a process beside it that must go too.
int kill_parent(int last) {
  if (rp::rank() != last) return 0;
  if (::fork() == 0) {
    for (;;) ::pause();
  }
  ::kill(::getppid(), SIGKILL);
  support::sleep_for_ever(0);
  return 1;
}

const SmallProgram kills_parent("kills_parent", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool;
    const auto idle = pool.map_async(support::sleep_for_ever, std::vector<int>(1));
    pool.map(kill_parent, std::vector<int>(100, rp::rank_count() - 1), {.chunksize = 1});
    return 0;
  });
});

}  // namespace

TEST(ZygoteDeath, ends_the_job) {
  for (const StartOptions& options : support::every_start()) {
    for (int round = 0; round < (options.ranks == 0 ? 20 : 4); ++round) {
      const Ended ended = support::start("kills_parent", options);
      ASSERT_TRUE(ended.in_time) << ended;
      EXPECT_NE(ended.status, 0) << ended;
      EXPECT_TRUE(ended.left.empty()) << ended;
      EXPECT_NE(ended.err.find("the process that forks the workers of this rank is gone"), std::string::npos) << ended;
    }
  }
}
