#include "client/job_inbox.hpp"

#include <sys/wait.h>

#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "wire/error_record.hpp"
#include "wire/messages.hpp"

namespace rankpool::detail {

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

void JobState::finish(Deadline deadline) const {
  if (!wait_until(deadline))
    throw TimeoutError("AsyncResult::get: the job has not ended in the time given; get can be called again");
  std::unique_lock lock(shared_->mutex);
  if (const std::exception_ptr error = shared_->error) {
    lock.unlock();
    std::rethrow_exception(error);
  }
}

void JobState::on_done(std::function<void()> callback) {
  const auto client = client::Client::get();
  {
    const std::lock_guard lock(shared_->mutex);
    if (!ended()) {
      shared_->callbacks.push_back(std::move(callback));
      callback = nullptr;
    }
  }
  if (callback) {
    client->call_back(std::move(callback));
  } else {
    client->need_callback_thread();
  }
}

void JobState::decoding_failed(std::uint64_t task) {
  std::string why = "it threw something that is no std::exception";
  try {
    throw;
  } catch (const std::exception& error) {
    why = error.what();
  } catch (...) {
  }
  JobInbox::task_failed(*this, task,
                        std::make_exception_ptr(SerializationError("the result of task " + std::to_string(task) +
                                                                   " came back but could not be decoded: " + why)));
}

void JobInbox::task_failed(JobState& state, std::uint64_t task, std::exception_ptr error) {
  const std::lock_guard lock(state.shared_->mutex);
  if (state.shared_->error && state.shared_->error_task <= task) return;
  state.shared_->error = std::move(error);
  state.shared_->error_task = task;
}

std::pair<std::uint64_t, std::exception_ptr> take_error(const link::Incoming& in) {
  std::span<const std::byte> body = in.body;
  const auto error = wire::take<wire::TaskError>(body);
  Reader record(in.slice ? in.slice.bytes() : body);
  RemoteInfo::Data where;
  where.rank = error.rank;
  where.host = wire::text_of(error.host);
  where.pid = error.pid;
  if (error.task != wire::no_task) where.task_index = error.task;
  return {error.task, wire::to_exception(wire::ErrorRecord::decode(record), std::move(where))};
}

void JobInbox::on_frame(link::Incoming& in) {
  std::span<const std::byte> body = in.body;
  switch (in.head.kind) {
    case wire::Kind::job_results: {
      const auto run = wire::take<wire::RunDone>(body);
      Reader results(in.slice ? in.slice.bytes() : body);
      state_->store(run.first, run.count, results);
      break;
    }
    case wire::Kind::job_error: {
      const auto [task, error] = take_error(in);
      task_failed(*state_, task, error);
      break;
    }
    case wire::Kind::job_lost: {
      const auto lost = wire::take<wire::TaskLost>(body);
      WorkerLost::Data data;
      if (WIFSIGNALED(lost.wait_status)) data.signal = WTERMSIG(lost.wait_status);
      if (WIFEXITED(lost.wait_status)) data.exit_code = WEXITSTATUS(lost.wait_status);
      data.rank = lost.rank;
      data.host = wire::text_of(lost.host);
      data.pid = lost.pid;
      data.attempts = lost.attempts;
      data.task_index = lost.task;
      task_failed(*state_, lost.task, std::make_exception_ptr(WorkerLost(std::move(data))));
      break;
    }
    case wire::Kind::job_done:
      end();
      break;
    default:
      throw wire::BadFrame("a job was sent a frame that is not for jobs");
  }
}

void JobInbox::fail(std::exception_ptr error) {
  if (state_->ended()) return;
  task_failed(*state_, 0, std::move(error));
  end();
}

void JobInbox::end() {
  std::vector<std::function<void()>> callbacks;
  {
    const std::lock_guard lock(state_->shared_->mutex);
    if (state_->shared_->done.exchange(true, std::memory_order_acq_rel)) return;
    callbacks.swap(state_->shared_->callbacks);
  }
  if (!callbacks.empty()) {
    const auto client = client::Client::get();
    for (auto& callback : callbacks) client->call_back(std::move(callback));
  }
  forget_();
}

}  // namespace rankpool::detail
