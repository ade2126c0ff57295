#include "shading.hpp"

#include <algorithm>
#include <cmath>

namespace mandelbrot {
namespace {

constexpr double gamma = 2.2;

/// Night, sea, ice, ivory, gold, rust, wine, and night again.
const std::array<Light, 7>& palette() {
  static const auto colours = [] {
    std::array<Light, 7> srgb{
        {{10, 16, 58}, {24, 92, 160}, {150, 214, 230}, {255, 250, 232}, {250, 186, 70}, {190, 72, 36}, {70, 14, 44}}};
    const auto linear = [](double channel) { return std::pow(channel / 255, gamma); };
    for (Light& colour : srgb) colour = {linear(colour.red), linear(colour.green), linear(colour.blue)};
    return srgb;
  }();
  return colours;
}

/// `turns` of the colour wheel.
Light colour_at(double turns) {
  const double position = (turns - std::floor(turns)) * static_cast<double>(palette().size());
  const std::size_t index = std::min(static_cast<std::size_t>(position), palette().size() - 1);
  const double part = position - static_cast<double>(index);
  const double smooth = part * part * (3 - 2 * part);
  Light colour = palette()[index] * (1 - smooth);
  colour += palette()[(index + 1) % palette().size()] * smooth;
  return colour;
}

}  // namespace

Light shade(const Sample& sample) {
  if (!sample.escaped) return {};
  // Escape times near the set grow like the logarithm of how near, so does the colour.
  constexpr double first_escape = 23'975;
  const double turns = 0.1 + 0.5 * std::log1p(std::max(0.0, sample.iterations - first_escape) / 50);

  // Light from the upper left on a landscape that rises towards the set, with shadow in its clefts.
  constexpr double lamp_height = 1.1;
  const double slope = std::sqrt(0.5) * (sample.uphill.im - sample.uphill.re);
  const double lit = std::max(0.0, slope + lamp_height) / (1 + lamp_height);
  const double open = std::sqrt(std::min(1.0, sample.distance / 2));
  return colour_at(turns) * ((0.2 + 1.28 * lit) * (0.35 + 0.65 * open));
}

std::array<std::uint8_t, 3> to_srgb(Light light) {
  const auto encode = [](double channel) {
    return static_cast<std::uint8_t>(std::lround(255 * std::pow(std::clamp(channel, 0.0, 1.0), 1 / gamma)));
  };
  return {encode(light.red), encode(light.green), encode(light.blue)};
}

}  // namespace mandelbrot
