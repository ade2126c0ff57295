// The event loop of a rank.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/children.hpp"
#include "engine/mailbox.hpp"
#include "engine/object_host.hpp"
#include "engine/pool_master.hpp"
#include "engine/process_host.hpp"
#include "engine/process_master.hpp"
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
  /// `transport` is null when the job is this process alone. `page` must outlive the engine.
  Engine(Layout layout, link::RankPage& page, worker::Zygote zygote, std::unique_ptr<transport::Transport> transport,
         Windows windows);

  /// Rank 0: the engine's end of the main program's link.
  void add_main(link::LinkEnd end) { children_.add_main(std::move(end)); }
  /// Runs until the program has ended and all ranks know; then every child is gone and MPI is finalized.
  void run();

  void send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView& payload = {}) override;
  const Layout& layout() const override { return layout_; }

 private:
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) override;
  void on_window(std::uint64_t ticket, std::uint64_t old) override;
  void shutdown();
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
  Replicas replicas_;
  ObjectHost objects_;
  std::optional<PoolMaster> master_;             // rank 0
  std::optional<ProcessMaster> process_master_;  // rank 0
  int ranks_to_leave_ = 0;                       // rank 0, after shutdown: ranks that have not said bye
  bool leaving_ = false;
  unsigned rests_ = 0;
  unsigned turns_ = 0;
};

}  // namespace rankpool::engine
