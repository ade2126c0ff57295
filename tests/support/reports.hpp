// What callbacks have said.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "scratch.hpp"

namespace support {

using Texts = std::vector<std::string>;

/// Things in the order in which callbacks have reported them.
class Reports {
 public:
  void add(std::string text) {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(text));
  }
  Texts all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  /// All, when so many have come.
  Texts wait_for(std::size_t count) const {
    eventually([&] { return all().size() >= count; });
    return all();
  }

 private:
  mutable std::mutex mutex_;
  Texts all_;
};

}  // namespace support
