// How the long-lived processes of a job grow.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../support/processes.hpp"
#include "../support/scratch.hpp"

namespace soak {

/// What one process has at one moment.
struct Sample {
  long memory = 0;  ///< KiB that are resident, exactly counted
  long descriptors = 0;
};

class ProcessWatch {
 public:
  /// To be called when nothing is under way.
  void sample() {
    std::set<int> pids = support::job_processes();
    pids.insert(::getpid());
    for (const int pid : pids) {
      const auto now = look_at(pid);
      if (!now) continue;
      auto& history = histories_[pid];
      history.samples.push_back(*now);
      if (history.name.empty()) history.name = name_of(pid);
    }
    ++count_;
  }
  /// What was sampled until now was the start.
  void forget() {
    histories_.clear();
    count_ = 0;
  }
  std::size_t count() const noexcept { return count_; }

  /// Compares the medians of the first and the last third, for every process that has lived all the time. Prints a line
  /// for each, and returns how many have grown by more than `share` of their memory and `constant` KiB, or have more
  /// descriptors. Workers may grow by `payload` KiB too: how many large payloads one of them has had at a time is
  /// chance, and an allocator keeps the most there ever were.
  int judge(double share, long constant, long payload) const {
    int grown = 0;
    std::cout << "process                    memory, KiB: first third   last third   growth   descriptors\n";
    for (const auto& [pid, history] : histories_) {
      if (history.samples.size() < count_ || count_ < 3) continue;
      const Sample first = median(history.samples, 0, count_ / 3);
      const Sample last = median(history.samples, count_ - count_ / 3, count_);
      const long growth = last.memory - first.memory;
      const long allowed = constant + static_cast<long>(share * static_cast<double>(first.memory)) +
                           (history.name.starts_with("PoolWorker") ? payload : 0);
      const bool bad = growth > allowed || last.descriptors > first.descriptors;
      grown += bad ? 1 : 0;
      std::cout << std::left << std::setw(40) << history.name << std::right << std::setw(10) << first.memory
                << std::setw(13) << last.memory << std::setw(9) << growth << std::setw(7) << first.descriptors << " -> "
                << last.descriptors << (bad ? "  GROWN" : "") << "\n";
      if (!bad) continue;
      for (const Sample& sample : history.samples) std::cout << " " << sample.memory << "/" << sample.descriptors;
      std::cout << "\n";
    }
    return grown;
  }

 private:
  struct History {
    std::string name;
    std::vector<Sample> samples;
  };

  /// Resident memory, and not what belongs to the process alone: that of a process which others were forked from
  /// changes with their number.
  static std::optional<Sample> look_at(int pid) {
    const std::string folder = "/proc/" + std::to_string(pid);
    std::istringstream rollup(support::content_of(folder + "/smaps_rollup"));
    Sample sample;
    for (std::string word; rollup >> word;) {
      if (word == "Rss:") rollup >> sample.memory;
    }
    if (sample.memory == 0) return std::nullopt;  // it has ended, or is about to
    std::error_code gone;
    for (std::filesystem::directory_iterator entry(folder + "/fd", gone), end; !gone && entry != end;
         entry.increment(gone))
      ++sample.descriptors;
    if (gone) return std::nullopt;
    return sample;
  }

  static std::string name_of(int pid) {
    const std::string folder = "/proc/" + std::to_string(pid);
    std::string name = support::content_of(folder + "/comm");
    name.erase(std::remove(name.begin(), name.end(), '\n'), name.end());
    const std::string environment = support::content_of(folder + "/environ");
    const std::string variable = "OMPI_COMM_WORLD_RANK=";
    if (const auto at = environment.find(variable); at != std::string::npos)
      name += " of rank " + std::string(environment.c_str() + at + variable.size());
    return name + " (" + std::to_string(pid) + ")";
  }

  static Sample median(const std::vector<Sample>& samples, std::size_t begin, std::size_t end) {
    const auto middle_of = [&](long Sample::*member) {
      std::vector<long> values;
      for (std::size_t i = begin; i < end; ++i) values.push_back(samples[i].*member);
      const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
      std::nth_element(values.begin(), middle, values.end());
      return *middle;
    };
    return {middle_of(&Sample::memory), middle_of(&Sample::descriptors)};
  }

  std::map<int, History> histories_;
  std::size_t count_ = 0;
};

}  // namespace soak
