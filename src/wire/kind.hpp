// Every kind of frame, and who sends it to whom.
#pragma once

#include <cstdint>

namespace rankpool::wire {

enum class Kind : std::uint32_t {
  none,
  test,  // the unit tests of rings and transports

  // client -> scheduler (engine of rank 0); token: the client's number for the pool or job
  pool_open,       // PoolOpen, then the initializer
  pool_close,      // no new jobs; workers leave when all is done
  pool_terminate,  // drop everything now
  job_open,        // JobOpen, then the callable
  job_items,       // JobItems, then the items: one block
  job_end,         // JobEnd: no more items
  job_cancel,      // forget the job (its input failed)

  // scheduler -> client; token: as above
  job_results,  // RunDone, then the results
  job_error,    // TaskError, then the error
  job_lost,     // TaskLost
  job_done,     // every task of the job has ended
  pool_failed,  // an initializer failed: the error
  pool_ended,   // all workers of a closed pool are gone

  // scheduler -> engine of a rank; token: the scheduler's number for the pool or job
  workers_start,  // WorkersStart, then the initializer
  workers_stop,   // WorkersStop
  rank_job,       // RankJob, then the callable
  rank_run,       // RunItems, then the items
  rank_job_end,   // forget the job
  shutdown,       // the program has ended

  // engine of a rank -> scheduler
  run_done,        // RunDone, then the results
  task_error,      // TaskError, then the error
  task_lost,       // TaskLost
  workers_failed,  // an initializer failed, or no child can be forked: the error
  workers_gone,    // all workers of a stopped pool have left this rank
  client_gone,     // a user process has ended: its pools end too
  bye,             // answer to shutdown

  // user process -> home engine of an object; token: the object's number. The structs are in wire/objects.hpp.
  object_make,      // ObjectMake, then what this kind of object wants to know
  object_request,   // ObjectRequest, then what the operation wants
  object_withdraw,  // ObjectRequest: the caller has no more time for it
  object_hold,      // ObjectHold: this process has a handle now
  object_drop,      // this process has no handle any more
  object_pin,       // ObjectPin: a handle is on its way inside a message, or has arrived

  // home engine -> user process
  object_reply,  // token: the request's; flags: the Status; then the answer
  object_note,   // token: the one of ObjectHold; flags: depends on the object; then what it wants to say

  // engine -> its child
  child_start,    // ChildStart: who you are; then the initializer
  child_job,      // RankJob, then the callable
  child_run,      // RunItems, then the items
  child_job_end,  // forget the job
  child_stop,     // leave

  // child -> its engine
  child_ready,       // the initializer has run
  child_init_error,  // the initializer threw: the error
  child_result,      // RunDone, then the results of consecutive tasks
  child_error,       // TaskError, then the error
};

}  // namespace rankpool::wire
