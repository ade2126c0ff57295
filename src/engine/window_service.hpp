// One-sided operations for the children of a rank and for its objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/router.hpp"
#include "link/segment.hpp"
#include "transport/transport.hpp"
#include "wire/objects.hpp"
#include "wire/one_sided.hpp"

namespace rankpool::engine {

/// Does at the window of a home what a child asks for, and answers as the home would. What it cannot do alone, since
/// the home must decide, it sends there. The end of a child is told to the homes only when nothing is under way for it
/// any more: so they find in their windows all that it has done.
class WindowService {
 public:
  /// What an object of this rank wanted to know.
  struct Swapped {
    std::uint64_t object;
    std::uint64_t before;
  };

  /// `transport` is null if there is none; then nobody asks.
  WindowService(Router& router, transport::Transport* transport) : router_(router), transport_(transport) {}

  /// Sees every frame that this engine sends. True if it is kept for later.
  bool keeps(const wire::Header& head, std::span<const std::byte> body);
  /// A frame of a child. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  /// For Home::swap_word.
  void swap(std::uint64_t object, std::uint64_t offset, std::uint64_t expected, std::uint64_t desired);
  /// For Home::add_word.
  void add(std::uint64_t object, std::uint64_t offset, std::uint64_t addend);
  /// An operation is done; the answer is not none if it was for an object.
  std::optional<Swapped> on_window(std::uint64_t ticket, std::uint64_t old);
  /// What is under way there ends without an answer: who has asked is told that the rank is lost.
  void rank_lost(int rank);

 private:
  struct Operation {
    wire::Header head;  // of the frame that asked; link 0: an object of this rank did
    wire::ObjectRequest request{};
    int home = 0;
    wire::WordRequest word{};  // of window_lock, window_semaphore and window_word
    wire::WindowSemaphore semaphore{};
    bool withdrawn = false;        // window_lock and window_semaphore
    bool refused = false;          // window_semaphore: it was raised too high, which is being undone
    std::vector<std::byte> few{};  // of window_read and window_write
    link::Slice many{};
    std::shared_ptr<link::Segment> into{};
  };
  struct Ended {  // a child: what its homes are to be told
    wire::Header head;
    std::vector<std::byte> body;
  };

  std::uint64_t keep(Operation operation, int home);
  void start_word(Operation operation, const wire::WordRequest& word);
  void semaphore(Operation operation, const wire::WindowSemaphore& asked);
  void lock(Operation operation, const wire::WindowLock& asked);
  void withdraw(const wire::Header& head, const wire::ObjectRequest& request, int home);
  void read(Operation operation, const wire::WindowRange& range);
  void write(Operation operation, const wire::WindowRange& range, std::span<const std::byte> body, link::Slice slice);
  void locked(const Operation& operation, std::uint64_t old);
  bool semaphore_step(Operation& operation, std::uint64_t old);
  void send_home(const Operation& operation, wire::Kind kind);
  void reply(const Operation& operation, wire::Status status, std::span<const std::byte> fixed = {},
             const link::PayloadView& payload = {});
  void finish(std::uint32_t link);

  Router& router_;
  transport::Transport* transport_;
  std::uint64_t next_ticket_ = 0;
  std::unordered_map<std::uint64_t, Operation> under_way_;  // by ticket
  std::unordered_map<std::uint32_t, int> open_;             // by link: its operations, also those in the mailbox
  std::unordered_map<std::uint32_t, std::vector<Ended>> ended_;
  std::vector<Operation> lost_;  // MPI may still touch their memory
};

}  // namespace rankpool::engine
