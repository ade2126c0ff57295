#include "worker/task_runner.hpp"

#include <stdio_ext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <new>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "wire/error_record.hpp"
#include "wire/reduce.hpp"
#include "worker/one_task.hpp"

namespace rankpool::worker {
namespace {

using Clock = std::chrono::steady_clock;
using wire::Kind;

/// Describes the exception that is being handled. What a `serialize` of the user's throws is a SerializationError; that
/// of the function itself, of rankpool or for want of memory stays what it is.
wire::ErrorRecord describe(detail::TaskSink::Stage stage) {
  using Stage = detail::TaskSink::Stage;
  const wire::ErrorRecord thrown = wire::describe_current_exception();
  const auto as_serialization_error = [&] {
    try {
      throw SerializationError(std::string(stage == Stage::encode_result
                                               ? "the result of the task could not be encoded"
                                               : "the arguments of the task could not be decoded") +
                               ": " + thrown.type_name + ": " + thrown.what);
    } catch (...) {
      return wire::describe_current_exception();
    }
  };
  if (stage == Stage::call) return thrown;
  try {
    throw;
  } catch (const Error&) {
    return thrown;
  } catch (const std::bad_alloc&) {
    return thrown;
  } catch (...) {
    return as_serialization_error();
  }
}

/// Changes every few milliseconds; to look at it costs next to nothing.
std::int64_t tick() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

constexpr std::uint64_t longest_limit = std::uint64_t{1} << 62;  // a century: what is added to it does not overflow
constexpr auto longest_unrung = std::chrono::microseconds(200);  // how long a result may wait for its engine to wake

}  // namespace

TaskRunner::TaskRunner(link::UserLink& link, int rank, wire::HostName host, BeforeEnd before_end)
    : link_(link), rank_(rank), host_(host), before_end_(std::move(before_end)) {
  result_.set_decoded_once();
}

TaskRunner::~TaskRunner() {
  for (const auto& [id, job] : jobs_)
    if (job.callable != nullptr) job.entry->destroy(job.callable);
}

void TaskRunner::learn(std::uint64_t id, const wire::RankJob& about, std::span<const std::byte> callable) {
  Job& job = jobs_[id];
  job.time_limit = std::chrono::nanoseconds(std::min(about.time_limit, longest_limit));
  job.first_index = about.first_index;
  try {
    detail::Reader in(callable);
    job.entry = &detail::find_entry(in.get<std::uint64_t>());
    job.callable = job.entry->load(in);
  } catch (...) {
    job.failure = std::current_exception();
  }
}

void TaskRunner::forget(std::uint64_t id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  if (found->second.callable != nullptr) found->second.entry->destroy(found->second.callable);
  jobs_.erase(found);
}

void TaskRunner::run(std::uint64_t id, const wire::RunItems& run, std::span<const std::byte> items) {
  if (!link_.intact()) {  // a task has closed descriptors that were not its own
    spent_ = true;
    return;
  }
  const Job& job = jobs_.at(id);
  job_ = id;
  task_ = run.first;
  time_limit_ = job.time_limit;
  first_index_ = job.first_index;
  attempt_ = run.attempt;
  last_end_ = last_ring_ = Clock::now();
  folding_ = job.entry != nullptr && job.entry->fold != nullptr;
  if (folding_) last_tick_ = tick();
  if (job.failure) {
    for (std::uint64_t i = 0; i < run.count; ++i) {
      if (begin() == nullptr) break;
      try {
        std::rethrow_exception(job.failure);
      } catch (...) {
        error(Stage::decode_arguments, {});
      }
    }
  } else {
    detail::Reader in(items);
    job.entry->run(job.callable, in, run.count, *this);
  }
  report_folded();
  link_.ring();
}

detail::Buffer* TaskRunner::begin() {
  if (spent_ || !link_.tasks().begin()) return nullptr;
  if (time_limit_.count() != 0) {
    const auto deadline = Clock::now().time_since_epoch() + time_limit_;
    link_.tasks().set_deadline(static_cast<std::uint64_t>(deadline.count()));
  }
  running_.begin(first_index_ + task_, attempt_);
  result_.clear();
  memory_.begin_task();
  return &result_;
}

std::uint64_t TaskRunner::work_since_last() noexcept {
  const auto now = Clock::now();
  const auto work = now - last_end_;
  last_end_ = now;
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(work).count());
}

/// In a copy of this process, made by a fork() of the task's: the result is its parent's to send.
void TaskRunner::leave_if_forked() const noexcept {
  if (link_.forked()) ::_exit(0);
}

void TaskRunner::value() {
  leave_if_forked();
  memory_.end_task();
  if (folding_) {
    ++task_;
    ++folded_;
    if (tick() != last_tick_) report_folded();
    return;
  }
  end_task();
  const wire::RunDone done{task_++, 1, work_since_last()};
  const wire::Header head{.to = {rank_, 0}, .token = job_, .kind = Kind::child_result};
  const bool ring = last_end_ - last_ring_ > longest_unrung;
  if (ring) last_ring_ = last_end_;
  if (link::Slice slice = link::take_slice(result_)) {
    link_.send(head, wire::bytes_of(done), {}, slice, ring);
  } else {
    link_.send(head, wire::bytes_of(done), {result_.data(), result_.size()}, {}, ring);
  }
}

