// The pools of a job that loses ranks, as clients and ranks see them: frames in, frames out.
#include "master_fixture.hpp"

#include <csignal>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

#include "wire/error_record.hpp"
#include "wire/insights.hpp"
#include "wire/reduce.hpp"

namespace rankpool::engine {
namespace {

using wire::Ask;
using wire::Kind;

/// A pool of two workers, on ranks 1 and 2.
class Losses : public MasterFixture {
 protected:
  static constexpr std::uint64_t token = 10;

  Losses() : MasterFixture({0, 1, 1}, true) { open(pool, client); }

  void open(std::uint64_t number, wire::Address who) {
    wire::PoolOpen open{};
    from(who, Kind::pool_open, number, wire::bytes_of(open));
    for (const Frame& frame : take())
      if (frame.head.kind == Kind::workers_start) pools_[frame.head.to.rank] = frame.head.token;
  }
  void submit(std::uint64_t tasks, detail::Fold fold = detail::Fold::none) {
    wire::JobOpen open{};
    open.fold = fold;
    submit_job(token, open, tasks);
  }
  void lose(int rank) {
    router_.lose(rank);
    master_.rank_lost(rank);
  }
  using MasterFixture::take;
  std::vector<Frame> take(Kind kind) {
    std::vector<Frame> found = take();
    std::erase_if(found, [kind](const Frame& frame) { return frame.head.kind != kind; });
    return found;
  }
  /// The ranks do what they are sent, until nothing is. Returns what the client was sent.
  std::vector<Frame> play() {
    std::vector<Frame> told;
    for (std::vector<Frame> frames = take(); !frames.empty(); frames = take()) {
      for (const Frame& frame : frames) {
        if (frame.head.to == client) told.push_back(frame);
        if (frame.head.kind == Kind::rank_run) run(frame);
        if (frame.head.kind == Kind::rank_reduce && frame.as<wire::RankReduce>().parent < 0)
          from(frame.head.to, Kind::reduce_done, frame.head.token, std::as_bytes(std::span("sum", 3)));
        if (frame.head.kind == Kind::workers_stop) from(frame.head.to, Kind::workers_gone, frame.head.token);
      }
    }
    return told;
  }
  /// A job of ten tasks that have ended, and whose values the ranks have been asked to reduce: its number there.
  std::uint64_t reduce_job() {
    submit(10, detail::Fold::fixed_size);
    std::uint64_t job = 0;
    for (auto frames = take(); job == 0 && !frames.empty(); frames = take()) {
      for (const Frame& frame : frames) {
        if (frame.head.kind == Kind::rank_run) run(frame);
        if (frame.head.kind == Kind::rank_reduce) job = frame.head.token;
      }
      for (const Frame& frame : router_.frames)
        if (frame.head.kind == Kind::rank_reduce) job = frame.head.token;
    }
    take();
    return job;
  }
  void run(const Frame& frame) {
    const auto run = frame.as<wire::RunItems>();
    for (std::uint64_t i = 0; i < run.count; ++i) ++runs_[run.first + i];
    from(frame.head.to, Kind::run_done, frame.head.token, wire::bytes_of(wire::RunDone{run.first, run.count, 1000}));
  }
  static std::size_t count(const std::vector<Frame>& frames, Kind kind) {
    return static_cast<std::size_t>(
        std::count_if(frames.begin(), frames.end(), [kind](const Frame& frame) { return frame.head.kind == kind; }));
  }
  static void expect_lost(const Frame& failed, int rank, const std::string& text) {
    std::span<const std::byte> rest = failed.body;
    wire::take<wire::TaskError>(rest);
    detail::Reader record(rest);
    try {
      std::rethrow_exception(wire::to_exception(wire::ErrorRecord::decode(record), {}));
    } catch (const RankLost& lost) {
      EXPECT_EQ(lost.rank(), rank);
      EXPECT_NE(std::string(lost.what()).find(text), std::string::npos) << lost.what();
    }
  }
  wire::PoolInsights insights() {
    take();
    from(client, Kind::pool_ask, pool, wire::bytes_of(wire::PoolAsk{99}));
    const auto answer = take(Kind::pool_numbers);
    return answer.empty() ? wire::PoolInsights{} : answer.front().as<wire::PoolInsights>();
  }

  std::map<int, std::uint64_t> pools_;  // the scheduler's numbers, as the ranks know them
  std::map<std::uint64_t, int> runs_;   // of each task, that have ended
};

TEST_F(Losses, tasks_under_way_run_on_another_rank_and_count_once) {
  submit(20);
  const std::vector<Frame> first = take(Kind::rank_run);
  ASSERT_GE(first.size(), 2U);
  lose(1);
  for (const Frame& frame : first)
    if (frame.head.to.rank == 2) run(frame);
  const auto told = play();
  EXPECT_EQ(count(told, Kind::job_done), 1U);
  EXPECT_EQ(count(told, Kind::job_lost), 0U);
  ASSERT_EQ(runs_.size(), 20U);
  for (const auto& [task, times] : runs_) EXPECT_EQ(times, 1) << task;
  const wire::PoolInsights sums = insights();
  EXPECT_EQ(sums.done, 20U);
  EXPECT_EQ(sums.under_way, 0U);
  EXPECT_EQ(sums.lost, 0U) << "nobody's attempt";
}

TEST_F(Losses, the_last_workers_take_their_pool_with_them) {
  submit(20);
  lose(1);
  take();
  lose(2);
  const auto told = take();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].head.kind, Kind::pool_failed);
  EXPECT_EQ(told[0].head.to, client);
  expect_lost(told[0], 2, "rank 2 (host h2)");
  EXPECT_EQ(told[1].head.kind, Kind::pool_ended);

