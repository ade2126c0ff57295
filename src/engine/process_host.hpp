// The Processes of one rank: starts them, signals them, and tells their parents how they ended.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

#include "engine/children.hpp"
#include "engine/router.hpp"
#include "link/payload.hpp"
#include "wire/process.hpp"

namespace rankpool::engine {

class ProcessHost final : public ChildOwner {
 public:
  ProcessHost(Children& children, Router& router) : children_(children), router_(router) {}

  /// A frame from a user process or from rank 0. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

  /// The job ends soon: whoever asks for a Process gets no answer any more.
  void start_no_more() noexcept { stopped_ = true; }
  /// Sends all of them SIGTERM.
  void terminate();
  bool any() const noexcept { return !processes_.empty(); }

  void on_child_forked(std::uint32_t link, pid_t pid) override;
  void on_child_frame(std::uint32_t link, link::Incoming& in) override;
  void on_child_batch(std::uint32_t) override {}
  void on_child_ended(std::uint32_t link, pid_t pid, int wait_status, std::uint64_t begun) override;
  void on_fork_failed(std::uint32_t link, int error) override;

 private:
  struct Process {
    wire::Address parent;
    std::uint64_t token;   // the parent's
    std::uint64_t number;  // rank 0's
    bool tell_ready;
  };

  void spawn(std::uint64_t number, std::span<const std::byte> body, link::Slice slice);
  void failed(const Process& process, int error);
  void gone(const Process& process) {
    router_.send({.to = {0, 0}, .token = process.number, .kind = wire::Kind::process_gone}, {});
  }
  static wire::Header to_parent(const Process& process, wire::Kind kind, std::uint32_t flags = 0) {
    return {.to = process.parent, .token = process.token, .kind = kind, .flags = flags};
  }

  Children& children_;
  Router& router_;
  std::unordered_map<std::uint32_t, Process> processes_;  // by link
  bool stopped_ = false;
};

}  // namespace rankpool::engine
