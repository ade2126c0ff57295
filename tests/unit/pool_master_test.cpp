// The shell around the scheduler, as clients and ranks see it: frames in, frames out.
#include "master_fixture.hpp"

#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

namespace rankpool::engine {
namespace {

using wire::Ask;
using wire::Kind;
using wire::Standing;

/// One pool of one worker, on rank 1.
class Master : public MasterFixture {
 protected:
  Master() : MasterFixture({0, 1}) {
    wire::PoolOpen open{};
    open.processes = 1;
    from(client, Kind::pool_open, pool, wire::bytes_of(open));
    take();
  }
  void submit(std::uint64_t token, int priority = 0, int retries = 0, std::uint64_t tasks = 1) {
    wire::JobOpen open{};
    open.retries = retries;
    open.priority = priority;
    submit_job(token, open, tasks);
  }
  void ask(std::uint64_t token, Ask what) { from(client, Kind::job_ask, token, {}, static_cast<std::uint32_t>(what)); }
  void answer(std::uint64_t job, Standing standing) {
    from({1, 0}, Kind::rank_standing, job, {}, static_cast<std::uint32_t>(standing));
  }
  void finish(std::uint64_t job) { from({1, 0}, Kind::run_done, job, wire::bytes_of(wire::RunDone{0, 1, 1000})); }
  void lose(std::uint64_t job, std::uint64_t timed_out = 0) {
    from({1, 0}, Kind::task_lost, job, wire::bytes_of(wire::TaskLost{0, SIGTERM, 77, 1, 0, {}, timed_out}));
  }
  std::vector<Kind> kinds() {
    std::vector<Kind> result;
    for (const Frame& frame : take()) result.push_back(frame.head.kind);
    return result;
  }
  /// Submits a job that is sent at once; returns the scheduler's number of it.
  std::uint64_t submit_to_rank(std::uint64_t token, int priority = 0, int retries = 0) {
    take();
    submit(token, priority, retries);
    for (const Frame& frame : take())
      if (frame.head.kind == Kind::rank_run) return frame.head.token;
    ADD_FAILURE() << "it was not sent";
    return 0;
  }
  void expect_standing(std::uint64_t token, Standing standing) {
    std::size_t answers = 0;
    for (const Frame& frame : take()) {
      if (frame.head.kind != Kind::job_standing) continue;
      ++answers;
      EXPECT_EQ(frame.head.to, client);
      EXPECT_EQ(frame.head.token, token);
      EXPECT_EQ(frame.head.flags, static_cast<std::uint32_t>(standing));
    }
    EXPECT_EQ(answers, 1U);
  }
};

TEST_F(Master, what_was_not_sent_is_cancelled_here) {
  const std::uint64_t first = submit_to_rank(10);
  submit(11);
  EXPECT_TRUE(take().empty());
  ask(11, Ask::standing);
  expect_standing(11, Standing::waiting);
  ask(11, Ask::cancel);
  expect_standing(11, Standing::cancelled);
  ask(11, Ask::cancel);
  EXPECT_TRUE(take().empty()) << "it has ended";
  finish(first);
  EXPECT_EQ(kinds(), (std::vector{Kind::job_results, Kind::job_done, Kind::rank_job_end}));
}

TEST_F(Master, what_is_skipped_is_neither_sent_nor_counted) {
  wire::JobOpen open{};
  open.pool = pool;
  open.chunksize = 1;
  open.item_bytes = 1;
  from(client, Kind::job_open, 10, wire::bytes_of(open));
  from(client, Kind::job_skip, 10, wire::bytes_of(wire::JobSkip{1000}));
  EXPECT_TRUE(take().empty());
  std::vector<std::byte> item(sizeof(wire::JobItems) + 1);
  const wire::JobItems one{1};
  std::memcpy(item.data(), &one, sizeof one);
  from(client, Kind::job_items, 10, item);
  const std::vector<Frame> sent = take();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[1].head.kind, Kind::rank_run);
  EXPECT_EQ(sent[1].as<wire::RunItems>().first, 1000U);
  from(client, Kind::job_skip, 10, wire::bytes_of(wire::JobSkip{5}));
  from(client, Kind::job_end, 10);
  from({1, 0}, Kind::run_done, sent[1].head.token, wire::bytes_of(wire::RunDone{1000, 1, 1000}));
  EXPECT_EQ(kinds(), (std::vector{Kind::job_results, Kind::job_done, Kind::rank_job_end}));

