// Other programs inside a test program. It runs them as processes of their own, by executing itself, to see what a
// program prints, how it ends and what it leaves behind.
//
//     const support::SmallProgram seven("seven", [](int argc, char** argv) {
//       return rankpool::run(argc, argv, [] { return 7; });
//     });
//     TEST(Run, ...) { EXPECT_EQ(support::start("seven").status, 7); }
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "processes.hpp"
#include "scratch.hpp"

namespace support {

/// A static object of this type is one of the other programs.
class SmallProgram {
 public:
  using Main = int (*)(int, char**);

  SmallProgram(const std::string& name, Main main) { all()[name] = main; }
  static std::map<std::string, Main>& all() {
    static std::map<std::string, Main> programs;
    return programs;
  }
};

constexpr std::string_view small_program_flag = "--small-program";

/// Does not return if this process was started as a small program: `test --small-program NAME ARG...`.
inline std::vector<int> become_small_program() {
  std::vector<std::string> arguments;
  const std::string command_line = content_of("/proc/self/cmdline");
  for (std::size_t at = 0; at < command_line.size(); at += arguments.back().size() + 1)
    arguments.emplace_back(command_line.c_str() + at);
  if (arguments.size() > 2 && arguments[1] == small_program_flag) {
    static std::vector<std::string> kept(arguments.begin() + 2, arguments.end());
    static std::vector<char*> argv;
    for (std::string& argument : kept) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::exit(SmallProgram::all().at(kept.front())(static_cast<int>(kept.size()), argv.data()));
  }
  return {0};
}

// The main function of a test begins with InitGoogleTest, which asks for the values of parameterised tests: that is the
// one moment before rankpool::run at which a test file can step in.
class SmallPrograms : public testing::TestWithParam<int> {};
TEST_P(SmallPrograms, exist) { EXPECT_FALSE(SmallProgram::all().empty()); }
INSTANTIATE_TEST_SUITE_P(All, SmallPrograms, testing::ValuesIn(become_small_program()));

constexpr const char* folder_variable = "SMALL_PROGRAM_FOLDER";

/// A file that goes when the small program, in which this is called, has ended in whatever way.
inline std::string file_of_program(const std::string& name) { return std::getenv(folder_variable) + name; }

/// How a small program has ended.
struct Ended {
  int status = 0;  ///< its exit status; -n: killed by signal n
  std::string out;
  std::string err;
  bool in_time = true;    ///< else it was killed
  std::vector<int> left;  ///< processes of it that were still there some seconds later; they have been killed

  friend std::ostream& operator<<(std::ostream& stream, const Ended& ended) {
    return stream << "status " << ended.status << (ended.in_time ? "" : ", killed after its time limit") << ", left "
                  << ended.left.size() << " processes\n-- stdout\n"
                  << ended.out << "-- stderr\n"
                  << ended.err << "--";
  }
};

struct StartOptions {
  std::map<std::string, std::string> environment = {};  ///< added
  std::string input = {};                               ///< its standard input
  int ranks = 0;                          ///< 0: alone; else by the launcher that this process was started by
  std::vector<std::string> command = {};  ///< what starts it; empty: as `ranks` says
};

/// mpirun, if this process was started by it; else nothing.
inline std::string launcher() {
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return {};
  std::error_code none;
  return std::filesystem::read_symlink("/proc/" + std::to_string(::getppid()) + "/exe", none).string();
}

/// A small program that is running.
class Started {
 public:
  explicit Started(const std::string& name, const StartOptions& options = {}) : ranks_(options.ranks) {
    static std::atomic<int> count{0};
    mark_ = "SMALL_PROGRAM=" + std::to_string(::getpid()) + "." + std::to_string(++count) + ".";
    std::vector<std::string> command = options.command;
    if (options.ranks > 0)
      command = {launcher(), "-n", std::to_string(options.ranks), "--oversubscribe", "--bind-to", "none"};
    command.insert(command.end(),
                   {std::filesystem::read_symlink("/proc/self/exe"), std::string(small_program_flag), name});
    std::vector<std::string> environment = clean_environment();
    environment.push_back(mark_);
    environment.push_back(std::string(folder_variable) + "=" + scratch_.file(""));
    for (const auto& [key, value] : options.environment) environment.push_back(key + "=" + value);
    std::ofstream(scratch_.file("in")) << options.input;

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, scratch_.file("in").c_str(), O_RDONLY, 0);
    constexpr int to_write = O_WRONLY | O_CREAT | O_APPEND;
    posix_spawn_file_actions_addopen(&files, 1, scratch_.file("out").c_str(), to_write, 0600);
    posix_spawn_file_actions_addopen(&files, 2, scratch_.file("err").c_str(), to_write, 0600);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // whoever started this process in the background may have had it ignore some
    sigset_t by_default;
    sigemptyset(&by_default);
    for (const int number : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&by_default, number);
    posix_spawnattr_setsigdefault(&attributes, &by_default);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    const int error = ::posix_spawn(&pid_, command.front().c_str(), &files, &attributes, pointers(command).data(),
                                    pointers(environment).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw std::system_error(error, std::generic_category(), command.front());
  }
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;
  ~Started() {
    if (!ended_) static_cast<void>(wait());
  }

