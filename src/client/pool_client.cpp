#include "client/pool_client.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/task_options.hpp>

#include "client/checkpoint.hpp"
#include "wire/messages.hpp"

namespace rankpool::detail {

using wire::Kind;

namespace {

// Small at first, so that the workers begin while the rest is still being written; then large, to be few.
constexpr std::size_t first_block_bytes = 16 * 1024;
constexpr std::size_t largest_block_bytes = 8 * 1024 * 1024;

constexpr int most_processes = 1'000'000;  // far more than any job has; rank 0 refuses more

}  // namespace

void set_options(JobShape& shape, const MapOptions& options) {
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
  if (options.chunksize > most)
    throw std::invalid_argument("MapOptions::chunksize is negative; it must be at least 1, or 0 for automatic chunks");
  if (options.buffersize > most)
    throw std::invalid_argument(
        "MapOptions::buffersize is negative; it must be at least 1, or 0 for 2 chunks a worker");
  if (options.task_timeout.count() < 0)
    throw std::invalid_argument("MapOptions::task_timeout is negative; it must be a duration, or 0 for no limit");
  shape.chunksize = options.chunksize;
  shape.time_limit = static_cast<std::uint64_t>(options.task_timeout.count());
  if (options.retries) shape.retries = checked_retries(*options.retries);
}

int checked_retries(int retries) {
  if (retries < 0)
    throw std::invalid_argument("retries is " + std::to_string(retries) +
                                "; it must be 0 or more: the runs beyond the first");
  return retries;
}

void set_options(JobShape& shape, const TaskOptions& options) {
  if (options.timeout.count() < 0)
    throw std::invalid_argument("TaskOptions::timeout is negative; it must be a duration, or 0 for no limit");
  shape.priority = options.priority;
  shape.time_limit = static_cast<std::uint64_t>(options.timeout.count());
  if (options.retries) shape.retries = checked_retries(*options.retries);
}

PoolClient::PoolClient(std::shared_ptr<client::Client> client, const PoolWords& words)
    : client_(std::move(client)), words_(words), token_(client_->new_token()) {}

std::shared_ptr<PoolClient> PoolClient::open(const PoolOptions& options, const PoolWords& words) {
  if (options.processes && *options.processes < 1)
    throw std::invalid_argument("Pool: processes is " + std::to_string(*options.processes) +
                                "; it must be at least 1 (leave it out to use every slot of the job)");
  if (options.processes && *options.processes > most_processes)
    throw std::invalid_argument("Pool: processes is " + std::to_string(*options.processes) + "; it can be at most " +
                                std::to_string(most_processes) + " (leave it out to use every slot of the job)");
  if (options.max_tasks_per_child && *options.max_tasks_per_child < 1)
    throw std::invalid_argument(std::string(words.type) + ": max_tasks_per_child is " +
                                std::to_string(*options.max_tasks_per_child) +
                                "; it must be at least 1 (leave it out to keep the workers)");
  const auto client = client::Client::get();
  auto pool = std::make_shared<PoolClient>(client, words);
  pool->processes_ = options.processes.value_or(client->slots());
  pool->retries_ = checked_retries(options.retries);
  const wire::PoolOpen open{.owner = client->who(),
                            .processes = options.processes.value_or(0),
                            .has_initializer = options.initializer ? 1u : 0u,
                            .max_tasks_per_child = static_cast<std::uint64_t>(options.max_tasks_per_child.value_or(0)),
                            .memory_limit = options.memory_limit};
  Buffer initializer;
  if (options.initializer) options.initializer.encode(initializer);
  pool->cargo_ = initializer.take_cargo();
  client->add(pool->token_, pool);
  client->send(Kind::pool_open, pool->token_, wire::bytes_of(open), &initializer);
  return pool;
}

std::uint64_t PoolClient::open_job(std::shared_ptr<JobState> state, const JobShape& shape, Buffer callable,
                                   std::shared_ptr<Checkpoint> checkpoint) {
  client::Client::get();  // throws if rankpool has stopped: nobody would hear of the job
  const std::uint64_t token = client_->new_token();
  auto asker = shape.is_call ? std::make_shared<TaskAsker>(token) : nullptr;
  auto inbox = std::make_shared<JobInbox>(state, asker, [weak = weak_from_this(), token] {
    if (const auto pool = weak.lock()) pool->forget(token);
  });
  inbox->keep(callable.take_cargo());
  if (checkpoint) {
    inbox->set_checkpoint(std::move(checkpoint), [weak = weak_from_this(), token] {
      if (const auto pool = weak.lock()) pool->cancel_job(token);
    });
    client_->need_callback_thread();  // results are written though nobody waits for them
  }
  wire::JobOpen open{.pool = token_,
                     .chunksize = shape.chunksize,
                     .first_index = shape.first_index,
                     .time_limit = shape.time_limit,
                     .retries = shape.retries < 0 ? retries_ : shape.retries,
                     .priority = shape.priority,
                     .item_bytes = shape.item_bytes,
                     .fold = shape.fold};
  client_->settle(0);
  // The scheduler must hear of the job before it hears of anything that another thread does with the pool then.
  const std::lock_guard lock(mutex_);
  require_open();
  if (shape.is_call) open.first_index = next_call_++;
  inbox->set_first_index(open.first_index);
  state->set_origin(std::move(asker));
  jobs_.emplace(token, inbox);
  client_->add(token, std::move(inbox));
  const auto awaited = shape.each_awaited ? wire::Awaited::each : wire::Awaited::whole;
  client_->send({.to = {0, 0}, .token = token, .kind = Kind::job_open, .flags = static_cast<std::uint32_t>(awaited)},
                wire::bytes_of(open), &callable, false);
  return token;
}

void PoolClient::require_open() const {
  if (life_ == Life::failed) std::rethrow_exception(failure_);
  if (life_ != Life::open)
    throw PoolClosed(std::string("the ") + words_.what + " was " +
                     (life_ == Life::closed ? words_.closed : "terminated") +
                     " and takes no more tasks: submit before " + words_.close + ", or make another " + words_.type);
}

void PoolClient::check_open() {
  const std::lock_guard lock(mutex_);
  require_open();
}

void PoolClient::send_items(std::uint64_t job, std::uint64_t count, Buffer& items) {
  {
    const Buffer::Cargo cargo = items.take_cargo();
    const std::lock_guard lock(mutex_);
    if (const auto found = jobs_.find(job); found != jobs_.end()) {
      found->second->expect(count);
      if (!cargo.empty()) found->second->keep(cargo);
    }
  }
  client_->send(Kind::job_items, job, wire::bytes_of(wire::JobItems{count}), &items);
}

void PoolClient::skip_items(std::uint64_t job, std::uint64_t count) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = jobs_.find(job); found != jobs_.end()) found->second->expect(count);
  }
  client_->send(Kind::job_skip, job, wire::bytes_of(wire::JobSkip{count}), nullptr, false);
}

