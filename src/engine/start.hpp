// From a rank that has just begun to an engine that can run.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/engine.hpp"
#include "link/rank_page.hpp"
#include "worker/zygote.hpp"

namespace rankpool::engine {

/// RANKPOOL_WINDOW.
enum class WindowChoice {
  automatic,
  one_sided,  ///< also where memory can be shared; without other ranks the same as `automatic`
  messages,
};

/// What a rank brings to the start.
struct StartOptions {
  bool launched = false;            ///< by mpirun or srun: there may be other ranks
  std::optional<int> slots;         ///< RANKPOOL_SLOTS
  std::optional<int> master_slots;  ///< RANKPOOL_MASTER_SLOTS
  int cores = 1;                    ///< granted to the job on this host
  WindowChoice window = WindowChoice::automatic;
  std::uint64_t seed = 0;                ///< RANKPOOL_SEED; that of rank 0 counts
  bool recovery = false;                 ///< RANKPOOL_RECOVERY: the job must outlive a lost rank; that of rank 0 counts
  std::chrono::milliseconds silence{0};  ///< RANKPOOL_HEARTBEAT: of another host, means loss; 0: never; as above
};

/// Finds the other ranks, if the job has any, checks that all run the same build, and deals the slots. Collective; the
/// thread that calls it must run the engine. @throws MpiError, BinaryMismatch (on every rank), std::invalid_argument
std::unique_ptr<Engine> start(const StartOptions& options, link::RankPage& page, worker::Zygote zygote,
                              Signals& signals);

}  // namespace rankpool::engine
