#include <rankpool/detail/stream_state.hpp>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/checkpoint.hpp"
#include "client/pool_client.hpp"

namespace rankpool::detail {
namespace {

constexpr std::size_t most_block_bytes = 256 * 1024;
constexpr std::uint64_t most_at_once = 64 * 1024;            // items of an input that is drawn to its end
constexpr auto slow_input = std::chrono::microseconds(200);  // that long, nobody waits for items or results

/// Often at first, then now and then: reading the clock for each item would cost more than drawing it.
bool time_to_look(std::uint64_t drawn) noexcept { return std::has_single_bit(drawn) || drawn % 64 == 0; }

}  // namespace

void StreamState::start(const std::shared_ptr<StreamState>& stream, std::shared_ptr<PoolClient> pool,
                        const JobShape& shape, Buffer callable, std::uint64_t buffersize,
                        std::shared_ptr<Checkpoint> checkpoint) {
  StreamState& self = *stream;
  self.window_ = StreamWindow(shape.chunksize, buffersize, static_cast<std::uint64_t>(pool->processes()));
  self.pool_ = std::move(pool);
  self.pool_->add_stream(stream);
  self.checkpoint_ = std::move(checkpoint);
  if (self.checkpoint_) self.block_.set_comparable();
  self.token_ = self.pool_->open_job(stream, shape, std::move(callable), self.checkpoint_);
  std::unique_lock lock(self.mutex_);
  self.take_turn(lock);
}

void StreamState::abandon() noexcept {
  {
    std::unique_lock lock(mutex_);
    abandoned_ = true;
    if (token_ == 0) drawing_ = false;  // it was never opened
    turn_.wait(lock, [this] { return !drawing_; });
    drop_input();
  }
  if (token_ == 0 || ended()) return;
  try {
    pool_->cancel_job(token_);
  } catch (...) {
    // the engine is gone, and the job with it
  }
}

void StreamState::cancel() {
  const auto error = std::make_exception_ptr(CancelledError("what had not come of this map was cancelled"));
  if (end_here(error, true)) pool_->cancel_job(token_);
}

void StreamState::finish_input() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  if (!drawing_ && wants_input()) take_turn(lock);
}

void StreamState::measured(std::uint64_t count, std::uint64_t work) {
  const std::lock_guard lock(mutex_);
  window_.computed(count, work);
}

std::uint64_t StreamState::shifted(std::uint64_t task) const noexcept {
  const auto before = std::upper_bound(skipped_.begin(), skipped_.end(), task);
  return task + static_cast<std::uint64_t>(before - skipped_.begin());
}

void StreamState::failed(std::uint64_t task, std::exception_ptr error) {
  if (task == ~std::uint64_t{0}) throw_damaged("a result is of no task");
  std::unique_lock lock(mutex_);
  put_error(slot_of(position(task)), std::move(error));
  took_in(lock, task, 1, 0);
}

void StreamState::took_in(std::unique_lock<std::mutex>& lock, std::uint64_t first, std::uint64_t count,
                          std::uint64_t bytes) {
  if (bytes != 0) window_.received(count, bytes);
  std::vector<Buffer::Cargo> over;  // dropping a handle can send something
  for (auto loan = loans_.begin(); loan != loans_.end();) {
    const std::uint64_t from = std::max(first, loan->first);
    const std::uint64_t to = std::min(first + count, loan->last);
    if (from < to) loan->left -= to - from;
    if (loan->left != 0) {
      ++loan;
    } else {
      over.push_back(std::move(loan->cargo));
      loan = loans_.erase(loan);
    }
  }
  lock.unlock();
}

bool StreamState::wants_input() const noexcept {
  return input_left_ && !abandoned_ && !ended() && (closing_ || window_.refill(drawn_ - yielded_) > 0);
}

/// Was all yielded that will come? A checkpoint must have it all then, and let others use its file.
bool StreamState::exhausted() const noexcept {
  return !input_left_ && !drawing_ && yielded_ == drawn_ && (!checkpoint_ || ended());
}

/// Is there something to do for a thread that waits?
bool StreamState::settled() const {
  return head_ready() || over_ || exhausted() || ended() || (!drawing_ && wants_input());
}

bool StreamState::await(std::unique_lock<std::mutex>& lock, Deadline deadline) {
  for (;;) {
    if (!drawing_ && wants_input()) take_turn(lock);
    if (head_ready()) return true;
    if (over_) return false;
    if (exhausted()) {
      over_ = true;
      if (input_error_) std::rethrow_exception(std::exchange(input_error_, nullptr));
      if (checkpoint_ && !cancelled()) finish(no_wait());
      return false;
    }
    if (ended()) {  // as a whole, since there are results left
      over_ = true;
      finish(no_wait());
      return false;
    }
    ++waiting_;
    lock.unlock();
    bool in_time = false;
    std::exception_ptr trouble;
    try {
      in_time = client::Client::get()->link().wait(
          [this] {
            const std::lock_guard guard(mutex_);
            return settled();
          },
          deadline);
    } catch (...) {
      trouble = std::current_exception();
    }
    lock.lock();
    --waiting_;
    if (trouble) {
      over_ = true;
      std::rethrow_exception(trouble);
    }
    if (!in_time)
      throw TimeoutError("ResultIterator::next: no result came in the time given; next can be called again");
  }
}