void PoolClient::end_job(std::uint64_t job) { client_->send(Kind::job_end, job); }

void PoolClient::cancel_job(std::uint64_t job) {
  client_->send(Kind::job_cancel, job);
  forget(job);
}

void PoolClient::forget(std::uint64_t job) {
  client_->remove(job);
  std::shared_ptr<JobInbox> last;  // closes its checkpoint without the lock
  {
    const std::lock_guard lock(mutex_);
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return;
    last = std::move(found->second);
    jobs_.erase(found);
  }
  last->close();
}

void PoolClient::close() {
  const std::lock_guard lock(mutex_);
  left_by_user_ = true;
  if (life_ != Life::open) return;
  life_ = Life::closed;
  client_->send(Kind::pool_close, token_);
}

void PoolClient::terminate(int signal) {
  {
    const std::lock_guard lock(mutex_);
    left_by_user_ = true;
    const bool kill = signal != SIGTERM;
    if (life_ == Life::terminated && (killed_ || !kill)) return;
    if (!ended_ && life_ != Life::failed)
      client_->send(
          {.to = {0, 0}, .token = token_, .kind = Kind::pool_terminate, .flags = static_cast<std::uint32_t>(signal)},
          {});
    life_ = Life::terminated;
    killed_ = kill;
  }
  end_jobs(std::make_exception_ptr(
               CancelledError(std::string("the ") + words_.what + " was terminated before the task had ended")),
           true);
}

void PoolClient::cancel_calls(JobState::Deadline deadline) {
  struct Question {
    std::shared_ptr<JobInbox> job;
    std::uint64_t number;
  };
  std::vector<Question> questions;
  std::vector<std::weak_ptr<StreamState>> streams;
  {
    const std::lock_guard lock(mutex_);
    streams.swap(streams_);
    for (const auto& [token, job] : jobs_)
      if (job->asker()) questions.push_back({job, 0});
  }
  for (Question& question : questions) question.number = question.job->asker()->ask(*client_, wire::Ask::cancel, false);
  client_->link().ring();
  for (const auto& weak : streams)
    if (const auto stream = weak.lock()) stream->cancel();
  auto open = questions.cbegin();
  const auto all_answered = [&] {
    while (open != questions.cend() && (open->job->ended() || open->job->asker()->answered(open->number))) ++open;
    return open == questions.cend();
  };
  client_->link().wait(all_answered, deadline);
}

