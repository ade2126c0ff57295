// The unit of work: a rectangle of the picture.
#pragma once

#include <boost/serialization/vector.hpp>
#include <cstdint>
#include <vector>

namespace mandelbrot {

struct Size {
  int width = 1920;
  int height = 1080;
};

struct Tile {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

struct RenderedTile {
  std::vector<std::uint8_t> rgb;  ///< 8-bit sRGB, row by row
  std::uint64_t steps = 0;        ///< work that went into it

  bool operator==(const RenderedTile&) const = default;

  template <class Archive>
  void serialize(Archive& archive, unsigned /*version*/) {
    archive& rgb& steps;
  }
};

/// Squares, smaller at the right and lower edges, in rows.
std::vector<Tile> cut_into_tiles(Size picture);

/// The task: a pure function of its arguments, the same on every rank.
RenderedTile render_tile(Size picture, Tile tile);

}  // namespace mandelbrot
