// Small programs that lose ranks and go on.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include <rankpool/rankpool.hpp>

#include "processes.hpp"
#include "scratch.hpp"
#include "small_program.hpp"

namespace support {

/// Of a job that outlives its ranks.
inline StartOptions survivor(int ranks, std::map<std::string, std::string> environment = {}) {
  environment["RANKPOOL_RECOVERY"] = "1";
  return {.environment = std::move(environment),
          .command = {"/usr/bin/env", "mpirun", "-n", std::to_string(ranks), "--oversubscribe", "--bind-to", "none",
                      "--enable-recovery", "--mca", "async_mpi_finalize", "1", "-x", "RANKPOOL_RECOVERY"}};
}

/// The process that speaks MPI for this one: the parent of its zygote.
inline int engine_pid() { return process_table()[::getppid()].parent; }

inline void write_engine_pid(const std::string& file) { add_line(file, std::to_string(engine_pid())); }

/// Those of the ranks from 1 on, each of which must live.
inline std::map<int, int> engine_pids() {
  std::map<int, int> pids;
  for (int rank = 1; rank < rankpool::rank_count(); ++rank) {
    const std::string file = file_of_program("engine" + std::to_string(rank));
    rankpool::Process process(rankpool::ProcessOptions{.rank = rank}, write_engine_pid, file);
    process.start();
    process.join();
    pids[rank] = static_cast<int>(numbers_of(file).at(0));
  }
  return pids;
}

/// Says what is not as it should be, in a line that begins with BAD.
inline void check(bool good, std::string_view what) {
  if (!good) std::cout << "BAD " << what << std::endl;
}

/// The call must throw an E, and its text have this part.
template <class E, class Call>
void check_throws(std::string_view what, std::string_view part, Call&& call) {
  try {
    call();
  } catch (const E& error) {
    if (std::string_view(error.what()).find(part) == std::string_view::npos)
      std::cout << "BAD " << what << " says: " << error.what() << std::endl;
    return;
  } catch (const std::exception& error) {
    std::cout << "BAD " << what << " throws something else: " << error.what() << std::endl;
    return;
  }
  std::cout << "BAD " << what << " throws nothing" << std::endl;
}

/// Kills an engine after some time.
class Assassin {
 public:
  Assassin(int pid, std::chrono::microseconds after)
      : thread_([pid, after] {
          std::this_thread::sleep_for(after);
          ::kill(pid, SIGKILL);
        }) {}
  Assassin(const Assassin&) = delete;
  Assassin& operator=(const Assassin&) = delete;
  ~Assassin() { thread_.join(); }

 private:
  std::thread thread_;
};

/// It ran to its end, and nothing was as it should not be. (mpirun does not keep the status of a job that goes on
/// without ranks.)
inline void expect_good(const Ended& ended) {
  EXPECT_TRUE(ended.in_time) << ended;
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
  EXPECT_EQ(ended.out.find("BAD"), std::string::npos) << ended;
  EXPECT_NE(ended.out.find("the end\n"), std::string::npos) << ended;
}

}  // namespace support