bool PoolClient::join(JobState::Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (!left_by_user_)
      throw std::logic_error("Pool::join: the pool is still running; call close() or terminate() first");
  }
  finish_streams();
  return client_->link().wait([this] { return ended_.load(); }, deadline);
}

void PoolClient::add_stream(std::weak_ptr<StreamState> stream) {
  const std::lock_guard lock(mutex_);
  std::erase_if(streams_, [](const auto& old) { return old.expired(); });
  streams_.push_back(std::move(stream));
}

void PoolClient::finish_streams() {
  std::vector<std::weak_ptr<StreamState>> streams;
  {
    const std::lock_guard lock(mutex_);
    streams.swap(streams_);
  }
  for (const auto& weak : streams)
    if (const auto stream = weak.lock()) stream->finish_input();
}

void PoolClient::end_jobs(const std::exception_ptr& error, bool cancelled) {
  std::vector<std::shared_ptr<JobInbox>> open;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [token, job] : jobs_) open.push_back(job);
  }
  for (const auto& job : open) job->end(error, cancelled);
  client_->link().wake();
}

void PoolClient::leave(bool unwinding) noexcept {
  try {
    if (unwinding) {
      terminate();
    } else {
      close();
    }
    join({});
  } catch (...) {
    // the engine is gone, and the workers with it
  }
}

void PoolClient::on_frame(link::Incoming& in) {
  if (in.head.kind == Kind::pool_ended) {
    {
      const std::lock_guard lock(mutex_);
      last_insights_ = read_insights(in);
    }
    ended_ = true;
    client_->remove(token_);
    return;
  }
  if (in.head.kind != Kind::pool_failed) throw wire::BadFrame("a pool was sent a frame that is not for pools");
  const std::exception_ptr error = take_error(in).second;
  {
    const std::lock_guard lock(mutex_);
    if (life_ == Life::terminated) return;
    life_ = Life::failed;
    failure_ = error;
  }
  end_jobs(error, false);
}

JobWriter::JobWriter(std::shared_ptr<PoolClient> pool, std::shared_ptr<JobState> state, const JobShape& shape,
                     Buffer callable, std::shared_ptr<Checkpoint> checkpoint)
    : pool_(std::move(pool)),
      checkpoint_(std::move(checkpoint)),
      chunksize_(shape.chunksize),
      block_limit_(first_block_bytes) {
  if (checkpoint_) {
    state_ = state;
    block_.set_comparable();
  }
  token_ = pool_->open_job(std::move(state), shape, std::move(callable), checkpoint_);
}

JobWriter::~JobWriter() {
  if (finished_) return;
  try {
    pool_->cancel_job(token_);
  } catch (...) {
    // the engine is gone, and the job with it
  }
}

/// A full block goes, unless that would cut a chunk.
void JobWriter::offer() {
  if (chunksize_ <= 1 || in_block_ % chunksize_ == 0) send_block();
}

void JobWriter::send_block() {
  if (checkpoint_) {
    checkpoint_->deal(checkpoint_->take_apart(block_, in_block_), *pool_, token_, *state_, block_);
  } else {
    pool_->send_items(token_, in_block_, block_);
  }
  block_.clear();
  in_block_ = 0;
  block_limit_ = std::min(2 * block_limit_, largest_block_bytes);
}

void JobWriter::finish() {
  if (in_block_ > 0) send_block();
  if (checkpoint_) {
    checkpoint_->end_input();
    checkpoint_->send_skipped(*pool_, token_);
  }
  pool_->end_job(token_);
  finished_ = true;
}

}  // namespace rankpool::detail

namespace rankpool {

Pool::Pool(const PoolOptions& options)
    : client_(detail::PoolClient::open(options, {"pool", "closed", "close()", "Pool"})) {}

Pool::~Pool() { client_->leave(std::uncaught_exceptions() > exceptions_); }

int Pool::processes() const noexcept { return client_->processes(); }
Insights Pool::insights_until(detail::Deadline deadline) const { return client_->insights(deadline); }
void Pool::check_open() const { client_->check_open(); }
void Pool::close() { client_->close(); }
void Pool::terminate() { client_->terminate(); }
void Pool::join() { client_->join({}); }
bool Pool::join_until(detail::JobState::Deadline deadline) { return client_->join(deadline); }

}  // namespace rankpool