void StreamState::passed(std::unique_lock<std::mutex>& lock) {
  ++yielded_;
  wake_others(lock);
}

/// Other threads wait for frames; what this one has changed came without one.
void StreamState::wake_others(std::unique_lock<std::mutex>& lock) {
  if (waiting_ == 0 || !settled()) return;
  lock.unlock();
  client::Client::get()->link().wake();
  lock.lock();
}

/// Draws as the only thread that does. `lock` holds mutex_, before and after.
void StreamState::take_turn(std::unique_lock<std::mutex>& lock) {
  drawing_ = true;
  std::exception_ptr trouble;
  try {
    draw_all(lock);
  } catch (...) {
    trouble = std::current_exception();
  }
  if (!lock.owns_lock()) lock.lock();
  if (trouble) {  // not of the input: nothing can be sent any more
    input_left_ = false;
    over_ = true;
  }
  drawing_ = false;
  turn_.notify_all();
  if (trouble) std::rethrow_exception(trouble);
  wake_others(lock);
}

void StreamState::draw_all(std::unique_lock<std::mutex>& lock) {
  bool in_time = true;
  while (in_time && wants_input()) {
    if (closing_ && !sized_) {
      lock.unlock();
      std::exception_ptr error;
      try {
        if (has_more())
          error = std::make_exception_ptr(PoolClosed(
              "ResultIterator: the pool was joined after " + std::to_string(drawn_) +
              " items of the input were drawn; what comes behind them was not: read the results to their end before "
              "join(), before the pool is destroyed or shut down"));
      } catch (...) {
        error = std::current_exception();
      }
      end_input(lock, std::move(error));
      return;
    }
    window_.adapt(yielded_);
    const std::uint64_t most = closing_ ? most_at_once : window_.refill(drawn_ - yielded_);
    if (most == 0) return;
    lock.unlock();
    in_time = draw_some(lock, most) || closing_;
  }
}

/// Draws and sends at most `most` items; without the lock, but has it afterwards. False if it stopped because the input
/// is slow and a result is there. Items that are not those of the checkpoint end the input.
bool StreamState::draw_some(std::unique_lock<std::mutex>& lock, std::uint64_t most) {
  std::exception_ptr error;
  try {
    return draw_items(lock, most);
  } catch (const CheckpointError&) {
    error = std::current_exception();
  } catch (const std::invalid_argument&) {
    error = std::current_exception();
  }
  end_input(lock, std::move(error));
  return true;
}

bool StreamState::draw_items(std::unique_lock<std::mutex>& lock, std::uint64_t most) {
  Clock::time_point last = Clock::now();
  for (std::uint64_t i = 1; i <= most; ++i) {
    Drawn drawn = Drawn::end;
    std::exception_ptr error;
    try {
      drawn = draw(block_);
    } catch (...) {
      error = std::current_exception();
    }
    if (drawn == Drawn::end) {
      send_block();
      end_input(lock, std::move(error));
      return true;
    }
    if (drawn == Drawn::refused) {
      draw_refused();
      continue;
    }
    ++in_block_;
    if (in_block_ % window_.granule() != 0) continue;
    if (block_.size() >= most_block_bytes) send_block();
    if (!time_to_look(i / window_.granule())) continue;
    const Clock::time_point now = Clock::now();
    if (now - last < slow_input) continue;
    send_block();
    last = now;
    lock.lock();
    if (head_ready()) return false;
    lock.unlock();
  }
  send_block();
  lock.lock();
  return true;
}

void StreamState::send_block() {
  if (in_block_ == 0) return;
  std::vector<Checkpoint::Part> parts;
  if (checkpoint_) parts = checkpoint_->take_apart(block_, in_block_);
  Buffer::Cargo cargo = block_.take_cargo();
  {
    const std::lock_guard lock(mutex_);
    window_.drawn(in_block_, block_.size());
    if (!cargo.empty()) loans_.push_back({sent_, sent_ + in_block_, in_block_, std::move(cargo)});
    sent_ += in_block_;
    drawn_ += in_block_;
    reserve(drawn_ - yielded_);
  }
  if (checkpoint_) {
    checkpoint_->deal(parts, *pool_, token_, *this, block_);
  } else {
    pool_->send_items(token_, in_block_, block_);
  }
  block_.clear();
  in_block_ = 0;
}

/// An item could not be encoded: that is its result.
void StreamState::draw_refused() {
  send_block();
  const std::lock_guard lock(mutex_);
  skipped_.push_back(sent_);
  const std::uint64_t position = drawn_++;
  reserve(drawn_ - yielded_);
  put_error(slot_of(position), std::exchange(refusal_, nullptr));
}

/// Without the lock, but has it afterwards.
void StreamState::end_input(std::unique_lock<std::mutex>& lock, std::exception_ptr error) {
  if (checkpoint_) {
    try {
      if (!error) checkpoint_->end_input();
    } catch (const CheckpointError&) {
      error = std::current_exception();
    }
    checkpoint_->send_skipped(*pool_, token_);
  }
  pool_->end_job(token_);
  lock.lock();
  input_left_ = false;
  input_error_ = std::move(error);
}

}  // namespace rankpool::detail
