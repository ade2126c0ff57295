// Which way locks, semaphores, values and arrays are carried.
#pragma once

#include <algorithm>
#include <chrono>

#include <rankpool/rankpool.hpp>

namespace support {

/// Does each use of them need an engine? Then tests of many steps make fewer.
inline bool asks_home() {
  static const bool result = [] {
    const rankpool::Value<int> value(0);
    auto fastest = std::chrono::nanoseconds::max();
    for (int i = 0; i < 20; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      value.load();
      fastest = std::min<std::chrono::nanoseconds>(fastest, std::chrono::steady_clock::now() - begin);
    }
    // a load from shared memory takes some ns; an engine that is awake has answered in 920
    return fastest > std::chrono::nanoseconds(300);
  }();
  return result;
}

}  // namespace support
