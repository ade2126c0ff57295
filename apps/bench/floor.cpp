// The same no-op tasks through a loop written by hand in MPI, as a program of its own.
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

#include "measurements.hpp"
#include "subprocess.hpp"

namespace bench {

void measure_floor(Session& session) {
  // Alone there is no rank that only masters; the loop needs one.
  const int ranks = rp::rank_count() > 1 ? rp::rank_count() : session.workers() + 1;
  std::vector<std::string> command{"mpirun", "--oversubscribe", "--bind-to", "none", "--timeout", "25"};
  // mpirun refuses root unless told; who runs this program as root has decided that already.
  if (geteuid() == 0) command.emplace_back("--allow-run-as-root");
  command.insert(command.end(), {"--mca", "mpi_yield_when_idle", "1", "-n", std::to_string(ranks), own_path(),
                                 floor_option, session.quick() ? "quick" : "full"});
  const Finished run = run_program(command, std::chrono::seconds(27));
  double rate = 0;
  double round_trip = 0;
  if (std::sscanf(run.output.c_str(), "%lf %lf", &rate, &round_trip) != 2) {
    throw std::runtime_error("the MPI loop printed no figures: " + run.output);
  }
  const std::string how = "MPI loop by hand, " + std::to_string(ranks) + " ranks";
  session.record("floor_tasks_per_s", rate, "1/s", how);
  session.record("floor_rtt_us", round_trip, "us", how);
}

}  // namespace bench
