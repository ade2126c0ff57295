#include "engine/engine.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "wire/messages.hpp"

namespace rankpool::engine {
namespace {

using wire::Kind;

constexpr int looks_before_sleep = 50;
constexpr auto longest_sleep = std::chrono::milliseconds(20);  // bounds what a lost wake-up could cost
constexpr unsigned turns_between_looks = 64;                   // at what takes too long, while busy
constexpr unsigned rests_between_checks = 10;                  // a zygote that was killed cannot ring
constexpr auto longest_farewell = std::chrono::seconds(1);     // to ranks that may have died
constexpr auto short_sleep = std::chrono::microseconds(100);   // while MPI still has something of ours to move

/// Asks for short slices of CPU time, so that the kernel (Linux 6.12 and later; older ones ignore it) lets an engine
/// that is rung run at once on a core where a worker computes, instead of after that worker's slice of some
/// milliseconds.
void ask_for_short_slices() {
  struct {
    std::uint32_t size = sizeof(*this);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t slice = 500'000;  // ns; much shorter ones make an engine that looks before it sleeps a hog
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
  } attributes;
  errno = 0;
  attributes.nice = ::getpriority(PRIO_PROCESS, 0);
  if (errno == 0) ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

Engine::Engine(Layout layout, link::RankPage& page, worker::Zygote zygote,
               std::unique_ptr<transport::Transport> transport, Windows windows, Signals& signals)
    : layout_(std::move(layout)),
      page_(page),
      transport_(std::move(transport)),
      children_(std::move(zygote), *page, *this),
      workers_(children_, *page, *this),
      processes_(children_, *this),
      windows_(std::move(windows)),
      window_service_(*this, transport_.get()),
      deaths_(*this, windows_),
      replicas_(*this),
      objects_(*this, windows_, window_service_, replicas_),
      master_(layout_.rank == 0 ? std::make_unique<PoolMaster>(*this) : nullptr),
      process_master_(layout_.rank == 0 ? std::make_unique<ProcessMaster>(*this) : nullptr),
      stop_(*this, signals, workers_, processes_, master_.get(), process_master_.get()) {}

bool Engine::run() {
  ask_for_short_slices();
  int looks = 0;
  while (!leaving_ || !ranks_to_leave_.empty()) {
    if (stop_.pending()) take_signals();
    if (keeps_time() && ++turns_ % turns_between_looks == 0) look();
    if (turn()) {
      looks = 0;
    } else if (looks < looks_before_sleep && core_is_free()) {
      ++looks;                           // only after something has moved: more may follow at once
      if (!transport_) ::sched_yield();  // else MPI has yielded; twice doubles the round trip
    } else {
      rest();
    }
  }
  return !transport_ || leave();
}

/// All that was said has left. MPI cannot be finalized without a rank that is lost: its processes just end.
bool Engine::leave() {
  const auto limit = WorkerEnder::Clock::now() + longest_farewell;
  while (!transport_->quiet() && (layout_.whole() || WorkerEnder::Clock::now() < limit)) transport_->progress(*this);
  return transport_->finish();
}

/// One look at everything. True if anything moved.
bool Engine::turn() {
  bool moved = mailbox_.take([this](const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
    on_frame(head, body, std::move(slice));
  });
  if (transport_) moved |= transport_->progress(*this);
  moved |= children_.progress();
  moved |= children_.flush();
  return moved;
}

/// Is there anything that must be looked at after some time?
bool Engine::keeps_time() const {
  return !leaving_ &&
         (workers_.keeps_time() || (master_ && master_->keeps_time()) || deaths_.keeps_time() || stop_.keeps_time());
}

/// Returns when it must be called again.
WorkerEnder::Clock::time_point Engine::look() {
  auto next = workers_.look();
  if (master_) next = std::min(next, master_->look());
  if (deaths_.keeps_time()) next = std::min(next, deaths_.look());
  if (stop_.keeps_time()) next = std::min(next, stop_.look());
  if (program_ended_ && !leaving_) shutdown();
  return next;
}

std::chrono::nanoseconds Engine::time_to_rest() {
  const bool quiet = !transport_ || transport_->quiet();
  const std::chrono::nanoseconds longest = quiet ? longest_sleep : std::chrono::nanoseconds(short_sleep);
  if (!keeps_time()) return longest;
  return std::min<std::chrono::nanoseconds>(longest, look() - WorkerEnder::Clock::now());
}

void Engine::rest() {
  const auto awake = [this] {
    return !mailbox_.empty() || children_.pending() || (transport_ && transport_->pending()) || stop_.pending();
  };
  page_->bell.wait(awake, time_to_rest());
  if (++rests_ % rests_between_checks == 0) children_.check_zygote();
}

bool Engine::core_is_free() const {
  const int busy = transport_ ? transport_->busy_workers_here() : page_->busy_workers.load(std::memory_order_relaxed);
  const bool free = busy < layout_.cores;
  page_->core_is_free.store(free, std::memory_order_relaxed);
  return free;
}

void Engine::send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView& payload) {
  if (head.from.link == 0) head.from.rank = layout_.rank;
  if (window_service_.keeps(head, fixed)) return;
  if (head.to.rank != layout_.rank) {
    if (layout_.lives(head.to.rank))  // else those who care are told that it does not
      transport_->send(head.to.rank, head, fixed, payload.bytes, payload.slice);
  } else if (head.to.link == 0) {
    mailbox_.put(head, fixed, payload);
  } else if (Port* const port = children_.port(head.to.link)) {
    port->send(head, fixed, payload.bytes, payload.slice);
  }  // else the user process has ended: nobody is there to be told
}

void Engine::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (head.to.rank != layout_.rank || !layout_.has(head.from.rank))
    throw wire::BadFrame("a frame came to another rank than its own, or from one that does not exist");
  if (head.to.link != 0) {
    send(head, body, {{}, std::move(slice)});
    return;
  }
  switch (head.kind) {
    case Kind::shutdown:
      shutdown();
      break;
    case Kind::bye:
      ranks_to_leave_.erase(head.from.rank);
      break;
    case Kind::rank_lost:
      rank_lost(wire::take<wire::RankLost>(body));
      break;
    case Kind::signalled:
    case Kind::still_running:
    case Kind::stop_running:
      if (!leaving_) stop_.on_frame(head);
      break;
    case Kind::workers_start:
    case Kind::workers_stop:
    case Kind::rank_job:
    case Kind::rank_run:
    case Kind::rank_job_end:
    case Kind::rank_ask:
    case Kind::rank_give_back:
    case Kind::rank_reduce:
    case Kind::rank_partial:
      if (!leaving_) workers_.on_frame(head, body, std::move(slice));
      break;
    case Kind::object_make:
    case Kind::object_request:
    case Kind::object_withdraw:
    case Kind::object_hold:
    case Kind::object_drop:
    case Kind::object_pin:
    case Kind::lease_returned:
      if (!leaving_) objects_.on_frame(head, body, std::move(slice));
      break;
    case Kind::shared_get:
    case Kind::shared_withdraw:
    case Kind::replica_ask:
    case Kind::replica:
    case Kind::replica_drop:
      if (!leaving_) replicas_.on_frame(head, body, std::move(slice));
      break;
    case Kind::process_spawn:
    case Kind::process_kill:
    case Kind::process_signal:
    case Kind::process_ask:
      if (!leaving_) processes_.on_frame(head, body, std::move(slice));
      break;
    case Kind::process_start:
    case Kind::process_gone:
      if (!process_master_) throw wire::BadFrame("a frame for rank 0 came to another rank");
      if (!leaving_) process_master_->on_frame(head, body, std::move(slice));
      break;
    case Kind::lease_recall:
      children_.recall_lease(head, body);
      break;
    case Kind::window_map:
      send({.to = head.from, .token = head.token, .kind = Kind::object_reply}, {},
           {{}, windows_.slice(wire::take<wire::WindowMap>(body).rank)});
      break;
    case Kind::window_lock:
    case Kind::window_semaphore:
    case Kind::window_withdraw:
    case Kind::window_word:
    case Kind::window_read:
    case Kind::window_write:
      if (!leaving_) window_service_.on_frame(head, body, std::move(slice));
      break;
    case Kind::client_gone:
      if (leaving_) break;
      if (head.from.rank == layout_.rank && layout_.window == wire::WindowMode::direct)
        windows_.child_ended(layout_.rank, static_cast<std::uint32_t>(head.token));
      if (head.from.rank == layout_.rank)
        replicas_.client_gone({head.from.rank, static_cast<std::uint32_t>(head.token)});
      if (process_master_) process_master_->client_gone({head.from.rank, static_cast<std::uint32_t>(head.token)});
      objects_.client_gone({head.from.rank, static_cast<std::uint32_t>(head.token)},
                           wire::take<link::LeaseStates>(body));
      if (master_) master_->on_frame(head, body, std::move(slice));
      break;
    default:
      if (!master_) throw wire::BadFrame("a frame for the scheduler came to another rank");
      if (!leaving_) master_->on_frame(head, body, std::move(slice));
  }
}

void Engine::on_window(std::uint64_t ticket, std::uint64_t old) {
  if (leaving_) return;
  if (const auto swapped = window_service_.on_window(ticket, old)) objects_.word_swapped(*swapped);
}

/// By MPI's rule the launcher ends the job when a rank dies: then that is to be told, not the signal by which it does
/// so.
void Engine::take_signals() {
  if (layout_.rank == 0 && transport_ && !layout_.recovery && !leaving_)
    if (const std::optional<int> ended = transport_->ended_neighbour()) deaths_.on_rank_down(*ended, false);
  stop_.take_signals();
}

/// A rank that has said bye, or has told the others to leave, may go.
void Engine::on_rank_down(int rank, bool silent) {
  if (leaving_ && !ranks_to_leave_.contains(rank)) {
    if (rank == 0) std::_Exit(0);
    return;
  }
  deaths_.on_rank_down(rank, silent);
}

/// Nothing comes from that rank any more, and nothing is sent there: whoever waits for it must be told.
void Engine::rank_lost(const wire::RankLost& lost) {
  if (lost.rank <= 0 || lost.rank >= layout_.ranks()) throw wire::BadFrame("a rank that cannot be lost was");
  if (!layout_.lives(lost.rank)) return;
  layout_.lose(lost.rank);
  transport_->lose(lost.rank);
  ranks_to_leave_.erase(lost.rank);
  if (leaving_) return;
  wire::RankLost told = lost;
  told.slots = layout_.all_slots();
  children_.rank_lost(told);  // first of all: what follows for them may depend on it
  deaths_.lost(lost.rank);
  window_service_.rank_lost(lost.rank);
  replicas_.rank_lost(lost.rank);
  objects_.rank_lost(lost.rank);
  if (process_master_) process_master_->rank_lost(lost.rank);
  if (master_) master_->rank_lost(lost.rank);
}

/// The program has ended: every child goes now. Rank 0 tells the others and waits for their answers.
void Engine::shutdown() {
  program_ended_ = true;
  if (leaving_ || stop_.children_have_time()) return;
  leaving_ = true;
  children_.stop();
  if (layout_.rank != 0) return send({.to = {0, 0}, .kind = Kind::bye}, {});
  stop_.say_what_is_left();
  for (int r = 1; r < layout_.ranks(); ++r) {
    if (!layout_.lives(r)) continue;
    send({.to = {r, 0}, .kind = Kind::shutdown}, {});
    ranks_to_leave_.insert(r);
  }
}

}  // namespace rankpool::engine
