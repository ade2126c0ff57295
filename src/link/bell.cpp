#include "link/bell.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace rankpool::link {

// Neither operation is the PRIVATE kind: sleepers and wakers are in different processes.

void Bell::wake() noexcept {
  sequence_.fetch_add(1, std::memory_order_acq_rel);
  ::syscall(SYS_futex, &sequence_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Bell::sleep(std::uint32_t seen, Nanoseconds timeout) noexcept {
  // Nobody notices a spurious wake-up once an hour, and no sum in the kernel can overflow.
  const Nanoseconds capped = std::min<Nanoseconds>(timeout, std::chrono::hours(1));
  timespec relative{};
  relative.tv_sec = static_cast<time_t>(capped.count() / 1'000'000'000);
  relative.tv_nsec = static_cast<long>(capped.count() % 1'000'000'000);
  ::syscall(SYS_futex, &sequence_, FUTEX_WAIT, seen, &relative, nullptr, 0);
}

}  // namespace rankpool::link
