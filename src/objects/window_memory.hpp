// The window of a home, as its objects see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace rankpool::objects {

/// Pieces are zero when they are taken, and must be given back with the size they were taken with.
class WindowMemory {
 public:
  /// `count` cells side by side; none if there is no room.
  virtual std::optional<std::uint64_t> take_cells(std::uint32_t count) = 0;
  virtual void give_cells(std::uint64_t offset, std::uint32_t count) = 0;
  /// None if there is no room.
  virtual std::optional<std::uint64_t> take_data(std::uint64_t bytes) = 0;
  virtual void give_data(std::uint64_t offset, std::uint64_t bytes) = 0;
  virtual std::byte* at(std::uint64_t offset) = 0;

 protected:
  ~WindowMemory() = default;
};

}  // namespace rankpool::objects
