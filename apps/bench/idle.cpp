// What the processes of a job cost while nothing happens.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "measurements.hpp"

namespace bench {
namespace {

namespace fs = std::filesystem;

/// The fields of /proc/<pid>/stat after the name, which may hold anything: state, parent, ...; empty if it is gone.
std::vector<std::string> stat_fields(const fs::path& process) {
  std::string stat;
  std::getline(std::ifstream(process / "stat"), stat);
  const std::size_t after_name = stat.rfind(')');
  if (after_name == std::string::npos) return {};
  std::istringstream text(stat.substr(after_name + 1));
  return {std::istream_iterator<std::string>(text), {}};
}

/// CPU time of all threads, from the scheduler's own nanoseconds where the kernel shows them: /proc/<pid>/stat counts
/// in hundredths of a second.
double cpu_seconds(pid_t pid) {
  const fs::path process = "/proc/" + std::to_string(pid);
  double nanoseconds = 0;
  std::error_code gone;
  for (const auto& thread : fs::directory_iterator(process / "task", gone)) {
    double on_cpu = 0;
    if (std::ifstream(thread.path() / "schedstat") >> on_cpu) nanoseconds += on_cpu;
  }
  if (nanoseconds > 0) return nanoseconds * 1e-9;
  constexpr std::size_t user = 11;
  constexpr std::size_t system = 12;
  const std::vector<std::string> fields = stat_fields(process);
  if (fields.size() <= system) return 0;
  return (std::stod(fields[user]) + std::stod(fields[system])) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// This process and its descendants; in a job of several ranks those of its launcher, which starts the other ranks.
std::set<pid_t> processes_of_job() {
  std::map<pid_t, pid_t> parents;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::vector<std::string> fields = stat_fields(entry.path());
    if (fields.size() > 1) parents[static_cast<pid_t>(std::stol(name))] = static_cast<pid_t>(std::stol(fields[1]));
  }
  const pid_t launcher = rp::rank_count() > 1 ? getppid() : 0;
  std::set<pid_t> job{getpid()};
  for (std::size_t before = 0; before != job.size();) {
    before = job.size();
    for (const auto& [pid, parent] : parents) {
      if (job.contains(parent) || (launcher > 1 && parent == launcher)) job.insert(pid);
    }
  }
  return job;
}

}  // namespace

void measure_idle(Session& session) {
  session.pool();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const std::set<pid_t> job = processes_of_job();
  std::map<pid_t, double> before;
  const auto start = Clock::now();
  for (const pid_t pid : job) before[pid] = cpu_seconds(pid);
  std::this_thread::sleep_for(std::chrono::milliseconds(session.amount(2500, 1000)));
  std::map<pid_t, double> after;
  for (const pid_t pid : job) after[pid] = cpu_seconds(pid);
  const double seconds = seconds_since(start);

  double highest = 0;
  double total = 0;
  for (const pid_t pid : job) {
    const double percent = std::max(0.0, 100 * (after[pid] - before[pid]) / seconds);
    highest = std::max(highest, percent);
    total += percent;
  }
  char mark[96];
  std::snprintf(mark, sizeof mark, "highest of %zu processes; mean %.3f", job.size(),
                total / static_cast<double>(job.size()));
  session.record("idle_cpu_percent", highest, "%", mark);
}

}  // namespace bench
