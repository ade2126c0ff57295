// What can happen in a history, and on which channel.
#pragma once

#include "history.hpp"

namespace rankpool::simulation {

enum class What {
  act,             // of the user: the next step of the script
  run_to_rank,     // master -> rank
  forget_job,      // master -> rank
  forget_pool,     // master -> rank
  leave,           // master -> rank: the workers of the pool may go
  ask,             // master -> rank: what about the task? count: 1 to cancel it
  give_back,       // master -> rank: so many tasks at most
  give,            // rank -> worker
  task_ends,       // in a worker
  worker_report,   // worker -> rank
  worker_gone,     // worker -> rank
  kill,            // from outside
  rank_report,     // rank -> master
  rank_lost_task,  // rank -> master
  worker_count,    // rank -> master
  returned,        // rank -> master: the answer to give_back
  standing,        // rank -> master; count: 1 if it was cancelled
};

struct History::Event {
  What what;
  int rank = 0;
  int worker = 0;
  PoolId pool = 0;
  scheduler::Run run{0, 0, 0, 1};
  int count = 0;
  std::vector<scheduler::Run> runs{};  // that are returned
};

// Messages of a channel keep their order.
inline constexpr int to_rank = 1000;
inline constexpr int from_rank = 2000;
inline constexpr int to_worker = 100'000;
inline constexpr int from_worker = 50'000'000;
inline constexpr int no_channel = -1;

}  // namespace rankpool::simulation
