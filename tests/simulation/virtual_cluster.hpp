// A cluster with a virtual clock: the real scheduler and dealers, pretended ranks, workers and delays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <queue>
#include <utility>
#include <vector>

#include "scheduler/pool_scheduler.hpp"
#include "scheduler/rank_dealer.hpp"

namespace rankpool::simulation {

using scheduler::JobId;
using scheduler::Nanoseconds;
using scheduler::Run;
using scheduler::TaskIndex;

struct ClusterOptions {
  std::vector<int> workers = {1};      ///< of the one pool, by rank
  std::int64_t rank_delay = 8'000;     ///< of a message between rank 0 and another, in ns
  std::int64_t worker_delay = 2'000;   ///< of a frame between a rank and its worker
  std::int64_t report_after = 50'000;  ///< a worker reports after this much work, or when it has nothing more to do
};

/// One pool (number 1) on that many workers; jobs are submitted to `scheduler()`, then `run()`.
class VirtualCluster {
 public:
  using Duration = std::function<std::int64_t(JobId, TaskIndex)>;

  VirtualCluster(ClusterOptions options, Duration duration)
      : options_(std::move(options)), duration_(std::move(duration)) {
    scheduler_.set_round_trip(Nanoseconds(2 * (options_.rank_delay + options_.worker_delay)));
    scheduler_.open_pool(1, options_.workers);
    for (const int count : options_.workers) {
      auto& rank = ranks_.emplace_back(std::make_unique<Rank>());
      rank->workers.resize(static_cast<std::size_t>(count));
      for (int worker = 0; worker < count; ++worker) rank->dealer.add_worker(1, static_cast<std::uint32_t>(worker));
    }
  }

  scheduler::PoolScheduler& scheduler() noexcept { return scheduler_; }

  /// Until nothing happens any more.
  void run() {
    drain_scheduler();
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      if (event.kind == Kind::run_arrives) {
        ranks_[event.rank]->dealer.add_run(1, event.run);
        drain_dealer(event.rank);
      } else if (event.kind == Kind::give_arrives) {
        Worker& worker = ranks_[event.rank]->workers[event.worker];
        worker.given.push_back(event.run);
        if (!worker.running) work_on(event.rank, event.worker);
      } else if (event.kind == Kind::task_ends) {
        end_task(event.rank, event.worker);
      } else if (event.kind == Kind::worker_reports) {
        const bool accepted = ranks_[event.rank]->dealer.finished(event.worker, event.run.job, event.run.first,
                                                                  event.run.count, Nanoseconds(event.work));
        if (!accepted) continue;
        drain_dealer(event.rank);
        Event report = event;
        report.kind = Kind::rank_reports;
        post(options_.rank_delay, report);
      } else {
        if (scheduler_.finished(static_cast<int>(event.rank), event.run.job, event.run.first, event.run.count,
                                Nanoseconds(event.work))) {
          finished_ += event.run.count;
          makespan_ = now_;
        }
        ++reports_;
        drain_scheduler();
      }
    }
  }

  std::int64_t makespan() const noexcept { return makespan_; }
  /// Work in all, by worker.
  double ideal() const {
    const int workers = std::accumulate(options_.workers.begin(), options_.workers.end(), 0);
    return static_cast<double>(work_) / workers;
  }
  double ratio() const { return static_cast<double>(makespan_) / ideal(); }
  std::uint64_t finished() const noexcept { return finished_; }
  std::uint64_t runs_sent() const noexcept { return runs_sent_; }
  std::uint64_t gives() const noexcept { return gives_; }
  std::uint64_t reports() const noexcept { return reports_; }
  std::uint64_t jobs_ended() const noexcept { return jobs_ended_; }
  std::uint64_t largest_chunk() const noexcept { return largest_chunk_; }

 private:
  enum class Kind : std::uint8_t { run_arrives, give_arrives, task_ends, worker_reports, rank_reports };
  struct Event {
    Kind kind;
    std::size_t rank = 0;
    std::uint32_t worker = 0;
    Run run = {};
    std::int64_t work = 0;
    std::int64_t time = 0;
    std::uint64_t number = 0;
    bool operator<(const Event& other) const noexcept {
      return std::pair(time, number) > std::pair(other.time, other.number);
    }
  };
  struct Worker {
    std::deque<Run> given;
    bool running = false;
    Run done = {};  // not reported yet
    std::int64_t done_work = 0;
  };
  struct Rank {
    scheduler::RankDealer dealer;
    std::vector<Worker> workers;
  };

  void post(std::int64_t delay, Event event) {
    event.time = now_ + delay;
    event.number = ++posted_;
    events_.push(event);
  }

  void work_on(std::size_t rank, std::uint32_t number) {
    Worker& worker = ranks_[rank]->workers[number];
    worker.running = true;
    post(duration_(worker.given.front().job, worker.given.front().first),
         Event{.kind = Kind::task_ends, .rank = rank, .worker = number});
  }

  void end_task(std::size_t rank, std::uint32_t number) {
    Worker& worker = ranks_[rank]->workers[number];
    Run& run = worker.given.front();
    const std::int64_t work = duration_(run.job, run.first);
    work_ += work;
    if (worker.done.count == 0) worker.done = Run{run.job, run.first, 0, 1};
    ++worker.done.count;
    worker.done_work += work;
    ++run.first;
    if (--run.count == 0) worker.given.pop_front();
    worker.running = false;
    const bool goes_on = !worker.given.empty() && worker.given.front().job == worker.done.job &&
                         worker.given.front().first == worker.done.first + worker.done.count;
    if (!goes_on || worker.done_work >= options_.report_after) {
      post(options_.worker_delay, Event{.kind = Kind::worker_reports,
                                        .rank = rank,
                                        .worker = number,
                                        .run = std::exchange(worker.done, Run{}),
                                        .work = std::exchange(worker.done_work, 0)});
    }
    if (!worker.given.empty()) work_on(rank, number);
  }

  void drain_scheduler() {
    for (const scheduler::Action& action : scheduler_.actions()) {
      if (const auto* send = std::get_if<scheduler::SendRun>(&action)) {
        ++runs_sent_;
        largest_chunk_ = std::max(largest_chunk_, send->run.chunk);
        post(options_.rank_delay,
             Event{.kind = Kind::run_arrives, .rank = static_cast<std::size_t>(send->rank), .run = send->run});
      } else if (std::holds_alternative<scheduler::EndJob>(action)) {
        ++jobs_ended_;
      }
    }
    scheduler_.actions().clear();
  }

  void drain_dealer(std::size_t rank) {
    auto& actions = ranks_[rank]->dealer.actions();
    for (const scheduler::DealerAction& action : actions) {
      const auto& give = std::get<scheduler::Give>(action);
      ++gives_;
      post(options_.worker_delay,
           Event{.kind = Kind::give_arrives, .rank = rank, .worker = give.worker, .run = give.run});
    }
    actions.clear();
  }

  ClusterOptions options_;
  Duration duration_;
  scheduler::PoolScheduler scheduler_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::priority_queue<Event> events_;
  std::int64_t now_ = 0;
  std::int64_t makespan_ = 0;
  std::int64_t work_ = 0;
  std::uint64_t posted_ = 0;
  std::uint64_t finished_ = 0;
  std::uint64_t runs_sent_ = 0;
  std::uint64_t gives_ = 0;
  std::uint64_t reports_ = 0;
  std::uint64_t jobs_ended_ = 0;
  std::uint64_t largest_chunk_ = 0;
};

}  // namespace rankpool::simulation
