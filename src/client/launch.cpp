#include "client/launch.hpp"

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "worker/cores.hpp"

namespace rankpool::client {
namespace {

/// The variable as a number; none if it is not set.
template <class Number>
std::optional<Number> number_from(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  Number number = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  if (error == std::errc() && stop == end) return number;
  throw std::invalid_argument(
      std::string(name) + "=" + text + " is not a number" +
      (std::is_unsigned_v<Number> ? " from 0 to " + std::to_string(std::numeric_limits<Number>::max()) : ""));
}

std::optional<int> slots_from(const char* name, std::optional<int> fallback, int least) {
  std::optional<int> value = fallback;
  if (const auto number = number_from<int>(name)) value = number;
  if (value && *value < least)
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(*value) + "; it must be at least " +
                                std::to_string(least));
  return value;
}

/// Where user processes are to find the words of locks and values.
engine::WindowChoice window_choice(const std::optional<std::string>& option) {
  std::string value = option.value_or("auto");
  if (const char* const text = std::getenv("RANKPOOL_WINDOW"); text != nullptr && *text != '\0') value = text;
  if (value == "auto") return engine::WindowChoice::automatic;
  if (value == "one_sided") return engine::WindowChoice::one_sided;
  if (value == "messages") return engine::WindowChoice::messages;
  throw std::invalid_argument("RANKPOOL_WINDOW is " + value + "; it can be auto, one_sided or messages");
}

/// RANKPOOL_HEARTBEAT, in seconds.
std::chrono::milliseconds silence_limit(bool recovery) {
  constexpr double longest = 1e6;
  const double seconds = number_from<double>("RANKPOOL_HEARTBEAT").value_or(recovery ? 30 : 0);
  if (!(seconds >= 0 && seconds <= longest))
    throw std::invalid_argument("RANKPOOL_HEARTBEAT is " + std::string(std::getenv("RANKPOOL_HEARTBEAT")) +
                                "; it must be from 0 (a silent rank is never given up) to 1000000 seconds");
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

bool is_set(const char* name) { return std::getenv(name) != nullptr; }

bool by_mpirun() { return is_set("OMPI_COMM_WORLD_RANK"); }

/// This rank's number as the launcher gives it, or null without one. Never taken from Slurm's variables: under mpirun
/// they belong to the launcher's daemon.
const char* launched_rank() { return std::getenv(by_mpirun() ? "OMPI_COMM_WORLD_RANK" : "PMIX_RANK"); }

}  // namespace

engine::StartOptions read_launch(const RunOptions& options) {
  engine::StartOptions start;
  const char* const rank = launched_rank();
  const char* const tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (rank == nullptr && tasks != nullptr && std::atoi(tasks) > 1)
    throw Error(std::string("srun would run this program ") + tasks +
                " times, not once over all tasks: start it with `srun --mpi=pmix ...` or `mpirun ...`");
  const char* const size = by_mpirun() ? std::getenv("OMPI_COMM_WORLD_SIZE") : tasks;
  start.launched = rank != nullptr && (size == nullptr || std::atoi(size) != 1);  // a single rank needs no MPI either

  start.slots = slots_from("RANKPOOL_SLOTS", options.slots, start.launched ? 0 : 1);
  if (start.launched && !is_worker_rank()) {
    if (const auto master = slots_from("RANKPOOL_MASTER_SLOTS", options.master_slots, 0)) start.slots = master;
  }
  start.window = window_choice(options.window);
  start.seed = number_from<std::uint64_t>("RANKPOOL_SEED").value_or(options.seed.value_or(0));
  start.recovery = number_from<int>("RANKPOOL_RECOVERY").value_or(0) != 0;
  start.silence = silence_limit(start.recovery);
  start.cores = worker::granted_cores(affinity_holder());
  start.recovery = number_from<unsigned>("RANKPOOL_RECOVERY").value_or(0) != 0;
  return start;
}

bool is_launched() { return launched_rank() != nullptr; }

bool is_worker_rank() {
  const char* const rank = launched_rank();
  return rank != nullptr && std::strcmp(rank, "0") != 0;
}

pid_t affinity_holder() {
  if (!by_mpirun()) return 0;
  // rankpool-launch puts a shell between mpirun's daemon and rank 0.
  return number_from<pid_t>("RANKPOOL_DAEMON").value_or(::getppid());
}

}  // namespace rankpool::client
