// How much goes through a pool: tasks that do nothing, items in automatic chunks, large arrays.
#include <numeric>
#include <stdexcept>

#include "measurements.hpp"
#include "work.hpp"

namespace bench {
namespace {

void expect(bool held, const char* text) {
  if (!held) throw std::runtime_error(text);
}

double items_per_second(Session& session, std::size_t count, int repeats, const rp::MapOptions& options) {
  std::vector<int> items(count);
  std::iota(items.begin(), items.end(), 0);
  rp::Pool& pool = session.pool();
  std::vector<int> results;
  const double seconds = session.best_seconds(repeats, [&] { results = pool.map(identity, items, options); });
  expect(results == items, "the pool returned other values than it was given");
  return static_cast<double>(count) / seconds;
}

}  // namespace

void measure_task_rate(Session& session) {
  const std::size_t count = session.amount<std::size_t>(1'000'000, 200'000);
  session.record("tasks_per_s_chunk1", items_per_second(session, count, session.amount(5, 3), {.chunksize = 1}), "1/s",
                 "more is better");
}

void measure_item_rate(Session& session) {
  const std::size_t count = session.amount<std::size_t>(10'000'000, 2'000'000);
  session.record("items_per_s_auto", items_per_second(session, count, session.amount(5, 3), {}), "1/s",
                 "more is better");
}

void measure_bulk(Session& session) {
  constexpr std::size_t arrays = 16;
  constexpr std::size_t length = (std::size_t{8} << 20) / sizeof(double);
  std::vector<std::vector<double>> data(arrays, std::vector<double>(length));
  for (std::size_t i = 0; i < arrays; ++i) std::iota(data[i].begin(), data[i].end(), static_cast<double>(i));

  rp::Pool& pool = session.pool();
  std::vector<std::vector<double>> results;
  const double seconds =
      session.best_seconds(session.amount(5, 3), [&] { results = pool.map(send_back, data, {.chunksize = 1}); });
  expect(results == data, "the pool returned other arrays than it was given");
  session.record("bulk_GBps", 2.0 * arrays * length * sizeof(double) / seconds / 1e9, "GB/s", "more is better");
}

}  // namespace bench
