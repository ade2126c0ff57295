#include <rankpool/insights.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iterator>
#include <memory>
#include <mutex>
#include <ostream>
#include <span>
#include <string>

#include <rankpool/errors.hpp>

#include "client/pool_client.hpp"
#include "wire/insights.hpp"

namespace rankpool {
namespace {

using std::chrono::nanoseconds;

/// "12.3 ms"
std::string shown(nanoseconds time) {
  struct Unit {
    double length;
    const char* name;
  };
  constexpr Unit units[] = {{60e9, "min"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
  const auto count = static_cast<double>(time.count());
  const Unit* const unit =
      std::find_if(std::begin(units), std::end(units) - 1, [&](const Unit& one) { return count >= one.length; });
  const double value = count / unit->length;
  char text[32];
  std::snprintf(text, sizeof text,
                unit->length == 1 ? "%.0f %s"
                : value < 100     ? "%.3g %s"
                                  : "%.0f %s",
                value, unit->name);
  return text;
}

std::string shown(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.0f %%", 100 * share);
  return text;
}

void add(std::string& line, const char* what, std::uint64_t count) {
  if (count != 0) line += ", " + std::to_string(count) + " " + what;
}

double share_of(nanoseconds working, nanoseconds elapsed, int workers) {
  const double room = static_cast<double>(elapsed.count()) * workers;
  return room > 0 ? static_cast<double>(working.count()) / room : 0;
}

}  // namespace

namespace detail {
namespace {

class Answer final : public client::Receiver {
 public:
  void on_frame(link::Incoming& in) override {
    insights = read_insights(in);
    done.store(true, std::memory_order_release);
  }
  std::atomic<bool> done{false};
  Insights insights;
};

}  // namespace

Insights read_insights(link::Incoming& in) {
  std::span<const std::byte> bytes = in.slice ? in.slice.bytes() : in.body;
  const auto sums = wire::take<wire::PoolInsights>(bytes);
  Insights insights;
  insights.submitted = sums.submitted;
  insights.done = sums.done;
  insights.failed = sums.failed;
  insights.cancelled = sums.cancelled;
  insights.lost = sums.lost;
  insights.retried = sums.lost - sums.lost_for_good;
  insights.workers_started = sums.workers_started;
  insights.longest = nanoseconds(sums.longest);
  insights.elapsed = nanoseconds(sums.elapsed);
  std::uint64_t tasks = 0;
  for (std::uint64_t i = 0; i < sums.ranks; ++i) {
    const auto rank = wire::take<wire::RankInsights>(bytes);
    insights.ranks.push_back({.rank = rank.rank,
                              .host = wire::text_of(rank.host),
                              .workers = rank.workers,
                              .tasks = rank.tasks,
                              .working = nanoseconds(rank.working)});
    insights.workers += rank.workers;
    insights.working += nanoseconds(rank.working);
    tasks += rank.tasks;
  }
  const std::uint64_t open = sums.submitted - sums.done - sums.failed - sums.cancelled;
  insights.running = std::min<std::uint64_t>({sums.under_way, static_cast<std::uint64_t>(insights.workers), open});
  insights.waiting = open - insights.running;
  if (tasks > 0) insights.mean = insights.working / tasks;
  insights.utilisation = share_of(insights.working, insights.elapsed, insights.workers);
  return insights;
}

Insights PoolClient::insights(JobState::Deadline deadline) {
  const auto last = [this] {
    const std::lock_guard lock(mutex_);
    return last_insights_;
  };
  if (auto known = last()) return *known;
  const auto answer = std::make_shared<Answer>();
  const std::uint64_t request = client_->new_token();
  client_->add(request, answer);
  const struct Forget {
    ~Forget() { client.remove(token); }
    client::Client& client;
    std::uint64_t token;
  } forget{*client_, request};
  client_->send(wire::Kind::pool_ask, token_, wire::bytes_of(wire::PoolAsk{request}));
  // Of a pool that has ended meanwhile, rank 0 knows nothing any more; but it has sent the last numbers then.
  const auto here = [&] { return answer->done.load(std::memory_order_acquire) || ended_.load(); };
  if (!client_->link().wait(here, deadline))
    throw TimeoutError("Pool::insights: rank 0 has not answered within the time limit; it may be called again");
  if (auto known = last()) return *known;
  return answer->insights;
}

}  // namespace detail

std::string to_string(const Insights& insights) {
  std::string tasks = "tasks:   " + std::to_string(insights.submitted) + " submitted, " +
                      std::to_string(insights.done) + " done, " + std::to_string(insights.failed) + " failed";
  add(tasks, "cancelled", insights.cancelled);
  add(tasks, "running", insights.running);
  add(tasks, "waiting", insights.waiting);
  add(tasks, "attempts lost", insights.lost);
  add(tasks, "retried", insights.retried);
  std::string text = tasks + "\nworkers: " + std::to_string(insights.workers) + ", " +
                     std::to_string(insights.workers_started) + " started\ntime:    " + shown(insights.elapsed) +
                     " elapsed, " + shown(insights.working) + " working, " + shown(insights.utilisation) +
                     " used; a task takes " + shown(insights.mean) + ", the longest " + shown(insights.longest) +
                     "\n   rank  workers       tasks     working   used  host\n";
  for (const RankInsights& rank : insights.ranks) {
    char line[192];
    std::snprintf(line, sizeof line, "%7d %8d %11llu %11s %6s  %s\n", rank.rank, rank.workers,
                  static_cast<unsigned long long>(rank.tasks), shown(rank.working).c_str(),
                  shown(share_of(rank.working, insights.elapsed, rank.workers)).c_str(), rank.host.c_str());
    text += line;
  }
  return text;
}

std::ostream& operator<<(std::ostream& out, const Insights& insights) { return out << to_string(insights); }

}  // namespace rankpool
