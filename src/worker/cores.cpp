#include "worker/cores.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace rankpool::worker {
namespace {

int cores_in_mask(pid_t pid) {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {  // the kernel refuses a set smaller than its own
    cpu_set_t* const set = CPU_ALLOC(static_cast<std::size_t>(cpus));
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
    const int count = sched_getaffinity(pid, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return 1;
}

/// The first line of the process's cgroup file for this controller ("" is the unified hierarchy), as a path below the
/// mount.
std::string cgroup_path(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controller.empty() ? names == ",," : names.find("," + controller + ",") != std::string::npos)
      return line.substr(second + 1);
  }
  return "/";
}

double quota_of(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : std::numeric_limits<double>::infinity();
}

/// Cores' worth of time that the control group allows; infinity without a limit. Inside a container the group's files
/// may be at the root of the mount instead.
double cpu_quota() {
  double least = std::numeric_limits<double>::infinity();
  for (std::string path = cgroup_path("");; path = path.substr(0, path.rfind('/'))) {
    std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max") least = std::min(least, quota_of(std::stod(quota), period));
    if (path.empty() || path.find('/') == std::string::npos) break;
  }
  const std::string own = cgroup_path("cpu");
  for (const std::string& path : {own, std::string()}) {
    double quota = 0;
    double period = 0;
    std::ifstream("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_period_us") >> period;
    least = std::min(least, quota_of(quota, period));
  }
  return least;
}

}  // namespace

int granted_cores(pid_t pid) {
  const double quota = cpu_quota();
  const int mask = cores_in_mask(pid);
  return quota < mask ? std::max(1, static_cast<int>(std::ceil(quota))) : mask;
}

}  // namespace rankpool::worker
