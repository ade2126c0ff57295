#include "tile.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "fractal.hpp"
#include "shading.hpp"

namespace mandelbrot {
namespace {

constexpr int tile_edge = 48;

/// Made once in each process; a worker paints thousands of tiles of one picture.
const Window& window_of(Size picture) {
  static Size size;
  static std::optional<Window> window;
  if (!window || size.width != picture.width || size.height != picture.height) {
    window.emplace(picture.width, picture.height);
    size = picture;
  }
  return *window;
}

/// Colour of the pixel at (x, y); where the set is nearer than a pixel, the mean of several points in it.
Light pixel_light(const Window& window, int x, int y, std::uint64_t& steps) {
  struct Point {
    double x;
    double y;
  };
  constexpr std::array<Point, 4> rest{{{0.125, 0.625}, {0.375, 0.125}, {0.625, 0.875}, {0.875, 0.375}}};
  const Sample centre = window.sample(x + 0.5, y + 0.5);
  steps += centre.steps;
  Light light = shade(centre);
  if (centre.escaped && centre.distance > 1) return light;
  for (const Point& point : rest) {
    const Sample sample = window.sample(x + point.x, y + point.y);
    steps += sample.steps;
    light += shade(sample);
  }
  return light * (1.0 / (1 + rest.size()));
}

}  // namespace

std::vector<Tile> cut_into_tiles(Size picture) {
  std::vector<Tile> tiles;
  for (int y = 0; y < picture.height; y += tile_edge) {
    for (int x = 0; x < picture.width; x += tile_edge) {
      tiles.push_back({x, y, std::min(tile_edge, picture.width - x), std::min(tile_edge, picture.height - y)});
    }
  }
  return tiles;
}

RenderedTile render_tile(Size picture, Tile tile) {
  const Window& window = window_of(picture);
  RenderedTile result;
  result.rgb.reserve(static_cast<std::size_t>(tile.width) * static_cast<std::size_t>(tile.height) * 3);
  for (int y = tile.y; y < tile.y + tile.height; ++y) {
    for (int x = tile.x; x < tile.x + tile.width; ++x) {
      for (const std::uint8_t channel : to_srgb(pixel_light(window, x, y, result.steps))) {
        result.rgb.push_back(channel);
      }
    }
  }
  return result;
}

}  // namespace mandelbrot
