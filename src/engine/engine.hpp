// The event loop of a rank.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>

#include "engine/children.hpp"
#include "engine/job_stop.hpp"
#include "engine/mailbox.hpp"
#include "engine/object_host.hpp"
#include "engine/pool_master.hpp"
#include "engine/process_host.hpp"
#include "engine/process_master.hpp"
#include "engine/rank_deaths.hpp"
#include "engine/replicas.hpp"
#include "engine/router.hpp"
#include "engine/window_service.hpp"
#include "engine/windows.hpp"
#include "engine/worker_host.hpp"
#include "link/rank_page.hpp"
#include "transport/transport.hpp"
#include "worker/zygote.hpp"

namespace rankpool::engine {

/// Moves frames between the other ranks, the children, the main program and the rooms of this engine, and sleeps when
/// there is nothing to move. Single-threaded; it never blocks but in that sleep.
class Engine final : public Router, private transport::FrameSink {
 public:
  /// `transport` is null when the job is this process alone. `page` and `signals` must outlive the engine.
  Engine(Layout layout, link::RankPage& page, worker::Zygote zygote, std::unique_ptr<transport::Transport> transport,
         Windows windows, Signals& signals);

  /// Rank 0: the engine's end of the main program's link.
  void add_main(link::LinkEnd end) { children_.add_main(std::move(end)); }
  /// Rank 0: called by the engine's thread, once, if the job begins to stop for a signal.
  void on_stopping(std::function<void()> call) { stop_.on_stopping(std::move(call)); }
  /// After `run`.
  JobStop::Outcome outcome() const noexcept { return stop_.outcome(); }
  /// Runs until the program has ended and all ranks know; then every child is gone. True: MPI is finalized. False: a
  /// rank was lost, and this process must leave by `_exit`.
  bool run();

  void send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView& payload = {}) override;
  const Layout& layout() const override { return layout_; }

 private:
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) override;
  void on_window(std::uint64_t ticket, std::uint64_t old) override;
  void on_rank_down(int rank, bool silent) override;
  void rank_lost(const wire::RankLost& lost);
  void take_signals();
  void shutdown();
  bool leave();
  bool turn();
  void rest();
  bool keeps_time() const;
  WorkerEnder::Clock::time_point look();
  std::chrono::nanoseconds time_to_rest();
  bool core_is_free() const;

  Layout layout_;
  link::RankPage& page_;
  std::unique_ptr<transport::Transport> transport_;
  Mailbox mailbox_;
  Children children_;
  WorkerHost workers_;
  ProcessHost processes_;
  Windows windows_;
  WindowService window_service_;
  RankDeaths deaths_;
  Replicas replicas_;
  ObjectHost objects_;
  std::unique_ptr<PoolMaster> master_;             // rank 0
  std::unique_ptr<ProcessMaster> process_master_;  // rank 0
  JobStop stop_;
  std::set<int> ranks_to_leave_;  // rank 0, after shutdown: ranks that have not said bye
  bool leaving_ = false;
  bool program_ended_ = false;
  unsigned rests_ = 0;
  unsigned turns_ = 0;
};

}  // namespace rankpool::engine
