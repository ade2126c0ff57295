#include "engine/process_master.hpp"

#include <optional>
#include <string>
#include <utility>

namespace rankpool::engine {

using wire::Kind;

namespace {

constexpr std::size_t most_ended = 256;

}  // namespace

void ProcessMaster::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (head.kind == Kind::process_start) return start(head, body, std::move(slice));
  const auto found = processes_.find(head.token);
  if (head.kind != Kind::process_gone || found == processes_.end())
    throw wire::BadFrame("rank 0 was sent a frame about a Process that is not for it");
  placement_.ended(found->second.rank);
  if (router_.layout().recovery) {
    ended_.push_back(found->second);
    if (ended_.size() > most_ended) ended_.pop_front();
  }
  processes_.erase(found);
}

void ProcessMaster::start(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (drained_client_ == head.from) return not_started_.push_back(head.token);
  const wire::ProcessSpawn spawn{head.token, wire::take<wire::ProcessStart>(body)};
  const int wish = spawn.start.rank;
  if (wish >= router_.layout().ranks())
    throw wire::BadFrame("a Process was to be started on a rank that does not exist");
  if (wish >= 0 && !router_.layout().lives(wish)) return tell_lost(head.from, head.token, wish);
  const int rank = placement_.place(wish < 0 ? std::nullopt : std::optional<int>(wish));
  const std::uint64_t number = next_number_++;
  processes_.emplace(number, Entry{head.from, head.token, rank, spawn.start.is_daemon != 0});
  router_.send({.to = {rank, 0}, .token = number, .kind = Kind::process_spawn}, wire::bytes_of(spawn),
               {body, std::move(slice)});
}

void ProcessMaster::drain(wire::Address client, int signal) {
  drained_client_ = client;
  drained_by_ = signal;
}

std::uint64_t ProcessMaster::give_up() {
  const std::vector<std::uint64_t> tokens = std::exchange(not_started_, {});
  for (const std::uint64_t token : tokens)
    router_.send({.to = *drained_client_,
                  .token = token,
                  .kind = Kind::interrupted,
                  .flags = static_cast<std::uint32_t>(drained_by_)},
                 {});
  return tokens.size();
}

void ProcessMaster::client_gone(wire::Address client) {
  for (const auto& [number, entry] : processes_) {
    if (entry.daemon && entry.parent == client)
      router_.send({.to = {entry.rank, 0}, .token = number, .kind = Kind::process_kill}, {});
  }
}

void ProcessMaster::rank_lost(int rank) {
  placement_.lose(rank);
  // That a Process has ended is told here and to its parent, and the rank may have died between the two.
  for (const Entry& entry : ended_)
    if (entry.rank == rank) tell_lost(entry.parent, entry.token, rank);
  std::erase_if(processes_, [&](const auto& process) {
    const auto& [number, entry] = process;
    if (entry.rank == rank) {
      tell_lost(entry.parent, entry.token, rank);
    } else if (entry.daemon && entry.parent.rank == rank) {
      router_.send({.to = {entry.rank, 0}, .token = number, .kind = Kind::process_kill}, {});
    }
    return entry.rank == rank;
  });
}

void ProcessMaster::tell_lost(wire::Address parent, std::uint64_t token, int rank) {
  const std::string& host = router_.layout().hosts[static_cast<std::size_t>(rank)];
  const wire::ProcessFailed lost{.rank = rank, .error = 0, .host = wire::host_name(host)};
  router_.send({.to = parent, .token = token, .kind = Kind::process_failed}, wire::bytes_of(lost));
}

}  // namespace rankpool::engine
