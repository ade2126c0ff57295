#include "client/job_inbox.hpp"

#include <sys/wait.h>

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/checkpoint.hpp"
#include "client/interrupted.hpp"
#include "wire/error_record.hpp"
#include "wire/messages.hpp"

namespace rankpool::detail {

TimeoutError not_ended(std::string_view call) {
  return TimeoutError(std::string(call) + ": the job has not ended in the time given; the call can be repeated");
}

JobState::JobState() : shared_(std::make_unique<Shared>()) {}
JobState::~JobState() = default;

bool JobState::ended() const noexcept { return shared_->done.load(std::memory_order_acquire); }

bool JobState::ready() const {
  if (!ended()) client::Client::get()->link().look();
  return ended();
}

bool JobState::wait_until(Deadline deadline) const {
  if (ended()) return true;
  return client::Client::get()->link().wait([this] { return ended(); }, deadline);
}

bool JobState::successful() const {
  if (!ready())
    throw std::logic_error("AsyncResult::successful: the job has not ended yet; ask ready(), or wait() first");
  const std::lock_guard lock(shared_->mutex);
  return shared_->error == nullptr;
}

void JobState::finish(Deadline deadline, std::string_view call) const {
  if (!wait_until(deadline)) throw not_ended(call);
  if (shared_->error) std::rethrow_exception(shared_->error);
}

void JobState::on_done(std::function<void()> callback) {
  const auto client = client::Client::get();
  const std::lock_guard lock(shared_->mutex);
  if (ended()) return client->call_back(std::move(callback));
  shared_->callbacks.push_back(std::move(callback));
  client->need_callback_thread();
}

void JobState::store(std::uint64_t, std::uint64_t, Reader&) {}

void JobState::decoding_failed(std::uint64_t task) {
  std::string why = "it threw something that is no std::exception";
  try {
    throw;
  } catch (const std::exception& error) {
    why = error.what();
  } catch (...) {
  }
  failed(task, std::make_exception_ptr(SerializationError("the result of task " +
                                                          std::to_string(shared_->first_index + task) +
                                                          " came back but could not be decoded: " + why)));
}

void JobState::failed(std::uint64_t task, std::exception_ptr error) {
  const std::lock_guard lock(shared_->mutex);
  if (ended() || (shared_->error && shared_->error_task <= task)) return;
  shared_->error = std::move(error);
  shared_->error_task = task;
}

std::pair<std::uint64_t, std::exception_ptr> take_error(const link::Incoming& in, std::uint64_t first_index) {
  std::span<const std::byte> body = in.body;
  const auto error = wire::take<wire::TaskError>(body);
  Reader record(in.slice ? in.slice.bytes() : body);
  RemoteInfo::Data where;
  where.rank = error.rank;
  where.host = wire::text_of(error.host);
  where.pid = error.pid;
  if (error.task != wire::no_task) where.task_index = first_index + error.task;
  return {error.task, wire::to_exception(wire::ErrorRecord::decode(record), std::move(where))};
}

namespace {

/// What is said of a task that was stopped by its time limit.
std::string late(const wire::TaskLost& lost, std::uint64_t index) {
  std::ostringstream text;
  text << "task " << index << " was stopped: it ran longer than its limit of "
       << std::chrono::duration<double>(std::chrono::nanoseconds(lost.timed_out)).count() << " s (rank " << lost.rank
       << ", host " << wire::text_of(lost.host) << ", process " << lost.pid << "; " << lost.attempts
       << (lost.attempts == 1 ? " attempt" : " attempts") << "); raise task_timeout or give it less to do";
  return text.str();
}

}  // namespace

/// Are there such tasks? @throws wire::BadFrame
void JobInbox::check(std::uint64_t first, std::uint64_t count) const {
  const std::uint64_t sent = sent_.load(std::memory_order_relaxed);
  if (first > sent || count > sent - first)
    throw wire::BadFrame("a job was sent results of tasks that it does not have");
}

void JobInbox::on_frame(link::Incoming& in) {
  std::span<const std::byte> body = in.body;
  switch (in.head.kind) {
    case wire::Kind::job_results:
      results(in);
      break;
    case wire::Kind::job_error: {
      const auto [task, error] = take_error(in, state_->shared_->first_index);
      if (task != wire::no_task) check(task, 1);
      failed(task, error);
      break;
    }
    case wire::Kind::job_lost:
      lost(body);
      break;
    case wire::Kind::job_standing:
      standing(in.head.flags);
      break;
    case wire::Kind::job_done:
      done();
      break;
    case wire::Kind::interrupted:
      end(client::interrupted_by(in.head.flags));
      break;
    default:
      throw wire::BadFrame("a job was sent a frame that is not for jobs");
  }
}

void JobInbox::lost(std::span<const std::byte> body) {
  const auto lost = wire::take<wire::TaskLost>(body);
  if (lost.task != wire::no_task) check(lost.task, 1);
  const std::uint64_t index = state_->shared_->first_index + lost.task;
  if (lost.timed_out != 0) return failed(lost.task, std::make_exception_ptr(TaskTimeout(late(lost, index))));
  WorkerLost::Data data;
  if (WIFSIGNALED(lost.wait_status)) data.signal = WTERMSIG(lost.wait_status);
  if (WIFEXITED(lost.wait_status)) data.exit_code = WEXITSTATUS(lost.wait_status);
  data.rank = lost.rank;
  data.host = wire::text_of(lost.host);
  data.pid = lost.pid;
  data.attempts = lost.attempts;
  if (lost.task != wire::no_task) data.task_index = index;
  failed(lost.task, std::make_exception_ptr(WorkerLost(std::move(data))));
}

void JobInbox::results(link::Incoming& in) {
  std::span<const std::byte> body = in.body;
  const auto run = wire::take<wire::RunDone>(body);
  check(run.first, run.count);
  const std::span<const std::byte> bytes = in.slice ? in.slice.bytes() : body;
  Reader results(bytes);
  if (!checkpoint_) {
    state_->measured(run.count, run.work);
    state_->store(run.first, run.count, results);
    return;
  }
  if (std::exception_ptr error = checkpoint_->record(run.first, run.count, bytes)) {
    cancel_();
    return end(std::move(error));
  }
  state_->measured(run.count, run.work);
  checkpoint_->storing([&] { state_->store(run.first, run.count, results); });
}

void JobInbox::failed(std::uint64_t task, std::exception_ptr error) {
  if (!checkpoint_) return state_->failed(task, std::move(error));
  checkpoint_->forget(task);
  checkpoint_->storing([&] { state_->failed(task, std::move(error)); });
}

void JobInbox::done() { end(checkpoint_ ? checkpoint_->finish() : nullptr); }

void JobInbox::close() noexcept {
  if (checkpoint_) checkpoint_->close();
}

void JobInbox::standing(std::uint32_t standing) {
  const auto answer = static_cast<wire::Standing>(standing);
  if (answer == wire::Standing::cancelled) {
    end(std::make_exception_ptr(CancelledError("the task was cancelled before it began")), true);
  } else if (asker_) {
    asker_->answer(answer == wire::Standing::running);
  }
}

void JobInbox::end(std::exception_ptr error, bool cancelled) {
  if (state_->end(std::move(error), cancelled)) forget_();
}

}  // namespace rankpool::detail
