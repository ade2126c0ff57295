// A program with a checkpoint is killed whole, again and again, and in the end has computed what it would have without.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/processes.hpp"
#include "../support/scratch.hpp"
#include "../support/small_program.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Ended;
using support::SmallProgram;
using support::StartOptions;

namespace {

constexpr long tasks = 3000;
constexpr int rounds = 30;

/// Some bytes that only the task's own random numbers and index give; says that it was run.
std::vector<std::uint64_t> throw_dice(const std::string& log, long x) {
  std::vector<std::uint64_t> numbers(static_cast<std::size_t>(x % 5));
  for (std::uint64_t& number : numbers) number = rp::task_rng()();
  numbers.push_back(rp::this_task().index * static_cast<std::uint64_t>(x));
  std::this_thread::sleep_for(std::chrono::microseconds(x % 700));
  support::add_line(log, std::to_string(x));
  return numbers;
}

std::string variable(const char* name) {
  const char* const text = std::getenv(name);
  return text != nullptr ? text : "";
}

/// FILE: the checkpoint, or none. LOG: what was run. RESULT: is written when all is done. CALL: how.
int throw_all_dice() {
  std::vector<long> items(static_cast<std::size_t>(tasks));
  std::iota(items.begin(), items.end(), 0L);
  const auto task = rp::partial(throw_dice, variable("LOG"));
  const rp::MapOptions options{.checkpoint = variable("FILE")};
  rp::Pool pool;
  std::vector<std::vector<std::uint64_t>> results;
  if (variable("CALL") == "imap") {
    results = pool.imap(task, items, options).to_vector();
  } else if (variable("CALL") == "map_async") {
    const auto result = pool.map_async(task, items, options);
    while (!result.wait_for(0s)) std::this_thread::sleep_for(100ms);  // it has something else to do
    results = result.get();
  } else {
    results = pool.map(task, items, options);
  }
  std::ofstream out(variable("RESULT"), std::ios::binary);
  for (const auto& numbers : results)
    out.write(reinterpret_cast<const char*>(numbers.data()), static_cast<std::streamsize>(numbers.size() * 8));
  return 0;
}
const SmallProgram dice("dice", [](int argc, char** argv) { return rp::run(argc, argv, throw_all_dice); });

/// Kills every process of the program at once, as far as that can be done one by one.
void kill_all(const support::Started& program) {
  std::set<int> all{program.pid()};
  for (bool more = true; more;) {  // stopped, so that nobody is forked meanwhile
    more = false;
    for (const auto& [pid, state] : support::process_table()) {
      if (all.contains(state.parent) && all.insert(pid).second) more = true;
    }
    for (const int pid : all) ::kill(pid, SIGSTOP);
  }
  for (const int pid : all) ::kill(pid, SIGKILL);

  // A job that is killed while MPI starts leaves MPI's own files, in the place that `no_leftovers` has given it.
  const std::filesystem::path place = variable("OMPI_MCA_btl_vader_backing_directory");
  if (place.empty()) return;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(place))
    if (entry.path().filename().string().starts_with("vader_segment.")) files.push_back(entry.path());
  for (const auto& file : files) std::filesystem::remove(file);
}

std::uint64_t seed_of_this_run() {
  const std::string given = variable("CHECKPOINT_SEED");
  return given.empty() ? std::random_device()() : std::stoull(given);
}

class CheckpointDeath : public testing::Test {
 protected:
  StartOptions with(const StartOptions& start, const std::string& call, const std::string& file) const {
    StartOptions options = start;
    options.environment = {{"LOG", log_}, {"FILE", file}, {"RESULT", result_}, {"CALL", call}, {"RANKPOOL_SLOTS", "2"}};
    return options;
  }

  support::Scratch scratch_;
  const std::string log_ = scratch_.file("log");
  const std::string file_ = scratch_.file("dice.journal");
  const std::string result_ = scratch_.file("result");
};

/// The tasks whose results are in the file, by what a reader of its format can see.
std::set<long> tasks_in(const std::string& file) {
  std::set<long> found;
  const std::string bytes = support::content_of(file);
  const auto number = [&](std::size_t at) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  for (std::size_t at = 48; bytes.size() >= at + 32;) {
    const std::uint64_t first = number(at + 8), count = number(at + 16), size = number(at + 24);
    if (bytes.size() - at - 32 < size) break;
    for (std::uint64_t task = first; task < first + count; ++task) found.insert(static_cast<long>(task));
    at += 32 + size;
  }
  return found;
}

}  // namespace

