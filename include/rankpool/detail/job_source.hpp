// A job as something that wait_ready can wait for.
#pragma once

#include <memory>
#include <utility>

#include <rankpool/detail/job_state.hpp>
#include <rankpool/detail/wait_source.hpp>

namespace rankpool::detail {

class JobSource final : public WaitSource {
 public:
  explicit JobSource(std::shared_ptr<const JobState> state) : state_(std::move(state)) {}
  bool ready() const noexcept override { return state_->ended(); }

 private:
  std::shared_ptr<const JobState> state_;
};

}  // namespace rankpool::detail
