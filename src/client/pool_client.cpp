#include "client/pool_client.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "wire/messages.hpp"

namespace rankpool::detail {

using wire::Kind;

namespace {

// Small at first, so that the workers begin while the rest is still being written; then large, to be few.
constexpr std::size_t first_block_bytes = 16 * 1024;
constexpr std::size_t largest_block_bytes = 8 * 1024 * 1024;

}  // namespace

std::uint64_t checked_chunksize(std::size_t chunksize) {
  if (chunksize > static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max()))
    throw std::invalid_argument("MapOptions::chunksize is negative; it must be at least 1, or 0 for automatic chunks");
  return chunksize;
}

int checked_retries(int retries) {
  if (retries < 0)
    throw std::invalid_argument("retries is " + std::to_string(retries) +
                                "; it must be 0 or more: the runs beyond the first");
  return retries;
}

PoolClient::PoolClient(std::shared_ptr<client::Client> client)
    : client_(std::move(client)), token_(client_->new_token()) {}

std::shared_ptr<PoolClient> PoolClient::open(const PoolOptions& options) {
  if (options.processes && *options.processes < 1)
    throw std::invalid_argument("Pool: processes is " + std::to_string(*options.processes) +
                                "; it must be at least 1 (leave it out to use every slot of the job)");
  if (options.max_tasks_per_child && *options.max_tasks_per_child < 1)
    throw std::invalid_argument("Pool: max_tasks_per_child is " + std::to_string(*options.max_tasks_per_child) +
                                "; it must be at least 1 (leave it out to keep the workers)");
  const auto client = client::Client::get();
  auto pool = std::make_shared<PoolClient>(client);
  pool->processes_ = options.processes.value_or(client->identity().slots);
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

std::uint64_t PoolClient::open_job(std::shared_ptr<JobState> state, const JobShape& shape, Buffer callable) {
  const std::uint64_t token = client_->new_token();
  auto inbox = std::make_shared<JobInbox>(std::move(state), [weak = weak_from_this(), token] {
    if (const auto pool = weak.lock()) pool->forget(token);
  });
  inbox->keep(callable.take_cargo());
  const wire::JobOpen open{.pool = token_,
                           .chunksize = shape.chunksize,
                           .retries = shape.retries < 0 ? retries_ : shape.retries,
                           .item_bytes = shape.item_bytes};
  {
    const std::lock_guard lock(mutex_);
    if (life_ == Life::failed) std::rethrow_exception(failure_);
    if (life_ != Life::open)
      throw PoolClosed(std::string("the pool was ") + (life_ == Life::closed ? "closed" : "terminated") +
                       " and takes no more tasks: submit before close(), or make another Pool");
    jobs_.emplace(token, inbox);
  }
  client_->add(token, std::move(inbox));
  client_->send(Kind::job_open, token, wire::bytes_of(open), &callable, false);
  return token;
}

void PoolClient::send_items(std::uint64_t job, std::uint64_t count, Buffer& items) {
  if (const Buffer::Cargo cargo = items.take_cargo(); !cargo.empty()) {
    const std::lock_guard lock(mutex_);
    if (const auto found = jobs_.find(job); found != jobs_.end()) found->second->keep(cargo);
  }
  client_->send(Kind::job_items, job, wire::bytes_of(wire::JobItems{count}), &items);
}

void PoolClient::end_job(std::uint64_t job) { client_->send(Kind::job_end, job); }

void PoolClient::cancel_job(std::uint64_t job) {
  client_->send(Kind::job_cancel, job);
  forget(job);
}

void PoolClient::forget(std::uint64_t job) {
  client_->remove(job);
  const std::lock_guard lock(mutex_);
  jobs_.erase(job);
}

void PoolClient::close() {
  const std::lock_guard lock(mutex_);
  left_by_user_ = true;
  if (life_ != Life::open) return;
  life_ = Life::closed;
  client_->send(Kind::pool_close, token_);
}

void PoolClient::terminate() {
  {
    const std::lock_guard lock(mutex_);
    left_by_user_ = true;
    if (life_ == Life::terminated) return;
    if (life_ != Life::failed) client_->send(Kind::pool_terminate, token_);
    life_ = Life::terminated;
  }
  fail_jobs(std::make_exception_ptr(CancelledError("the pool was terminated before the task had ended")));
}

bool PoolClient::join(JobState::Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (!left_by_user_)
      throw std::logic_error("Pool::join: the pool is still running; call close() or terminate() first");
  }
  return client_->link().wait([this] { return ended_.load(); }, deadline);
}

void PoolClient::fail_jobs(const std::exception_ptr& error) {
  std::vector<std::shared_ptr<JobInbox>> open;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [token, job] : jobs_) open.push_back(job);
  }
  for (const auto& job : open) job->fail(error);
  client_->link().wake();
}

void PoolClient::on_frame(link::Incoming& in) {
  if (in.head.kind == Kind::pool_ended) {
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
  fail_jobs(error);
}

JobWriter::JobWriter(std::shared_ptr<PoolClient> pool, std::shared_ptr<JobState> state, const JobShape& shape,
                     Buffer callable)
    : pool_(std::move(pool)), chunksize_(shape.chunksize), block_limit_(first_block_bytes) {
  token_ = pool_->open_job(std::move(state), shape, std::move(callable));
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
  pool_->send_items(token_, in_block_, block_);
  block_.clear();
  in_block_ = 0;
  block_limit_ = std::min(2 * block_limit_, largest_block_bytes);
}

void JobWriter::finish() {
  if (in_block_ > 0) send_block();
  pool_->end_job(token_);
  finished_ = true;
}

}  // namespace rankpool::detail

namespace rankpool {

Pool::Pool(const PoolOptions& options) : client_(detail::PoolClient::open(options)) {}

Pool::~Pool() {
  try {
    if (std::uncaught_exceptions() > exceptions_) {
      client_->terminate();
    } else {
      client_->close();
    }
    client_->join({});
  } catch (...) {
    // the engine is gone, and the workers with it
  }
}

int Pool::processes() const noexcept { return client_->processes(); }
void Pool::close() { client_->close(); }
void Pool::terminate() { client_->terminate(); }
void Pool::join() { client_->join({}); }
bool Pool::join_until(detail::JobState::Deadline deadline) { return client_->join(deadline); }

}  // namespace rankpool
