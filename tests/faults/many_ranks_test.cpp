// Far more ranks than cores: slow, but everything works and ends.
#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>
#include <ranges>
#include <set>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/tasks.hpp"

namespace rp = rankpool;

namespace {

void answer(rp::Queue<int> questions, rp::Queue<int> answers) {
  for (int question = questions.get(); question >= 0; question = questions.get()) answers.put(question + 1000);
}

}  // namespace

TEST(ManyRanks, map_over_all_of_them) {
  rp::Pool pool;
  EXPECT_GE(pool.processes(), rp::rank_count() - 1);
  const std::vector<long> squares = pool.map(support::square, std::views::iota(0L, 10'000L));
  EXPECT_EQ(std::accumulate(squares.begin(), squares.end(), 0L), 333'283'335'000);
  // a task for each, that cannot be begun by a worker which has one
  const auto where = [](int) {
    ::usleep(100'000);
    return rp::rank();
  };
  const std::vector<int> ranks = pool.map(where, std::views::iota(0, pool.processes()), {.chunksize = 1});
  EXPECT_GT(std::set<int>(ranks.begin(), ranks.end()).size(), static_cast<std::size_t>(rp::rank_count() / 2));
}

TEST(ManyRanks, a_queue_to_the_last_of_them_and_back) {
  rp::Queue<int> questions, answers;
  rp::Process other({.rank = rp::rank_count() - 1}, answer, questions, answers);
  other.start();
  EXPECT_EQ(other.rank(), rp::rank_count() - 1);
  for (int i = 0; i < 50; ++i) {
    questions.put(i);
    EXPECT_EQ(answers.get(), i + 1000);
  }
  questions.put(-1);
  other.join();
  EXPECT_EQ(other.exitcode(), 0);
}
