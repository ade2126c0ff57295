#include "engine/process_host.hpp"

#include <csignal>
#include <system_error>
#include <utility>

namespace rankpool::engine {

using wire::Kind;

void ProcessHost::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  switch (head.kind) {
    case Kind::process_spawn:
      if (!stopped_) spawn(head.token, body, std::move(slice));
      break;
    case Kind::process_kill:
      for (const auto& [link, process] : processes_)
        if (process.number == head.token) children_.signal(link, SIGKILL);
      break;
    case Kind::process_signal: {
      const auto link = static_cast<std::uint32_t>(head.token);
      if (processes_.contains(link)) children_.signal(link, static_cast<int>(head.flags));
      break;
    }
    case Kind::process_ask: {
      const bool lives = children_.port(wire::take<wire::ProcessAsk>(body).link) != nullptr;
      router_.send({.to = head.from, .token = head.token, .kind = Kind::process_answer, .flags = lives ? 1u : 0u}, {});
      break;
    }
    default:
      throw wire::BadFrame("an engine was sent a frame about a Process that is not for engines");
  }
}

void ProcessHost::terminate() {
  for (const auto& [link, process] : processes_) children_.signal(link, SIGTERM);
}

void ProcessHost::spawn(std::uint64_t number, std::span<const std::byte> body, link::Slice slice) {
  const auto spawn = wire::take<wire::ProcessSpawn>(body);
  const wire::ProcessStart& start = spawn.start;
  const Process process{{start.parent.rank, start.parent.link}, spawn.token, number, start.tell_ready != 0};
  std::uint32_t link = 0;
  try {
    link = children_.spawn(*this);
  } catch (const std::system_error& error) {
    failed(process, error.code().value());
    return;
  }
  processes_.emplace(link, process);
  const Layout& layout = router_.layout();
  const wire::ChildStart child{.rank = layout.rank,
                               .ranks = layout.ranks(),
                               .slots = layout.all_slots(),
                               .link = link,
                               .has_initializer = 0,
                               .is_process = 1,
                               .is_daemon = start.is_daemon,
                               .window = layout.window,
                               .memory_limit = 0,
                               .seed = layout.seed,
                               .parent = start.parent,
                               .host = wire::host_name(layout.host()),
                               .name = start.name,
                               .number = start.number};
  router_.send({.to = {layout.rank, link}, .kind = Kind::child_start}, wire::bytes_of(child), {body, std::move(slice)});
}

void ProcessHost::failed(const Process& process, int error) {
  const Layout& layout = router_.layout();
  const wire::ProcessFailed fixed{layout.rank, error, wire::host_name(layout.host())};
  router_.send(to_parent(process, Kind::process_failed), wire::bytes_of(fixed));
  gone(process);
}

void ProcessHost::on_child_forked(std::uint32_t link, pid_t pid) {
  const Layout& layout = router_.layout();
  const wire::ProcessStarted fixed{
      .rank = layout.rank, .link = link, .pid = pid, .reserved = 0, .host = wire::host_name(layout.host())};
  router_.send(to_parent(processes_.at(link), Kind::process_started), wire::bytes_of(fixed));
}

void ProcessHost::on_child_frame(std::uint32_t link, link::Incoming& in) {
  if (in.head.kind != Kind::child_ready) throw wire::BadFrame("a Process sent a frame that is not its to send");
  const Process& process = processes_.at(link);
  if (process.tell_ready) router_.send(to_parent(process, Kind::process_ready), {});
}

void ProcessHost::on_child_ended(std::uint32_t link, pid_t, int wait_status, std::uint64_t) {
  const auto found = processes_.find(link);
  router_.send(to_parent(found->second, Kind::process_ended, static_cast<std::uint32_t>(wait_status)), {});
  gone(found->second);
  processes_.erase(found);
}

void ProcessHost::on_fork_failed(std::uint32_t link, int error) {
  const auto found = processes_.find(link);
  failed(found->second, error);
  processes_.erase(found);
}

}  // namespace rankpool::engine
