// The windows of the ranks of this host.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "link/segment.hpp"
#include "link/window.hpp"
#include "objects/window_memory.hpp"
#include "objects/window_space.hpp"

namespace rankpool::engine {

/// This rank's own, which it deals out, and those of the others, which it passes to its children.
class Windows final : public objects::WindowMemory {
 public:
  /// @throws std::system_error
  explicit Windows(std::uint64_t magic);

  int fd() const noexcept { return own_.fd(); }
  std::uint64_t size() const noexcept { return own_.size(); }
  std::byte* base() const noexcept { return own_.at(0); }
  /// False if this process cannot map the window of that rank.
  bool open_peer(int rank, int pid, int fd, std::uint64_t magic);
  void forget_peers() noexcept { peers_.clear(); }
  /// What a user process needs to map the window of a rank. @throws std::system_error
  link::Slice slice(int rank) const;
  /// A child of this rank has ended: nothing that it held in any window stays so.
  void child_ended(int own_rank, std::uint32_t link) const noexcept;
  /// Another rank has died: nothing that its processes held in this rank's own window stays so.
  void rank_ended(int rank) const noexcept { own_.clean_cells_after_rank(rank); }

  std::optional<std::uint64_t> take_cells(std::uint32_t count) override;
  void give_cells(std::uint64_t offset, std::uint32_t count) override;
  std::optional<std::uint64_t> take_data(std::uint64_t bytes) override;
  void give_data(std::uint64_t offset, std::uint64_t bytes) override;
  std::byte* at(std::uint64_t offset) override { return own_.at(offset); }

 private:
  link::Window own_;
  objects::WindowSpace cells_;
  objects::WindowSpace data_;
  std::vector<link::Window> peers_;  // by rank; empty for this one
};

}  // namespace rankpool::engine
