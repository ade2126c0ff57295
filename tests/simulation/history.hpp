// A random history of pools, jobs, priorities, deaths and cancellations, with a naive model beside it that checks every
// step.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/pool_scheduler.hpp"
#include "scheduler/rank_dealer.hpp"

namespace rankpool::simulation {

/// One history; all of it follows from the seed. Messages between two places keep their order and are delayed at
/// random.
class History {
 public:
  explicit History(std::uint64_t seed);
  ~History();

  /// Until nothing is left to happen. Returns what went wrong first; empty: nothing.
  std::string run();

  struct Counts {
    std::uint64_t tasks = 0, deaths = 0, failed = 0, cancelled = 0, terminated = 0, retired = 0, ranks_lost = 0,
                  refused = 0, recalls = 0, asked = 0, asked_again = 0, taken_back = 0, innocent = 0, asked_back = 0,
                  returned = 0, skipped = 0, run_again = 0;
  };
  const Counts& counts() const noexcept { return counts_; }

 private:
  using JobId = scheduler::JobId;
  using PoolId = scheduler::PoolId;
  using TaskIndex = scheduler::TaskIndex;

  enum State : std::size_t { unsent, under_way, waits_again, ended };
  struct Task {
    State state = unsent;
    int rank = -1;
    int losses = 0;
    int worker = -1;       // in which it is; it may be in one only
    bool at_rank = false;  // the rank knows it, and has not reported it
    bool failed = false;   // it has ended without a value
  };
  struct Job {
    PoolId pool = 0;
    std::uint64_t number = 0;
    scheduler::JobOptions options;
    std::vector<Task> tasks;
    std::vector<TaskIndex> block_ends;
    std::array<std::size_t, 4> in_state{};  // tasks, by state
    std::array<int, 4> under_way_at{};      // tasks, by rank
    bool all_known = false, live = true, deadly = false;
    bool folds = false;               // a value stays at the rank where it was computed
    bool dropped = false;             // by a rank: it was asked to, and nothing of the job was begun
    std::array<bool, 4> forgotten{};  // by rank
    int blocks_to_come = 0;
    std::deque<bool> asked;  // of a rank: to cancel it?
  };
  struct Pool {
    std::vector<int> workers;
    std::uint64_t max_tasks = 0;
    bool closed = false, live = true;
    int jobs_to_come = 0;
  };
  struct Worker {
    int rank = 0;
    PoolId pool = 0;
    std::uint64_t max_tasks = 0, begun = 0, recalls = 0;
    std::deque<scheduler::Run> queue;                // a run without tasks says that a recall was taken in
    std::vector<std::pair<JobId, TaskIndex>> tasks;  // that it was given in its life and that were not taken back
    bool running = false, alive = true, leaving = false, retired = false, innocent = false;
    scheduler::Run done{0, 0, 0, 1};
  };
  struct Event;

  std::uint64_t random(std::uint64_t below);
  bool chance(double probability);
  void fail(const std::string& what);
  void post(int channel, Event event);

  void script();
  void handle(const Event& event);
  void spawn(int rank, PoolId pool);
  void remove_worker(int id);
  void go_on(int id);
  void begin_task(int id);
  std::uint64_t recall(int id, std::optional<JobId> dropped = {});
  void ask(JobId id, bool cancel);
  void ask_at_rank(const Event& event);
  void answered(const Event& event);
  std::uint64_t unanswered() const;
  void end_task(int id);
  void flush(int id);
  void report(const Event& event);
  void give_back(const Event& event);
  void returned(const Event& event);
  void ask_again(JobId id);
  void damage_report(int rank);
  void lose_rank(int rank);
  void run_folded_again(JobId id, int rank);
  void forget_job(JobId id);
  static void set_state(Job& job, TaskIndex index, State state, int rank = -1);
  static bool complete(const Job& job);
  void drain_scheduler();
  void drain_dealer(int rank);
  void check_send(const scheduler::SendRun& send);
  void check_give(int rank, const scheduler::Give& give);
  void check_priority(int rank, const scheduler::Run& run);
  void check_ends();
  void check_nobody_idle();

  std::mt19937_64 random_;
  scheduler::PoolScheduler scheduler_;
  std::vector<std::unique_ptr<scheduler::RankDealer>> dealers_;
  std::vector<bool> rank_lives_;
  std::map<PoolId, Pool> pools_;
  std::map<JobId, Job> jobs_;
  std::map<int, Worker> workers_;
  std::multimap<std::uint64_t, Event> events_;
  std::map<int, std::uint64_t> last_on_channel_;
  std::uint64_t now_ = 0;
  std::uint64_t longest_delay_ = 1;
  double death_ = 0;
  double damage_ = 0;
  int priorities_ = 1;
  bool thorough_ = false;
  int next_worker_ = 1;
  Counts counts_;
  std::string failure_;
};

}  // namespace rankpool::simulation