  open(7, client);
  from(client, Kind::pool_open, 8, wire::bytes_of(wire::PoolOpen{}));
  const auto refused = take();
  ASSERT_EQ(refused.size(), 2U);
  EXPECT_EQ(refused[0].head.kind, Kind::pool_failed);
  expect_lost(refused[0], 2, "no rank with slots is left");
  EXPECT_EQ(refused[1].head.kind, Kind::pool_ended);
}

TEST_F(Losses, a_later_pool_lives_on_the_others) {
  lose(1);
  pools_.clear();
  open(7, client);
  EXPECT_FALSE(pools_.contains(1));
  EXPECT_TRUE(pools_.contains(2));
}

TEST_F(Losses, a_rank_that_is_lost_need_not_say_that_its_workers_have_gone) {
  from(client, Kind::pool_close, pool);
  EXPECT_EQ(take(Kind::workers_stop).size(), 2U);
  from({2, 0}, Kind::workers_gone, pools_.at(2));
  EXPECT_TRUE(take().empty());
  lose(1);
  EXPECT_EQ(take(Kind::pool_ended).size(), 1U);
}

TEST_F(Losses, one_that_has_said_it_counts_once) {
  from(client, Kind::pool_close, pool);
  from({1, 0}, Kind::workers_gone, pools_.at(1));
  take();
  lose(1);
  EXPECT_TRUE(take().empty());
  from({2, 0}, Kind::workers_gone, pools_.at(2));
  EXPECT_EQ(take(Kind::pool_ended).size(), 1U);
}

TEST_F(Losses, a_question_goes_on_to_where_the_task_is_now) {
  submit(1);
  const auto sent = take(Kind::rank_run);
  ASSERT_EQ(sent.size(), 1U);
  const int first = sent[0].head.to.rank;
  from(client, Kind::job_ask, token, {}, static_cast<std::uint32_t>(Ask::cancel));
  EXPECT_EQ(take(Kind::rank_ask).size(), 1U);
  lose(first);
  const auto asked = take(Kind::rank_ask);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].head.to.rank, 3 - first);
}

TEST_F(Losses, the_pools_of_its_processes_end) {
  open(3, {1, 5});
  const std::uint64_t number = pools_.at(2);
  take();
  lose(1);
  const auto stopped = take(Kind::workers_stop);
  ASSERT_EQ(stopped.size(), 1U);
  EXPECT_EQ(stopped[0].head.to.rank, 2);
  EXPECT_EQ(stopped[0].head.token, number);
  EXPECT_EQ(stopped[0].as<wire::WorkersStop>().signal, static_cast<std::uint32_t>(SIGKILL));
}

TEST_F(Losses, values_that_were_reduced_there_are_computed_again) {
  submit(20, detail::Fold::fixed_size);
  const auto first = take(Kind::rank_run);
  std::uint64_t there = 0;
  for (const Frame& frame : first) {
    if (frame.head.to.rank != 1) continue;
    run(frame);
    there += frame.as<wire::RunItems>().count;
  }
  ASSERT_GT(there, 0U);
  for (const Frame& frame : take(Kind::rank_run))  // what it was sent next has not ended
    if (frame.head.to.rank == 2) run(frame);
  lose(1);
  for (const Frame& frame : first)
    if (frame.head.to.rank == 2) run(frame);
  const auto told = play();
  EXPECT_EQ(count(told, Kind::job_done), 1U);
  EXPECT_EQ(count(told, Kind::job_results), 1U);
  ASSERT_EQ(runs_.size(), 20U);
  std::uint64_t again = 0;
  for (const auto& [task, times] : runs_) again += static_cast<std::uint64_t>(times - 1);
  EXPECT_EQ(again, there);
  EXPECT_EQ(insights().done, 20U);
}

TEST_F(Losses, a_loss_while_values_meet_begins_the_job_anew) {
  const std::uint64_t job = reduce_job();
  runs_.clear();
  lose(1);
  const auto& said = router_.frames;
  EXPECT_TRUE(std::any_of(said.begin(), said.end(), [&](const Frame& frame) {
    return frame.head.kind == Kind::rank_job_end && frame.head.token == job && frame.head.to.rank == 2;
  }));
  const auto told = play();
  EXPECT_EQ(count(told, Kind::job_done), 1U);
  EXPECT_EQ(count(told, Kind::job_results), 1U);
  EXPECT_EQ(runs_.size(), 10U) << "all of it";
  from({2, 0}, Kind::reduce_done, job);
  EXPECT_TRUE(take().empty()) << "the old one counts no more";
}

TEST_F(Losses, also_after_the_pool_was_closed) {
  reduce_job();
  from(client, Kind::pool_close, pool);
  EXPECT_TRUE(take(Kind::workers_stop).empty()) << "the workers still reduce";
  lose(1);
  const auto told = play();
  EXPECT_EQ(count(told, Kind::job_results), 1U);
  EXPECT_EQ(count(told, Kind::job_done), 1U);
  EXPECT_EQ(count(told, Kind::pool_ended), 1U);
}

}  // namespace
}  // namespace rankpool::engine
