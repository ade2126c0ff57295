// Measures a pool on this machine or job, against a loop written by hand in MPI.
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <mutex>
#include <set>
#include <thread>

#include "measurements.hpp"

namespace {

using namespace bench;

constexpr const char* usage =
    "usage: rankpool-bench [--json] [--quick] [--only NAME,...]\n"
    "\n"
    "Measures what a pool over every core of the job can do, and what the shared objects cost, in about a minute.\n"
    "\n"
    "  --json       print one JSON object instead of a table\n"
    "  --quick      fewer tasks and repeats, a few seconds\n"
    "  --only NAME  only these metrics, separated by commas\n"
    "  --help       show this\n"
    "\n"
    "Metrics:";

struct Options {
  bool json = false;
  bool quick = false;
  bool help = false;
  std::set<std::string> only;
};

std::set<std::string> metric_names() {
  std::set<std::string> names;
  for (const Measurement& measurement : measurements()) {
    names.insert(measurement.metrics.begin(), measurement.metrics.end());
  }
  return names;
}

/// @throws std::invalid_argument
std::set<std::string> parse_names(const std::string& list) {
  const std::set<std::string> known = metric_names();
  std::set<std::string> result;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string name = list.substr(begin, end - begin);
    if (!known.contains(name)) throw std::invalid_argument("--only: there is no metric '" + name + "'");
    result.insert(name);
    begin = end + 1;
  }
  return result;
}

/// @throws std::invalid_argument
Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      options.json = true;
    } else if (option == "--quick") {
      options.quick = true;
    } else if (option == "--help" || option == "-h") {
      options.help = true;
    } else if (option == "--only") {
      if (i + 1 == argc) throw std::invalid_argument("--only wants the names of metrics");
      options.only.merge(parse_names(argv[++i]));
    } else {
      throw std::invalid_argument("there is no option '" + option + "'");
    }
  }
  return options;
}

/// Ends a measurement that takes too long: stops its pool, so that what waits for it throws; and if that does not help,
/// the alarm ends the program.
class TimeLimit {
 public:
  TimeLimit(Session& session, unsigned seconds)
      : watch_([&session, seconds, this](const std::stop_token& stop) {
          std::unique_lock lock(mutex_);
          if (changed_.wait_for(lock, stop, std::chrono::seconds(seconds), [] { return false; })) return;
          if (!stop.stop_requested()) session.stop_pool();
        }) {
    alarm(seconds + 10);
  }
  ~TimeLimit() { alarm(0); }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread watch_;
};

/// False if it could not be done; its metrics are then recorded without a value.
bool run(const Measurement& measurement, Session& session) {
  constexpr unsigned seconds = 30;
  const std::size_t recorded = session.metrics().size();
  try {
    const TimeLimit limit(session, seconds);
    measurement.measure(session);
    return true;
  } catch (const std::exception& error) {
    session.metrics().resize(recorded);
    const std::string reason = session.stopped() ? "took more than " + std::to_string(seconds) + " s" : error.what();
    for (const std::string& name : measurement.metrics) session.record_failure(name, reason);
  }
  session.drop_pool();
  return false;
}

/// A figure means more beside that of the loop by hand, from the same minute.
void add_comparison(std::vector<Metric>& metrics, const std::string& name, const std::string& floor) {
  const auto find = [&](const std::string& wanted) {
    return std::ranges::find_if(metrics, [&](const Metric& m) { return m.name == wanted && m.value; });
  };
  const auto metric = find(name);
  const auto base = find(floor);
  if (metric == metrics.end() || base == metrics.end()) return;
  char mark[64];
  std::snprintf(mark, sizeof mark, "%.2f x %s", *metric->value / *base->value, floor.c_str());
  metric->mark = mark;
}

int measure(const Options& options) {
  Session session(options.quick);
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const Machine machine{host,
                        rp::rank_count(),
                        rp::slot_count(),
                        session.workers(),
                        rp::cpu_count(),
                        std::getenv("OMPI_COMM_WORLD_RANK") != nullptr || std::getenv("PMIX_RANK") != nullptr};
  bool all = true;
  for (const Measurement& measurement : measurements()) {
    const auto wanted = [&](const std::string& name) { return options.only.empty() || options.only.contains(name); };
    if (std::ranges::any_of(measurement.metrics, wanted)) all = run(measurement, session) && all;
  }
  std::vector<Metric>& metrics = session.metrics();
  add_comparison(metrics, "tasks_per_s_chunk1", "floor_tasks_per_s");
  add_comparison(metrics, "apply_us_p50", "floor_rtt_us");
  if (!options.only.empty()) std::erase_if(metrics, [&](const Metric& m) { return !options.only.contains(m.name); });
  options.json ? write_json(std::cout, machine, metrics) : write_table(std::cout, machine, metrics);
  for (const Metric& metric : metrics) {
    if (!metric.value) std::fprintf(stderr, "rankpool-bench: %s: %s\n", metric.name.c_str(), metric.mark.c_str());
  }
  return all ? 0 : 1;
}

int program(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    if (!options.help) return measure(options);
    std::cout << usage;
    for (const std::string& name : metric_names()) std::cout << ' ' << name;
    std::cout << '\n';
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "rankpool-bench: %s\nTry 'rankpool-bench --help'.\n", error.what());
    return 2;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], floor_option) == 0) return floor_program(argc, argv);
  if (argc > 1 && std::strcmp(argv[1], first_result_option) == 0) return rp::run(argc, argv, first_result_program);
  return rp::run(argc, argv, program);
}
