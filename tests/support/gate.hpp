// Tasks that begin, say so, and end when they are let.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "scratch.hpp"
#include "tasks.hpp"

namespace support {

/// The task: says that it has begun, and returns `value` once the gate is open.
inline long pass(const std::string& gate, long value) {
  add_line(gate + ".begun", std::to_string(value));
  wait_for_file(gate);
  return value;
}

class Gate {
 public:
  Gate() = default;

  template <class Executor>
  rankpool::Future<long> submit(Executor& executor, long value) const {
    return executor.submit(pass, path_, value);
  }
  const std::string& path() const noexcept { return path_; }
  void open() const { add_line(path_, "open"); }
  /// The values of the tasks that have begun, in that order.
  std::vector<long> begun() const { return numbers_of(path_ + ".begun"); }
  /// Waits until so many have.
  bool wait_for_begun(std::size_t count) const {
    return eventually([&] { return begun().size() >= count; });
  }

 private:
  Scratch scratch_;
  std::string path_ = scratch_.file("gate");
};

}  // namespace support
