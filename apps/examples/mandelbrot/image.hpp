#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "tile.hpp"

namespace mandelbrot {

/// An 8-bit RGB picture.
class Image {
 public:
  explicit Image(Size size);

  void paste(const Tile& tile, const RenderedTile& rendered);
  /// @throws std::runtime_error if the file cannot be written
  void write_png(const std::filesystem::path& file) const;

 private:
  Size size_;
  std::vector<std::uint8_t> rgb_;
};

}  // namespace mandelbrot