  int pid() const noexcept { return pid_; }
  std::string out() const { return content_of(scratch_.file("out")); }
  std::string err() const { return content_of(scratch_.file("err")); }
  /// A file of `file_of_program`.
  std::string file(const std::string& name) const { return scratch_.file(name); }
  /// All its processes that live, with those of the launcher.
  std::vector<int> processes() const { return marked_processes(mark_); }
  /// The process of that rank; 0 if there is none.
  int rank_pid(int rank) const {
    if (ranks_ == 0) return rank == 0 ? pid_ : 0;
    const auto table = process_table();
    for (const int pid : processes()) {
      const auto entry = table.find(pid);
      if (entry == table.end() || entry->second.parent != pid_) continue;
      const std::string variables = '\0' + content_of("/proc/" + std::to_string(pid) + "/environ");
      if (variables.find('\0' + ("OMPI_COMM_WORLD_RANK=" + std::to_string(rank)) + '\0') != std::string::npos)
        return pid;
    }
    return 0;
  }
  void signal(int number) const { ::kill(pid_, number); }

  /// Until it has ended; it is killed if that takes too long.
  Ended wait() {
    Ended ended;
    int status = 0;
    ended.in_time = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
    if (!ended.in_time) {
      ::kill(-pid_, SIGKILL);
      ::waitpid(pid_, &status, 0);
    }
    ended_ = true;
    ended.status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    eventually([&] { return marked_processes(mark_).empty(); }, std::chrono::seconds(5));
    ended.left = marked_processes(mark_);
    for (const int pid : ended.left) ::kill(pid, SIGKILL);
    ended.out = out();
    ended.err = err();
    return ended;
  }

 private:
  /// Without what the launcher of this process and its user have said to it.
  static std::vector<std::string> clean_environment() {
    constexpr std::array<std::string_view, 8> of_launchers{"OMPI_",  "PMIX_",     "PMI_",  "ORTE_",
                                                           "SLURM_", "RANKPOOL_", "PRTE_", "OPAL_"};
    constexpr std::array<std::string_view, 4> kept{"OMPI_ALLOW_RUN_AS_ROOT=", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=",
                                                   "OMPI_MCA_btl_vader_backing_directory=", "RANKPOOL_TEST_MARK="};
    std::vector<std::string> clean;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const auto begins_text = [&](std::string_view part) { return text.starts_with(part); };
      if (std::any_of(kept.begin(), kept.end(), begins_text) ||
          std::none_of(of_launchers.begin(), of_launchers.end(), begins_text))
        clean.emplace_back(text);
    }
    return clean;
  }
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
  }

  Scratch scratch_;
  const int ranks_;
  std::string mark_;
  pid_t pid_ = 0;
  bool ended_ = false;
};

/// Runs a small program to its end.
inline Ended start(const std::string& name, const StartOptions& options = {}) { return Started(name, options).wait(); }

/// Alone, and if this process was started by a launcher, also by that over several ranks.
inline std::vector<StartOptions> every_start() {
  std::vector<StartOptions> starts(1);
  if (!launcher().empty()) starts.push_back({.ranks = 3});
  return starts;
}

}  // namespace support
