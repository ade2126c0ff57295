// Running a callable whose value nobody wants.
#pragma once

#include <exception>
#include <string>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/dispatch.hpp>

namespace rankpool::worker {

/// Keeps the error of a single task.
class OneTask final : public detail::TaskSink {
 public:
  detail::Buffer* begin() override { return &nothing_; }
  void value() override {}
  void error(Stage stage, std::string) override {
    failure = std::current_exception();
    at = stage;
  }

  std::exception_ptr failure;
  Stage at = Stage::call;

 private:
  detail::Buffer nothing_;
};

}  // namespace rankpool::worker
