// From orbits to colours.
#pragma once

#include <array>
#include <cstdint>

#include "fractal.hpp"

namespace mandelbrot {

/// Linear light, so that the mean of several is what the eye would see from afar.
struct Light {
  double red = 0;
  double green = 0;
  double blue = 0;

  Light& operator+=(Light other) {
    red += other.red;
    green += other.green;
    blue += other.blue;
    return *this;
  }
  friend Light operator*(Light a, double k) { return {a.red * k, a.green * k, a.blue * k}; }
};

Light shade(const Sample& sample);

std::array<std::uint8_t, 3> to_srgb(Light light);

}  // namespace mandelbrot
