// What the other ways into a pool carry: futures, input that is drawn as results are taken, and values that are reduced
// where they are computed.
#include <functional>
#include <ranges>
#include <stdexcept>
#include <vector>

#include "measurements.hpp"
#include "work.hpp"

namespace bench {
namespace {

void expect(bool held, const char* text) {
  if (!held) throw std::runtime_error(text);
}

long sum_below(long count) { return count * (count - 1) / 2; }

long widen(long x) { return x; }

}  // namespace

void measure_submit(Session& session) {
  const int count = session.amount(100'000, 20'000);
  rp::ProcessPoolExecutor executor;
  executor.submit(identity, 1).result();
  std::vector<rp::Future<int>> futures;
  const double seconds = session.best_seconds(session.amount(5, 3), [&] {
    futures.clear();
    for (int i = 0; i < count; ++i) futures.push_back(executor.submit(identity, i));
    for (int i = 0; i < count; ++i)
      expect(futures[static_cast<std::size_t>(i)].result() == i, "a future has another value than its task");
  });
  session.record("submits_per_s", count / seconds, "1/s", "more is better");
}

void measure_stream(Session& session) {
  const long count = session.amount(10'000'000L, 2'000'000L);
  rp::Pool& pool = session.pool();
  const double seconds = session.best_seconds(session.amount(3, 2), [&] {
    long sum = 0;
    for (const long x : pool.imap(widen, std::views::iota(0L, count))) sum += x;
    expect(sum == sum_below(count), "imap yielded other values than it was given");
  });
  session.record("imap_items_per_s", static_cast<double>(count) / seconds, "1/s", "more is better");
}

void measure_reduction(Session& session) {
  const long count = session.amount(10'000'000L, 2'000'000L);
  std::vector<long> items;
  for (const long x : std::views::iota(0L, count)) items.push_back(x);
  rp::Pool& pool = session.pool();
  const double seconds = session.best_seconds(session.amount(5, 3), [&] {
    expect(pool.map_reduce(widen, std::plus<>(), items, 0L) == sum_below(count), "map_reduce returned another sum");
  });
  session.record("reduce_items_per_s", static_cast<double>(count) / seconds, "1/s", "more is better");
}

}  // namespace bench