TEST_F(CheckpointDeath, at_any_moment_loses_nothing_that_was_written) {
  const std::uint64_t seed = seed_of_this_run();
  std::cout << "repeat with CHECKPOINT_SEED=" << seed << "\n";
  std::mt19937_64 random(seed);
  const StartOptions start = support::every_start().back();
  const auto begin = std::chrono::steady_clock::now();
  std::string expected;
  std::chrono::duration<double> until_work{0}, work{0};
  {
    support::Started undisturbed("dice", with(start, "map", ""));
    support::eventually([&] { return support::exists(log_); });
    until_work = std::chrono::steady_clock::now() - begin;
    const bool done = support::eventually([&] { return support::exists(result_); });
    work = std::chrono::steady_clock::now() - begin - until_work;
    const Ended ended = undisturbed.wait();
    ASSERT_TRUE(done && ended.status == 0) << ended;
    expected = support::content_of(result_);
    std::filesystem::remove(result_);
  }

  int killed = 0, resumed = 0, torn = 0, ends = 0;
  std::set<long> known;
  for (int round = 0; round < rounds; ++round) {
    std::filesystem::remove(log_);
    const std::string call = std::vector<std::string>{"map", "imap", "map_async"}[random() % 3];
    // a part of the way, since most of it is done by those before; some before anything happens
    const double part = std::uniform_real_distribution<double>(0, 1)(random);
    const bool early = random() % 8 == 0;
    {
      support::Started program("dice", with(start, call, file_));
      if (early) {
        std::this_thread::sleep_for(part * until_work);
      } else {
        support::eventually([&] { return support::exists(log_); }, 5s);
        std::this_thread::sleep_for(0.15 * part * work);
      }
      kill_all(program);
      const Ended ended = program.wait();
      ASSERT_TRUE(ended.in_time && ended.left.empty()) << ended;
      ASSERT_EQ(ended.err.find("rankpool"), std::string::npos) << ended;
      if (ended.status == 0) {
        ++ends;
        EXPECT_TRUE(support::content_of(result_) == expected) << "it gives something else";
      }
      std::filesystem::remove(result_);
    }
    ++killed;
    if (!known.empty()) ++resumed;
    std::set<long> again;
    for (const long task : support::numbers_of(log_)) {
      ASSERT_FALSE(known.contains(task)) << "task " << task << " was in the file and was run again";
      ASSERT_TRUE(again.insert(task).second) << "task " << task << " was run twice";
    }
    const std::set<long> now = tasks_in(file_);
    for (const long task : known) ASSERT_TRUE(now.contains(task)) << "task " << task << " was in the file";
    for (const long task : now)
      ASSERT_TRUE(known.contains(task) || again.contains(task)) << "task " << task << " was never run";
    if (now.size() == static_cast<std::size_t>(tasks) || ends > 0) {
      // all is done: from the beginning once more
      std::filesystem::remove(file_);
      known.clear();
      ends = 0;
      continue;
    }
    known = now;
    // and now and then the end of the file is torn, as it would be if the last write had not ended
    if (random() % 3 == 0 && std::filesystem::exists(file_) && std::filesystem::file_size(file_) > 100) {
      std::filesystem::resize_file(file_, std::filesystem::file_size(file_) - 1 - random() % 40);
      known = tasks_in(file_);
      ++torn;
    }
  }
  std::filesystem::remove(log_);
  const Ended last = support::start("dice", with(start, "map", file_));
  ASSERT_EQ(last.status, 0) << last;
  EXPECT_TRUE(support::content_of(result_) == expected) << "it gives something else";
  std::size_t ran = 0;
  for (const long task : support::numbers_of(log_)) {
    EXPECT_FALSE(known.contains(task)) << "task " << task << " was in the file and was run again";
    ++ran;
  }
  EXPECT_EQ(ran, static_cast<std::size_t>(tasks) - known.size());
  EXPECT_GE(resumed, rounds / 4) << "hardly any run had something to go on from";
  std::cout << (start.ranks == 0 ? std::string("alone") : std::to_string(start.ranks) + " ranks") << ": killed "
            << killed << " times, " << resumed << " of them with something in the file, " << torn
            << " torn ends, the last run skipped " << known.size() << " of " << tasks << " tasks\n";
}