  from(client, Kind::job_open, 11, wire::bytes_of(open));
  from(client, Kind::job_skip, 11, wire::bytes_of(wire::JobSkip{7}));
  from(client, Kind::job_end, 11);
  EXPECT_EQ(kinds(), std::vector{Kind::job_done}) << "nothing is sent to any rank";
  EXPECT_THROW(from(client, Kind::job_open, 12, {}), wire::BadFrame);
}

TEST_F(Master, the_rank_that_has_the_task_is_asked) {
  const std::uint64_t job = submit_to_rank(10);
  ask(10, Ask::standing);
  ask(10, Ask::cancel);
  const std::vector<Frame> asked = take();
  ASSERT_EQ(asked.size(), 2U);
  for (const Frame& frame : asked) {
    EXPECT_EQ(frame.head.kind, Kind::rank_ask);
    EXPECT_EQ(frame.head.to.rank, 1);
    EXPECT_EQ(frame.head.token, job);
  }
  EXPECT_EQ(asked[1].head.flags, static_cast<std::uint32_t>(Ask::cancel));
  answer(job, Standing::waiting);
  expect_standing(10, Standing::waiting);
  answer(job, Standing::running);
  expect_standing(10, Standing::running);
  answer(job, Standing::running);
  EXPECT_TRUE(take().empty()) << "nobody has asked";
  finish(job);
  EXPECT_EQ(kinds(), (std::vector{Kind::job_results, Kind::job_done, Kind::rank_job_end}));
}

TEST_F(Master, what_a_rank_has_cancelled_is_over) {
  const std::uint64_t job = submit_to_rank(10);
  submit(11);
  take();
  ask(10, Ask::cancel);
  take();
  answer(job, Standing::cancelled);
  EXPECT_EQ(kinds(), (std::vector{Kind::rank_job_end, Kind::job_standing, Kind::rank_job, Kind::rank_run}));
  finish(job);
  EXPECT_TRUE(take().empty());
}

TEST_F(Master, asks_again_when_the_task_was_lost_meanwhile) {
  const std::uint64_t job = submit_to_rank(10, 0, 1);
  ask(10, Ask::cancel);
  EXPECT_EQ(kinds(), std::vector{Kind::rank_ask});
  lose(job);
  const std::vector<Frame> sent = take();
  ASSERT_EQ(sent.size(), 2U) << "behind the task";
  EXPECT_EQ(sent[0].head.kind, Kind::rank_run);
  EXPECT_EQ(sent[0].as<wire::RunItems>().attempt, 1);
  EXPECT_EQ(sent[1].head.kind, Kind::rank_ask);
  EXPECT_EQ(sent[1].head.flags, static_cast<std::uint32_t>(Ask::cancel));
  answer(job, Standing::cancelled);
  expect_standing(10, Standing::cancelled);
}

TEST_F(Master, nobody_answers_for_a_task_that_was_lost_for_good) {
  const std::uint64_t job = submit_to_rank(10);
  ask(10, Ask::cancel);
  take();
  lose(job, 5);
  const std::vector<Frame> sent = take();
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[0].head.kind, Kind::job_lost);
  EXPECT_EQ(sent[0].as<wire::TaskLost>().timed_out, 5U);
  EXPECT_EQ(sent[0].as<wire::TaskLost>().attempts, 1);
  EXPECT_EQ(sent[1].head.kind, Kind::job_done);
  EXPECT_EQ(sent[2].head.kind, Kind::rank_job_end);
}

TEST_F(Master, a_job_of_more_tasks_runs) {
  submit(10, 0, 0, 3);
  take();
  ask(10, Ask::cancel);
  expect_standing(10, Standing::running);
}

TEST_F(Master, a_higher_priority_is_sent_ahead) {
  submit_to_rank(10, 1);
  submit(11, 1);
  EXPECT_TRUE(take().empty());
  submit(12, 7);
  const std::vector<Frame> sent = take();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[1].head.kind, Kind::rank_run);
  EXPECT_EQ(sent[1].as<wire::RunItems>().priority, 7);
}

TEST_F(Master, counts_the_tasks_of_its_jobs) {
  submit(10, 0, 0, 3);
  const std::uint64_t job = take().back().head.token;
  EXPECT_EQ(master_.open_tasks().submitted, 3U);
  EXPECT_EQ(master_.open_tasks().ended, 0U);
  finish(job);
  EXPECT_EQ(master_.open_tasks().ended, 1U);
  from(client, Kind::job_cancel, 10);
  EXPECT_EQ(master_.open_tasks().submitted, 0U);
  EXPECT_EQ(master_.all_tasks().submitted, 3U);
  EXPECT_EQ(master_.all_tasks().ended, 1U);
}

TEST_F(Master, gives_up_what_a_drained_client_has_left) {
  const std::uint64_t first = submit_to_rank(10);
  submit(11, 0, 0, 5);
  submit(12, 0, 0, 0);
  take();
  master_.drain(client, SIGUSR1);
  const std::vector<Frame> asked = take();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].head.kind, Kind::rank_give_back);
  EXPECT_FALSE(master_.drained());
  from({1, 0}, Kind::runs_returned, 1);
  finish(first);
  EXPECT_EQ(kinds(), (std::vector{Kind::job_results, Kind::job_done, Kind::rank_job_end})) << "and nothing is sent";
  submit(13, 0, 0, 2);
  EXPECT_TRUE(master_.drained());
  EXPECT_EQ(master_.give_up(), 7U);
  const std::vector<Frame> told = take();
  ASSERT_EQ(told.size(), 2U);
  for (const Frame& frame : told) {
    EXPECT_EQ(frame.head.kind, Kind::interrupted);
    EXPECT_EQ(frame.head.flags, static_cast<std::uint32_t>(SIGUSR1));
  }
  EXPECT_EQ(told[0].head.token, 11U);
  EXPECT_EQ(told[1].head.token, 13U);
  EXPECT_EQ(master_.give_up(), 0U);
  from(client, Kind::pool_close, pool);
  EXPECT_EQ(kinds(), std::vector{Kind::workers_stop}) << "the pool has nothing left";
}

TEST_F(Master, drains_one_client_only) {
  master_.drain({0, 7}, SIGUSR1);
  const std::uint64_t job = submit_to_rank(10);
  EXPECT_TRUE(master_.drained());
  EXPECT_EQ(master_.give_up(), 0U);
  finish(job);
}

TEST_F(Master, workers_go_by_the_signal_that_is_asked_for) {
  const auto signal = [this](std::uint32_t flags) {
    from(client, Kind::pool_terminate, pool, {}, flags);
    const std::vector<Frame> sent = take();
    return sent.size() == 1 && sent[0].head.kind == Kind::workers_stop ? sent[0].as<wire::WorkersStop>().signal : 0;
  };
  EXPECT_EQ(signal(SIGTERM), static_cast<std::uint32_t>(SIGTERM));
  EXPECT_EQ(signal(0), static_cast<std::uint32_t>(SIGKILL));
}

}  // namespace
}  // namespace rankpool::engine
