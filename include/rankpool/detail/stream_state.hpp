// The untyped half of a job whose input is drawn as its results are taken.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/job_state.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/stream_window.hpp>

namespace rankpool::detail {

/// Draws the input of a job whenever somebody asks for a result, and never more of it than the window allows. The
/// results wait in slots, numbered in the order in which they are to be yielded. Any thread.
///
/// The input is drawn by one thread at a time, which holds no lock meanwhile: the input may wait for anything.
class StreamState : public JobState {
 public:
  /// Opens the job and draws the first items. Called once, before anything else. @throws PoolClosed, or the error of a
  /// failed initializer
  static void start(const std::shared_ptr<StreamState>& stream, std::shared_ptr<PoolClient> pool, const JobShape& shape,
                    Buffer callable, std::uint64_t buffersize, std::shared_ptr<Checkpoint> checkpoint);
  /// Nobody wants more results: cancels what was not begun, and touches the input no more.
  void abandon() noexcept;
  /// Ends the job as cancelled: what has not come yet will not.
  void cancel();
  /// The pool waits for its last job: draws the rest of an input of known size, and cuts any other off.
  void finish_input();

  void measured(std::uint64_t count, std::uint64_t work) override;

 protected:
  enum class Drawn { item, refused, end };

  StreamState(bool ordered, bool sized) : ordered_(ordered), sized_(sized) {}

  /// Appends the next item; `refused` if that threw, with the exception in `refusal_`. @throws what the input throws
  virtual Drawn draw(Buffer& block) = 0;
  /// Is there certainly, or perhaps, another item? Does not draw what could not be drawn again. @throws as above
  virtual bool has_more() = 0;
  virtual void drop_input() noexcept = 0;
  /// Room for the slots [yielded_, yielded_ + count).
  virtual void reserve(std::uint64_t count) = 0;
  virtual bool head_ready() const = 0;
  virtual void put_error(std::uint64_t slot, std::exception_ptr error) = 0;

  /// Waits until the next slot is ready, drawing input meanwhile; false at the end. `lock` holds mutex_. @throws
  /// TimeoutError; what ended the input or the job, once
  bool await(std::unique_lock<std::mutex>& lock, Deadline deadline);
  /// The next slot was taken.
  void passed(std::unique_lock<std::mutex>& lock);

  /// Where a task is in the input.
  std::uint64_t position(std::uint64_t task) const noexcept { return skipped_.empty() ? task : shifted(task); }
  /// The slot for what has just come of the item at this position.
  std::uint64_t slot_of(std::uint64_t position) noexcept { return ordered_ ? position : arrived_++; }
  void failed(std::uint64_t task, std::exception_ptr error) override;
  /// These tasks have ended. `bytes`: of their results.
  void took_in(std::unique_lock<std::mutex>& lock, std::uint64_t first, std::uint64_t count, std::uint64_t bytes);

  std::mutex mutex_;           // of everything here but the input and its block, which are the drawer's
  std::uint64_t yielded_ = 0;  // slots taken
  std::exception_ptr refusal_;

 private:
  /// Objects whose handles are among the items of tasks [first, last), of which `left` have not ended.
  struct Loan {
    std::uint64_t first;
    std::uint64_t last;
    std::uint64_t left;
    Buffer::Cargo cargo;
  };

  std::uint64_t shifted(std::uint64_t task) const noexcept;
  bool wants_input() const noexcept;
  bool exhausted() const noexcept;
  bool settled() const;
  void take_turn(std::unique_lock<std::mutex>& lock);
  void draw_all(std::unique_lock<std::mutex>& lock);
  bool draw_some(std::unique_lock<std::mutex>& lock, std::uint64_t most);
  bool draw_items(std::unique_lock<std::mutex>& lock, std::uint64_t most);
  void draw_refused();
  void send_block();
  void end_input(std::unique_lock<std::mutex>& lock, std::exception_ptr error);
  void wake_others(std::unique_lock<std::mutex>& lock);

  const bool ordered_;
  const bool sized_;
  std::shared_ptr<PoolClient> pool_;
  std::shared_ptr<Checkpoint> checkpoint_;
  std::uint64_t token_ = 0;
  StreamWindow window_{0, 0, 1};

  Buffer block_;
  std::uint64_t in_block_ = 0;

  std::condition_variable turn_;  // drawing_ has become false
  bool drawing_ = true;           // until `start` has drawn the first items
  bool input_left_ = true;
  bool closing_ = false;    // finish_input was called
  bool abandoned_ = false;  // abandon was called
  bool over_ = false;       // the end, or what ended the job, was told
  std::exception_ptr input_error_;
  std::uint64_t drawn_ = 0;             // items
  std::uint64_t sent_ = 0;              // tasks: the items that could be encoded
  std::uint64_t arrived_ = 0;           // slots filled, unless ordered
  std::uint64_t waiting_ = 0;           // threads
  std::vector<std::uint64_t> skipped_;  // for each item that could not be encoded, the tasks before it
  std::deque<Loan> loans_;
};

}  // namespace rankpool::detail
