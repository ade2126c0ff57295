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
  std::vector<int> workers = {1};          ///< of the one pool, by rank
  std::int64_t rank_delay = 8'000;         ///< of a message between rank 0 and another, in ns
  std::int64_t worker_delay = 2'000;       ///< of a frame between a rank and its worker
  std::int64_t rank_look = 1'000'000;      ///< how often a rank looks at tasks behind others
  std::int64_t look = 2'000'000;           ///< how often rank 0 looks at tasks that wait at other ranks
  std::int64_t engine_sleep = 20'000'000;  ///< it finds results that it was not rung for then at the latest
  std::int64_t report_after = 50'000;      ///< a worker reports after this much work, or when it has nothing more to do
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
        if (event.recalls != worker.recalls) continue;  // taken back on its way
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
      } else if (event.kind == Kind::rank_looks) {
        ranks_[event.rank]->looks = false;
        ranks_[event.rank]->dealer.rebalance();
        drain_dealer(event.rank);
      } else if (event.kind == Kind::looks) {
        looks_ = false;
        scheduler_.rebalance();
        drain_scheduler();
      } else if (event.kind == Kind::question_arrives) {
        scheduler::RankDealer& dealer = ranks_[event.rank]->dealer;
        dealer.prepare_give_back(1, event.run.count);
        drain_dealer(event.rank);
        post(options_.rank_delay,
             Event{.kind = Kind::returned, .rank = event.rank, .runs = dealer.give_back(1, event.run.count)});
        drain_dealer(event.rank);
      } else if (event.kind == Kind::returned) {
        for (const Run& run : scheduler_.returned(static_cast<int>(event.rank), 1, event.runs)) returned_ += run.count;
        drain_scheduler();
      } else {
        if (scheduler_.finished(static_cast<int>(event.rank), event.run.job, event.run.first, event.run.count,
                                Nanoseconds(event.work))) {
          finished_ += event.run.count;
          if (event.run.count > 1 || duration_(event.run.job, event.run.first) < long_task_) shorts_end_ = now_;
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
  /// When the last task that is shorter than a millisecond ended.
  std::int64_t shorts_end() const noexcept { return shorts_end_; }
  /// Tasks that ranks have given back.
  std::uint64_t returned() const noexcept { return returned_; }
  std::uint64_t finished() const noexcept { return finished_; }
  std::uint64_t runs_sent() const noexcept { return runs_sent_; }
  std::uint64_t gives() const noexcept { return gives_; }
  std::uint64_t reports() const noexcept { return reports_; }
  std::uint64_t jobs_ended() const noexcept { return jobs_ended_; }
  std::uint64_t largest_chunk() const noexcept { return largest_chunk_; }

 private:
  enum class Kind : std::uint8_t {
    run_arrives,
    give_arrives,
    task_ends,
    worker_reports,
    rank_reports,
    rank_looks,
    looks,
    question_arrives,
    returned
  };
  struct Event {
    Kind kind;
    std::size_t rank = 0;
    std::uint32_t worker = 0;
    Run run = {};
    std::int64_t work = 0;
    std::uint64_t recalls = 0;
    std::vector<Run> runs = {};
    std::int64_t time = 0;
    std::uint64_t number = 0;
    bool operator<(const Event& other) const noexcept {
      return std::pair(time, number) > std::pair(other.time, other.number);
    }
  };
  struct Worker {
    std::deque<Run> given;
    std::uint64_t begun = 0;
    std::uint64_t recalls = 0;
    bool running = false;
    Run done = {};  // not reported yet
    std::int64_t done_work = 0;
  };
  struct Rank {
    scheduler::RankDealer dealer;
    bool looks = false;  // is about to
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
    ++worker.begun;
    const std::int64_t work = duration_(worker.given.front().job, worker.given.front().first);
    if (work > options_.engine_sleep && worker.done.count > 0) report(rank, number, options_.engine_sleep);
    post(work, Event{.kind = Kind::task_ends, .rank = rank, .worker = number});
  }

  void report(std::size_t rank, std::uint32_t number, std::int64_t delay) {
    Worker& worker = ranks_[rank]->workers[number];
    post(delay, Event{.kind = Kind::worker_reports,
                      .rank = rank,
                      .worker = number,
                      .run = std::exchange(worker.done, Run{}),
                      .work = std::exchange(worker.done_work, 0)});
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
    if (!goes_on || worker.done_work >= options_.report_after) report(rank, number, options_.worker_delay);
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
      } else if (const auto* back = std::get_if<scheduler::AskBack>(&action)) {
        post(options_.rank_delay, Event{.kind = Kind::question_arrives,
                                        .rank = static_cast<std::size_t>(back->rank),
                                        .run = Run{0, 0, back->count, 1}});
      }
    }
    scheduler_.actions().clear();
    if (scheduler_.uneven() && !std::exchange(looks_, true)) post(options_.look, Event{.kind = Kind::looks});
  }

  void drain_dealer(std::size_t rank) {
    auto& actions = ranks_[rank]->dealer.actions();
    for (std::size_t next = 0; next < actions.size(); ++next) {
      const scheduler::DealerAction action = actions[next];
      if (const auto* back = std::get_if<scheduler::Recall>(&action)) {
        recall(rank, back->worker);
        continue;
      }
      const auto& give = std::get<scheduler::Give>(action);
      ++gives_;
      post(options_.worker_delay, Event{.kind = Kind::give_arrives,
                                        .rank = rank,
                                        .worker = give.worker,
                                        .run = give.run,
                                        .recalls = ranks_[rank]->workers[give.worker].recalls});
    }
    actions.clear();
    if (ranks_[rank]->dealer.uneven() && !std::exchange(ranks_[rank]->looks, true))
      post(options_.rank_look, Event{.kind = Kind::rank_looks, .rank = rank});
  }

  void recall(std::size_t rank, std::uint32_t number) {
    Worker& worker = ranks_[rank]->workers[number];
    ++worker.recalls;
    if (worker.running) {
      worker.given.resize(1);
      worker.given.front().count = 1;
    } else {
      worker.given.clear();
    }
    ranks_[rank]->dealer.recalled(number, worker.begun);
  }

  ClusterOptions options_;
  Duration duration_;
  scheduler::PoolScheduler scheduler_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::priority_queue<Event> events_;
  std::int64_t now_ = 0;
  static constexpr std::int64_t long_task_ = 1'000'000;
  bool looks_ = false;  // is about to
  std::int64_t makespan_ = 0;
  std::int64_t shorts_end_ = 0;
  std::uint64_t returned_ = 0;
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
