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
  pool_terminate,  // drop everything now; flags: the signal for the workers, as in WorkersStop, 0: SIGKILL
  pool_ask,        // PoolAsk: the answer is a pool_numbers, unless the pool has ended
  job_open,        // JobOpen, then the callable; flags: Awaited
  job_items,       // JobItems, then the items: one block
  job_skip,        // JobSkip: the next tasks of the job have their results already
  job_end,         // JobEnd: no more items
  job_cancel,      // forget the job (its input failed, or nobody wants its results any more)
  job_ask,         // flags: Ask; the answer is a job_standing, unless the job has ended

  // scheduler -> client; token: as above
  job_results,   // RunDone, then the results; flags: Awaited
  job_error,     // TaskError, then the error
  job_lost,      // TaskLost
  job_done,      // every task of the job has ended
  job_standing,  // flags: Standing; `cancelled` is the end of the job
  pool_failed,   // an initializer failed: the error
  pool_ended,    // all workers of a closed pool are gone: PoolInsights
  pool_numbers,  // token: that of the PoolAsk; PoolInsights

  // scheduler -> engine of a rank; token: the scheduler's number for the pool or job
  workers_start,   // WorkersStart, then the initializer
  workers_stop,    // WorkersStop
  rank_job,        // RankJob, then the callable
  rank_run,        // RunItems, then the items
  rank_job_end,    // forget the job
  rank_ask,        // flags: Ask; the answer is a rank_standing, unless the task has ended
  shutdown,        // the program has ended
  rank_reduce,     // RankReduce: all tasks of the job have ended
  rank_give_back,  // token: the pool's; GiveBack: the answer is a runs_returned

  // engine of a rank -> scheduler
  run_done,        // RunDone, then the results
  task_error,      // TaskError, then the error
  task_lost,       // TaskLost
  rank_standing,   // flags: Standing
  workers_failed,  // an initializer failed, or no child can be forked: the error
  worker_started,  // a worker of the pool was forked
  workers_gone,    // all workers of a stopped pool have left this rank
  client_gone,     // a user process has ended: its pools end too; then its lease words (link::LeaseStates)
  bye,             // answer to shutdown
  reduce_done,     // the value to which all ranks have reduced the job; nothing if there is none
  reduce_error,    // TaskError, then the error: of a task that had ended before, or of none
  reduce_lost,     // TaskLost: the same
  runs_returned,   // token: the pool's; ReturnedRun for all that were not begun and will not be begun here
  signalled,       // flags: the signal that has come to that rank
  still_running,   // flags: the tasks that run there now; after stop_running, whenever that changes

  // engine of rank 0 -> engine of a rank
  stop_running,  // the job ends soon; token: the Stop, flags: the signal for which it does
  // engine of rank 0 -> engine of a rank -> its user processes; token: the rank
  rank_lost,  // RankLost: nothing comes from there any more
  // engine of rank 0 -> main program; flags: the signal
  interrupted,  // token: of a job, or a Process to be started: that does not come any more; 0: nothing does

  // engine of a rank -> engine of a rank; token: the scheduler's number for the job
  rank_partial,  // the value of that rank and those below it; nothing if there is none

  // user process -> home engine of an object; token: the object's number. The structs are in wire/objects.hpp.
  object_make,      // ObjectMake, then what this kind of object wants to know
  object_request,   // ObjectRequest, then what the operation wants
  object_withdraw,  // ObjectRequest: the caller has no more time for it
  object_hold,      // ObjectHold: this process has a handle now
  object_drop,      // this process has no handle any more
  object_pin,       // ObjectPin: a handle is on its way inside a message, or has arrived

  // user process -> engine; the structs are in wire/process.hpp
  process_start,   // to rank 0, token: the client's number for the Process: ProcessStart, then the call
  process_signal,  // to its rank, token: its link, flags: the signal
  process_ask,     // to any rank, token: the request's: ProcessAsk

  // engine of rank 0 -> engine of a rank; token: rank 0's number for the Process
  process_spawn,  // ProcessSpawn, then the call
  process_kill,   // it is a daemon and its parent has ended

  // engine of a rank -> engine of rank 0; token: as above
  process_gone,  // it has ended, or could not be forked

  // engine of a rank -> user process; token: its number for the Process, or the request's
  process_started,  // ProcessStarted
  process_failed,   // ProcessFailed
  process_ready,    // it has decoded its call
  process_ended,    // flags: the wait status
  process_answer,   // flags: 1 if the process asked for lives
  // user process -> its engine
  window_map,  // WindowMap: the answer is an object_reply with a slice of the window

  // user process -> its engine, which does by one-sided operations what it can, and sends the home what it cannot;
  // token: the object's number. An ObjectRequest, then one of the structs of wire/one_sided.hpp
  window_lock,       // WindowLock: a LockOp
  window_semaphore,  // WindowSemaphore: a SemaphoreOp
  window_withdraw,   // the struct of the operation again: the caller has no more time for it
  window_word,       // WindowWord: the answer is a WordResult
  window_read,       // WindowRange: the answer are the bytes
  window_write,      // WindowRange, then the bytes

  // user process -> its engine; token: the object's number. An ObjectRequest, then a SharedGet
  shared_get,       // the answer is an object_reply with the value
  shared_withdraw,  // the caller has no more time for it

  // home engine -> user process
  object_reply,  // token: the request's; flags: the Status; then the answer
  object_note,   // token: the one of ObjectHold; flags: depends on the object; then what it wants to say

  // home engine <-> engine of a process to which items of a queue are lent; token: the object's number
  lease_recall,    // LeaseRecall: it may take no more
  lease_returned,  // LeaseReturned: what it had taken

  // engine of a rank <-> the one above it in the tree of a shared value; token: the object's number. A SharedHome
  replica_ask,   // upwards: send the value; flags: 1 if it is known, and only its end is asked for
  replica,       // downwards, flags: ok, then the value; or gone, or lost
  replica_drop,  // downwards: nobody has a handle of it any more

  // engine -> its child
  child_start,     // ChildStart: who you are; then the initializer
  child_job,       // RankJob, then the callable
  child_run,       // RunItems, then the items
  child_job_end,   // forget the job
  child_recalled,  // what came before this and has not been begun is not to be begun: see link::TaskWords
  child_stop,      // leave
  child_flush,     // ChildFlush: the answer is a child_partial
  child_merge,     // a value of the job, to be reduced into the one of the child

  // child -> its engine
  child_ready,       // the initializer has run
  child_init_error,  // the initializer threw: the error
  child_result,      // RunDone, then the results of consecutive tasks
  child_error,       // TaskError, then the error
  child_partial,     // ChildPartial, then the value of its tasks so far; nothing if there is none
};

}  // namespace rankpool::wire
