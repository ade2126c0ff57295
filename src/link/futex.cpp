#include "link/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace rankpool::link {

// Neither operation is the PRIVATE kind: sleepers and wakers are in different processes.

void futex_wait(const void* word, std::uint32_t expected, std::chrono::nanoseconds limit) noexcept {
  if (limit <= std::chrono::nanoseconds::zero()) return;
  // no sum in the kernel can overflow
  const std::chrono::nanoseconds capped = std::min<std::chrono::nanoseconds>(limit, std::chrono::hours(1));
  timespec relative{};
  relative.tv_sec = static_cast<time_t>(capped.count() / 1'000'000'000);
  relative.tv_nsec = static_cast<long>(capped.count() % 1'000'000'000);
  ::syscall(SYS_futex, word, FUTEX_WAIT, expected, &relative, nullptr, 0);
}

void futex_wake(const void* word, int count) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

}  // namespace rankpool::link
