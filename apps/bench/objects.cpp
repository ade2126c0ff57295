// What the objects cost that processes share: queues, pipes, locks, values.
#include <cstdint>

#include "measurements.hpp"

namespace bench {
namespace {

using namespace std::chrono_literals;

constexpr int warm_up = 1'000;
constexpr double patience = 5;  // seconds after which no more of a series is measured

void produce(rp::Queue<int> queue, rp::Event go, int count) {
  go.wait();
  for (int i = 0; i < count; ++i) queue.put(i);
}

void echo_queue(rp::Queue<int> in, rp::Queue<int> out) {
  for (int x = in.get(); x >= 0; x = in.get()) out.put(x);
}

void echo_pipe(rp::Connection connection) {
  for (int x = connection.recv<int>(); x >= 0; x = connection.recv<int>()) connection.send(x);
}

void lock_and_unlock(rp::Lock lock, rp::Barrier start, int count) {
  start.wait();
  for (int i = 0; i < count; ++i) {
    lock.lock();
    lock.unlock();
  }
}

/// The median of the times of a round trip, in microseconds.
template <class RoundTrip>
double median_round_trip(int count, RoundTrip round_trip) {
  for (int i = 0; i < warm_up; ++i) round_trip(i);
  std::vector<double> microseconds;
  const auto begin = Clock::now();
  for (int i = 0; i < count && seconds_since(begin) < patience; ++i) {
    const auto start = Clock::now();
    round_trip(i);
    microseconds.push_back(seconds_since(start) * 1e6);
  }
  std::ranges::nth_element(microseconds, microseconds.begin() + static_cast<std::ptrdiff_t>(microseconds.size() / 2));
  return microseconds[microseconds.size() / 2];
}

}  // namespace

void measure_queue_rate(Session& session) {
  const int count = session.amount(2'000'000, 200'000);
  const double seconds = session.best_seconds(3, [&] {
    rp::Queue<int> queue;
    rp::Event go;
    rp::Process producer(produce, queue, go, count);
    producer.start();
    go.set();
    for (int i = 0; i < count; ++i)
      if (queue.get() != i) throw std::runtime_error("the queue lost an item or its order");
    producer.join();
  });
  session.record("queue_items_per_s", count / seconds, "1/s", "at least 1 million");
}

void measure_queue_latency(Session& session) {
  rp::Queue<int> there;
  rp::Queue<int> back;
  rp::Process other(echo_queue, there, back);
  other.start();
  const double round_trip = median_round_trip(session.amount(10'000, 2'000), [&](int i) {
    there.put(i);
    back.get();
  });
  there.put(-1);
  other.join();
  session.record("queue_us_p50", round_trip / 2, "us", "at most 30");
}

void measure_pipe(Session& session) {
  auto [mine, theirs] = rp::Pipe();
  rp::Process other(echo_pipe, std::move(theirs));
  other.start();
  const double round_trip = median_round_trip(session.amount(10'000, 2'000), [&, &end = mine](int i) {
    end.send(i);
    end.recv<int>();
  });
  mine.send(-1);
  other.join();
  session.record("pipe_rtt_us_p50", round_trip, "us", "at most 40");
}

void measure_lock(Session& session) {
  const int count = session.amount(5'000'000, 500'000);
  rp::Lock lock;
  const double seconds = session.best_seconds(3, [&] {
    for (int i = 0; i < count; ++i) {
      lock.lock();
      lock.unlock();
    }
  });
  session.record("lock_pair_ns", seconds * 1e9 / count, "ns", "at most 60");
}

void measure_contended_lock(Session& session) {
  constexpr int processes = 4;
  const int count = session.amount(500'000, 50'000);
  rp::Lock lock;
  rp::Barrier start(processes + 1);
  std::vector<rp::Process> all;
  for (int i = 0; i < processes; ++i) all.emplace_back(lock_and_unlock, lock, start, count).start();
  start.wait();
  const auto begin = Clock::now();
  for (rp::Process& process : all) process.join();
  session.record("lock_contended_pairs_per_s", processes * count / seconds_since(begin), "1/s", "more is better");
}

void measure_value(Session& session) {
  const int count = session.amount(5'000'000, 500'000);
  rp::Value<long> value(0);
  const double seconds = session.best_seconds(3, [&] {
    for (int i = 0; i < count; ++i) value.fetch_add(1);
  });
  session.record("value_add_ns", seconds * 1e9 / count, "ns", "at most 40");
}

}  // namespace bench
