// Frames from an engine to itself.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "link/payload.hpp"
#include "wire/header.hpp"

namespace rankpool::engine {

/// Keeps frames until the loop comes to them, so that no room of the engine is ever entered from within another.
class Mailbox {
 public:
  void put(const wire::Header& head, std::span<const std::byte> fixed, const link::PayloadView& payload) {
    frames_.push_back({head, bytes_.size(), fixed.size() + payload.bytes.size(), payload.slice});
    bytes_.insert(bytes_.end(), fixed.begin(), fixed.end());
    bytes_.insert(bytes_.end(), payload.bytes.begin(), payload.bytes.end());
  }
  bool empty() const noexcept { return frames_.empty(); }
  /// Hands over what has been put so far; what the handler puts comes next time. True if there was anything.
  template <class Handler>
  bool take(Handler&& handler) {
    if (frames_.empty()) return false;
    std::vector<Frame> frames;
    std::vector<std::byte> bytes;
    frames.swap(frames_);
    bytes.swap(bytes_);
    for (Frame& frame : frames)
      handler(frame.head, std::span<const std::byte>(bytes).subspan(frame.offset, frame.size), std::move(frame.slice));
    frames.clear();
    bytes.clear();
    if (frames_.empty()) {  // keep the memory for the next turn
      frames_.swap(frames);
      bytes_.swap(bytes);
    }
    return true;
  }

 private:
  struct Frame {
    wire::Header head;
    std::size_t offset;
    std::size_t size;
    link::Slice slice;
  };
  std::vector<Frame> frames_;
  std::vector<std::byte> bytes_;
};

}  // namespace rankpool::engine
