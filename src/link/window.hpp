// The memory of a rank for locks, semaphores, values and arrays.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "link/cell.hpp"
#include "link/descriptors.hpp"

namespace rankpool::link {

/// A sparse memfd: a head, cells, then data. What is never touched takes no memory; an offset means the same place in
/// every process.
class Window {
 public:
  static constexpr std::uint64_t head_bytes = 64 * 1024;
  static constexpr std::uint64_t largest = std::uint64_t{64} << 30;

  /// A new window, as large as this process may map. `magic` tells a peer that it has the right file.
  /// @throws std::system_error
  static Window create(std::uint64_t magic);
  /// Maps the cells of the window of process `pid` by its descriptor number there; empty if this host cannot.
  static Window open_peer(int pid, int fd, std::uint64_t magic) noexcept;
  /// Maps all of the window behind `fd`, which stays the caller's. @throws std::system_error
  static Window open(int fd);

  Window() noexcept = default;
  Window(Window&& other) noexcept;
  Window& operator=(Window&& other) noexcept;
  ~Window();

  explicit operator bool() const noexcept { return map_ != nullptr; }
  int fd() const noexcept { return fd_.get(); }
  /// Of the whole file.
  std::uint64_t size() const noexcept { return head().size; }
  std::uint64_t cells_limit() const noexcept { return limit_of_cells(size()); }
  /// Can a cell, or so many bytes, lie there? What came in a message may say anything.
  bool holds_cell(std::uint64_t offset) const noexcept {
    return offset >= head_bytes && offset < cells_limit() && offset % sizeof(Cell) == 0;
  }
  bool holds_data(std::uint64_t offset, std::uint64_t bytes) const noexcept {
    return offset >= cells_limit() && offset <= size() && bytes <= size() - offset && offset % 8 == 0;
  }
  std::byte* at(std::uint64_t offset) const noexcept { return map_ + offset; }
  Cell& cell(std::uint64_t offset) const noexcept { return *reinterpret_cast<Cell*>(at(offset)); }

  /// Cells are in use below this offset only.
  void set_cells_end(std::uint64_t end) const noexcept { head().cells_end.store(end, std::memory_order_release); }
  /// A process of the host has died: see `clean_after`.
  void clean_cells_after(Owner process) const noexcept;
  /// All processes of that rank have.
  void clean_cells_after_rank(int rank) const noexcept;
  /// Makes bytes zero again; whole pages of large pieces go back to the system.
  void wipe(std::uint64_t offset, std::uint64_t bytes) const noexcept;

 private:
  struct Head {
    std::uint64_t magic = 0;
    std::uint64_t size = 0;
    std::atomic<std::uint64_t> cells_end{head_bytes};
  };
  static std::uint64_t limit_of_cells(std::uint64_t size) noexcept { return size / 16; }
  Window(int fd, std::uint64_t bytes);
  Head& head() const noexcept { return *reinterpret_cast<Head*>(map_); }

  UniqueFd fd_;
  std::byte* map_ = nullptr;
  std::uint64_t bytes_ = 0;  // mapped
};

}  // namespace rankpool::link
