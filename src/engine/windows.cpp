#include "engine/windows.hpp"

#include <fcntl.h>

#include <memory>

#include "link/descriptors.hpp"

namespace rankpool::engine {

using link::Cell;

Windows::Windows(std::uint64_t magic)
    : own_(link::Window::create(magic)),
      cells_(link::Window::head_bytes, own_.cells_limit()),
      data_(own_.cells_limit(), own_.size()) {}

bool Windows::open_peer(int rank, int pid, int fd, std::uint64_t magic) {
  const auto at = static_cast<std::size_t>(rank);
  if (peers_.size() <= at) peers_.resize(at + 1);
  peers_[at] = link::Window::open_peer(pid, fd, magic);
  return static_cast<bool>(peers_[at]);
}

link::Slice Windows::slice(int rank) const {
  const auto at = static_cast<std::size_t>(rank);
  const link::Window& window = at < peers_.size() && peers_[at] ? peers_[at] : own_;
  link::UniqueFd fd(::fcntl(window.fd(), F_DUPFD_CLOEXEC, 0));
  if (!fd) link::throw_errno("rankpool: dup of a window (raise the limit of open files: ulimit -n)");
  auto segment = std::make_shared<link::Segment>(fd.get(), window.size());
  static_cast<void>(fd.release());
  return {std::move(segment), 0, 1};  // one byte of it: what counts is the descriptor
}

void Windows::child_ended(int own_rank, std::uint32_t link) const noexcept {
  const link::Owner process = link::SharedLock::process(own_rank, link);
  own_.clean_cells_after(process);
  for (const link::Window& window : peers_)
    if (window) window.clean_cells_after(process);
}

std::optional<std::uint64_t> Windows::take_cells(std::uint32_t count) {
  const auto offset = cells_.take(count * sizeof(Cell));
  own_.set_cells_end(cells_.top());
  return offset;
}

void Windows::give_cells(std::uint64_t offset, std::uint32_t count) {
  own_.wipe(offset, count * sizeof(Cell));
  cells_.give(offset, count * sizeof(Cell));
  own_.set_cells_end(cells_.top());
}

std::optional<std::uint64_t> Windows::take_data(std::uint64_t bytes) { return data_.take(bytes); }

void Windows::give_data(std::uint64_t offset, std::uint64_t bytes) {
  own_.wipe(offset, objects::WindowSpace::rounded(bytes));
  data_.give(offset, bytes);
}

}  // namespace rankpool::engine