/// Tasks without results are reported many at a time, but a long run is not silent.
void TaskRunner::report_folded() {
  if (folded_ == 0) return;
  end_task();
  const wire::RunDone done{task_ - folded_, folded_, work_since_last()};
  folded_ = 0;
  last_tick_ = tick();
  link_.send({.to = {rank_, 0}, .token = job_, .kind = Kind::child_result}, wire::bytes_of(done));
}

void TaskRunner::error(Stage stage, std::string arguments) {
  leave_if_forked();
  memory_.end_task();
  report_folded();
  result_.take_cargo();  // nobody will decode the handles of a result that was left half-way
  end_task();
  send_error(Kind::child_error, task_++, stage, std::move(arguments));
  try {
    throw;
  } catch (const std::bad_alloc&) {
    spent_ = memory_.used_up();
  } catch (...) {
  }
}

void TaskRunner::send_error(Kind kind, std::uint64_t task, Stage stage, std::string arguments) {
  wire::ErrorRecord record = describe(stage);
  record.stage = stage;
  record.arguments = std::move(arguments);
  detail::Buffer bytes;
  record.encode(bytes);
  const wire::TaskError fixed{.task = task, .work = work_since_last(), .rank = rank_, .pid = ::getpid(), .host = host_};
  const wire::Header head{.to = {rank_, 0}, .token = job_, .kind = kind};
  if (link::Slice slice = link::take_slice(bytes)) {
    link_.send(head, wire::bytes_of(fixed), {}, slice);
  } else {
    link_.send(head, wire::bytes_of(fixed), {bytes.data(), bytes.size()});
  }
}

void TaskRunner::flush(std::uint64_t id, bool keep) {
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return;
  job_ = id;
  result_.clear();
  last_end_ = Clock::now();
  try {
    job->second.entry->fold->flush(job->second.callable, result_, keep);
  } catch (...) {
    result_.take_cargo();
    send_error(Kind::child_error, wire::no_task, Stage::encode_result);
    return;
  }
  // handles in a copy that is perhaps never decoded would keep their objects for ever
  if (keep && !result_.cargo().empty()) {
    result_.take_cargo();
    result_.clear();
  }
  end_task();
  const wire::ChildPartial fixed{work_since_last()};
  const wire::Header head{.to = {rank_, 0}, .token = id, .kind = Kind::child_partial};
  if (link::Slice slice = link::take_slice(result_)) {
    link_.send(head, wire::bytes_of(fixed), {}, slice);
  } else {
    link_.send(head, wire::bytes_of(fixed), {result_.data(), result_.size()});
  }
}

void TaskRunner::merge(std::uint64_t id, std::span<const std::byte> partial) {
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return;
  job_ = id;
  Stage stage = Stage::decode_arguments;
  try {
    if (job->second.failure) std::rethrow_exception(job->second.failure);
    detail::Reader in(partial);
    job->second.entry->fold->merge(job->second.callable, in, stage);
  } catch (...) {
    send_error(Kind::child_error, wire::no_task, stage);
  }
}

bool TaskRunner::limit_memory(std::uint64_t bytes) {
  try {
    memory_.open(bytes);
    return true;
  } catch (...) {
    send_error(Kind::child_init_error, wire::no_task, Stage::call);
    return false;
  }
}

bool TaskRunner::initialize(std::span<const std::byte> initializer) {
  // an initializer travels as a callable without arguments; it is run here as a job of one task whose value nobody
  // wants
  OneTask sink;
  last_end_ = Clock::now();
  learn(0, {}, initializer);
  const Job& job = jobs_.at(0);
  sink.failure = job.failure;
  if (!job.failure) {
    const std::uint64_t no_bytes = 0;  // an empty tuple: its length, and nothing
    detail::Reader arguments(std::as_bytes(std::span(&no_bytes, 1)));
    memory_.begin_task();
    job.entry->run(job.callable, arguments, 1, sink);
    memory_.end_task();
  }
  end_task();
  if (!sink.failure) return true;
  try {
    std::rethrow_exception(sink.failure);
  } catch (...) {
    send_error(Kind::child_init_error, wire::no_task, sink.at);
  }
  return false;
}

/// What a task has printed and put into queues is there before its result.
void TaskRunner::end_task() {
  running_.end();
  before_end_(result_.take_cargo());
  std::cout.flush();
  if (__fpending(stdout) != 0) std::fflush(stdout);
  if (__fpending(stderr) != 0) std::fflush(stderr);
  if (time_limit_.count() != 0) link_.tasks().set_deadline(0);
}

}  // namespace rankpool::worker
