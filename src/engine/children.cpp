#include "engine/children.hpp"

#include <signal.h>

#include <algorithm>
#include <limits>

#include "wire/lease.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {
namespace {

constexpr int frames_per_turn = 4096;  // one talkative child must not keep the engine from the others

}  // namespace

Children::Children(worker::Zygote zygote, link::RankPageData& page, Router& router)
    : zygote_(std::move(zygote)), page_(page), router_(router) {}

std::uint32_t Children::spawn(ChildOwner& owner) {
  auto [end, descriptors] = link::LinkEnd::create();
  const std::uint32_t link = next_link_++;
  zygote_.spawn(link, descriptors);
  auto child = std::make_unique<Child>(Child{Port(std::move(end)), &owner});
  for (const wire::RankLost& lost : lost_) tell(child->port, link, lost);
  order_.emplace_back(link, child.get());
  children_.emplace(link, std::move(child));
  return link;
}

void Children::add_main(link::LinkEnd end) {
  auto child = std::make_unique<Child>(Child{Port(std::move(end)), nullptr});
  order_.emplace_back(main_link, child.get());
  children_.emplace(main_link, std::move(child));
}

void Children::rank_lost(const wire::RankLost& lost) {
  lost_.push_back(lost);
  for (const auto& [link, child] : order_) tell(child->port, link, lost);
}

void Children::tell(Port& port, std::uint32_t link, const wire::RankLost& lost) const {
  const auto bytes = wire::bytes_of(lost);
  port.send({.to = {router_.layout().rank, link},
             .token = static_cast<std::uint64_t>(lost.rank),
             .kind = wire::Kind::rank_lost},
            bytes, {}, {});
}

Port* Children::port(std::uint32_t link) {
  const auto found = children_.find(link);
  return found == children_.end() ? nullptr : &found->second->port;
}

void Children::remember(Child& child, int rank) {
  const auto at = static_cast<std::size_t>(rank);
  if (child.spoken_to.size() <= at) child.spoken_to.resize(static_cast<std::size_t>(router_.layout().ranks()));
  child.spoken_to.at(at) = true;
}

bool Children::read(std::uint32_t link, Child& child, int limit) {
  const wire::Address here{router_.layout().rank, 0};
  const bool moved = child.port.receive(
      [&](link::Incoming& in) {
        if (child.owner != nullptr && in.head.to == here && in.head.kind >= wire::Kind::child_ready) {
          child.owner->on_child_frame(link, in);
          return;
        }
        if (!router_.layout().has(in.head.to.rank))
          throw wire::BadFrame("a process sent a frame to a rank that does not exist");
        if (in.head.to.link == 0) remember(child, in.head.to.rank);
        in.head.from = {here.rank, link};
        router_.send(in.head, in.body, {{}, std::move(in.slice)});
      },
      limit);
  if (moved && child.owner != nullptr) child.owner->on_child_batch(link);
  return moved;
}

void Children::recall_lease(const wire::Header& head, std::span<const std::byte> body) {
  const auto recall = wire::take<wire::LeaseRecall>(body);
  if (recall.slot >= link::lease_slots) throw wire::BadFrame("a lease was called back that cannot be");
  Port* const from = port(recall.link);
  if (from == nullptr) return;  // the home has been told that the process has ended, and what it had taken
  const link::LeaseState state = from->leases().at(recall.slot).revoke(recall.generation);
  if (state.generation() != recall.generation) return;  // that it has gone on is on its way to the home
  const wire::LeaseReturned returned{.link = recall.link, .slot = recall.slot, .state = state.bits};
  router_.send({.to = head.from, .token = head.token, .kind = wire::Kind::lease_returned}, wire::bytes_of(returned));
}

bool Children::progress() {
  bool moved = false;
  // by index: an owner may spawn while it is called
  for (std::size_t i = 0; i < order_.size(); ++i)
    if (order_[i].second->port.pending()) moved |= read(order_[i].first, *order_[i].second, frames_per_turn);

  if (const std::uint32_t events = page_.zygote_events.load(std::memory_order_acquire); events != events_seen_) {
    events_seen_ = events;
    moved |= read_zygote();
  }
  return moved;
}

bool Children::read_zygote() {
  bool moved = false;
  worker::ZygoteEvent event;
  const auto next = [&] {
    try {
      return zygote_ && zygote_.next_event(event);
    } catch (...) {
      end_orphans();
      throw;
    }
  };
  while (next()) {
    moved = true;
    const auto found = children_.find(event.link_id);
    if (found == children_.end()) continue;
    if (event.what == worker::ZygoteEvent::What::forked) {
      found->second->pid = event.pid;
      found->second->owner->on_child_forked(event.link_id, event.pid);
    } else {
      ended(event);
    }
  }
  return moved;
}

/// The zygote was killed, and its children with it; nobody but this engine knows what processes those have started.
void Children::end_orphans() noexcept {
  for (const auto& [link, child] : order_) {
    // a zygote that was killed may have had the birth of its last child still to report
    const int pid = child->pid > 0 ? child->pid : child->port.user();
    if (child->owner != nullptr && pid > 1) ::kill(-pid, SIGKILL);
  }
}

void Children::ended(const worker::ZygoteEvent& event) {
  const auto found = children_.find(event.link_id);
  Child& child = *found->second;
  // what it had published before it died still counts
  while (child.port.pending() && read(event.link_id, child, std::numeric_limits<int>::max())) {
  }
  const std::unique_ptr<Child> gone = std::move(found->second);
  children_.erase(found);
  std::erase_if(order_, [&](const auto& entry) { return entry.first == event.link_id; });
  const link::LeaseStates leases = gone->port.lease_states();
  for (std::size_t rank = 0; rank < gone->spoken_to.size(); ++rank) {
    if (gone->spoken_to[rank])
      router_.send({.to = {static_cast<int>(rank), 0}, .token = event.link_id, .kind = wire::Kind::client_gone},
                   wire::bytes_of(leases));
  }
  if (event.what == worker::ZygoteEvent::What::fork_failed) {
    gone->owner->on_fork_failed(event.link_id, event.status);
  } else {
    gone->owner->on_child_ended(event.link_id, gone->pid, event.status, gone->port.tasks().begun());
  }
}

bool Children::flush() {
  bool moved = false;
  for (const auto& [link, child] : order_) moved |= child->port.flush();
  return moved;
}

bool Children::pending() const {
  if (page_.zygote_events.load(std::memory_order_acquire) != events_seen_) return true;
  return std::any_of(order_.begin(), order_.end(), [](const auto& entry) { return entry.second->port.pending(); });
}

void Children::stop() { zygote_ = worker::Zygote(); }

}  // namespace rankpool::engine
