#include "engine/process_master.hpp"

#include <optional>
#include <utility>

namespace rankpool::engine {

using wire::Kind;

void ProcessMaster::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (head.kind == Kind::process_start) return start(head, body, std::move(slice));
  const auto found = processes_.find(head.token);
  if (head.kind != Kind::process_gone || found == processes_.end())
    throw wire::BadFrame("rank 0 was sent a frame about a Process that is not for it");
  placement_.ended(found->second.rank);
  processes_.erase(found);
}

void ProcessMaster::start(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const wire::ProcessSpawn spawn{head.token, wire::take<wire::ProcessStart>(body)};
  const int wish = spawn.start.rank;
  const int rank = placement_.place(wish < 0 ? std::nullopt : std::optional<int>(wish));
  const std::uint64_t number = next_number_++;
  processes_.emplace(number, Entry{head.from, rank, spawn.start.is_daemon != 0});
  router_.send({.to = {rank, 0}, .token = number, .kind = Kind::process_spawn}, wire::bytes_of(spawn),
               {body, std::move(slice)});
}

void ProcessMaster::client_gone(wire::Address client) {
  for (const auto& [number, entry] : processes_) {
    if (entry.daemon && entry.parent == client)
      router_.send({.to = {entry.rank, 0}, .token = number, .kind = Kind::process_kill}, {});
  }
}

}  // namespace rankpool::engine
