// Files through which a test program and its tasks, which are other processes, tell each other what has happened.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <concepts>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "sanitized.hpp"

namespace support {

/// Longer than anything takes on a machine that is busy with something else; only a failure waits so long.
constexpr std::chrono::seconds long_enough{sanitized ? 60 : 20};

/// A folder that goes with this object.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "rankpool-test.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// One write, so lines of several processes do not mix.
inline void add_line(const std::string& file, std::string line) {
  line += '\n';
  const int out = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  const auto written = out < 0 ? -1 : ::write(out, line.data(), line.size());
  if (out >= 0) ::close(out);
  if (written != static_cast<ssize_t>(line.size())) throw std::system_error(errno, std::generic_category(), file);
}

inline std::vector<std::string> lines_of(const std::string& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line) && !in.eof();) lines.push_back(line);
  return lines;
}

inline std::vector<long> numbers_of(const std::string& file) {
  std::vector<long> numbers;
  for (const std::string& line : lines_of(file)) numbers.push_back(std::stol(line));
  return numbers;
}

inline std::string content_of(const std::string& file) {
  std::ostringstream content;
  content << std::ifstream(file).rdbuf();
  return content.str();
}

inline bool exists(const std::string& file) { return std::filesystem::exists(file); }

/// Waits for the condition; false if it does not come.
inline bool eventually(std::predicate auto condition, std::chrono::nanoseconds limit = long_enough) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// How long something takes.
template <std::invocable Action>
std::chrono::nanoseconds time_of(Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::steady_clock::now() - begin;
}

}  // namespace support
