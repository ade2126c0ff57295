// How long one task takes there and back while nothing else goes on.
#include "measurements.hpp"
#include "work.hpp"

namespace bench {

void measure_apply(Session& session) {
  const int count = session.amount(10'000, 2'000);
  rp::Pool& pool = session.pool();
  for (int i = 0; i < count / 10; ++i) pool.apply(identity, i);

  std::vector<double> microseconds;
  microseconds.reserve(static_cast<std::size_t>(count));
  const auto begin = Clock::now();
  while (microseconds.size() < static_cast<std::size_t>(count) && seconds_since(begin) < 5) {
    const auto start = Clock::now();
    pool.apply(identity, 1);
    microseconds.push_back(seconds_since(start) * 1e6);
  }
  std::ranges::sort(microseconds);
  session.record("apply_us_p50", microseconds[microseconds.size() / 2], "us", "less is better");
  session.record("apply_us_p99", microseconds[microseconds.size() * 99 / 100], "us", "less is better");
}

}  // namespace bench
