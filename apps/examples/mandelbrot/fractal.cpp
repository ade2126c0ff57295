#include "fractal.hpp"

#include <algorithm>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>

namespace mandelbrot {
namespace {

constexpr const char* centre_re = "-0.743643887037158704752191506114774";
constexpr const char* centre_im = "0.131825904205311970493132056385139";
constexpr double window_width = 1e-28;
constexpr std::size_t max_iterations = 40'000;
constexpr double escape_norm = 1e6;
/// Relative error allowed to one jump; a pixel is far coarser.
constexpr double jump_error = 1e-4;
/// Shorter jumps cost more memory traffic than they save steps.
constexpr std::size_t shortest_jump = 4;

}  // namespace

Window::Window(int width, int height)
    : pixel_(window_width / width), origin_{-0.5 * window_width, 0.5 * pixel_ * height} {
  follow_centre();
  build_jumps(std::hypot(origin_.re, origin_.im));
}

void Window::follow_centre() {
  using Precise = boost::multiprecision::cpp_bin_float_50;
  const Precise c_re(centre_re);
  const Precise c_im(centre_im);
  Precise re = 0;
  Precise im = 0;
  while (centre_.size() < max_iterations) {
    centre_.push_back({static_cast<double>(re), static_cast<double>(im)});
    if (norm(centre_.back()) > escape_norm) return;
    const Precise next = re * re - im * im + c_re;
    im = 2 * re * im + c_im;
    re = next;
  }
}

// z -> z^2 + c turns a difference d from the centre's orbit into 2zd + d^2 + offset. While d is tiny d^2 does not
// count, the step is linear, and two linear steps after each other are one.
void Window::build_jumps(double radius) {
  struct Linear {
    Complex a;
    Complex b;
    double reach;
  };
  const auto length = [](Complex z) { return std::hypot(z.re, z.im); };
  std::vector<Linear> level;
  for (std::size_t i = 1; i + 1 < centre_.size(); ++i) {
    level.push_back({2 * centre_[i], {1, 0}, jump_error * length(2 * centre_[i])});
  }
  for (std::size_t stride = 2; level.size() > 1; stride *= 2) {
    std::vector<Linear> doubled;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2) {
      const Linear& first = level[i];
      const Linear& then = level[i + 1];
      const double reach = std::min(first.reach, (then.reach - length(first.b) * radius) / length(first.a));
      doubled.push_back({then.a * first.a, then.a * first.b + then.b, std::max(reach, 0.0)});
    }
    level = std::move(doubled);
    if (stride < shortest_jump) continue;
    std::vector<Jump>& jumps = jumps_.emplace_back();
    for (const Linear& linear : level) jumps.push_back({linear.a, linear.b, linear.reach * linear.reach});
  }
}

Window::Stride Window::longest_jump(std::size_t at, double difference_norm) const {
  Stride best{nullptr, 1};
  if (at == 0 || (at - 1) % shortest_jump != 0) return best;
  std::size_t index = (at - 1) / shortest_jump;
  std::size_t length = shortest_jump;
  for (const std::vector<Jump>& jumps : jumps_) {
    if (index >= jumps.size() || difference_norm >= jumps[index].limit) break;
    best = {&jumps[index], length};
    if (index % 2 != 0) break;
    index /= 2;
    length *= 2;
  }
  return best;
}

Sample Window::sample(double x, double y) const {
  const Complex offset = origin_ + Complex{pixel_ * x, -pixel_ * y};
  Sample result;
  Complex z;
  Complex difference;  // z minus the centre's orbit
  double difference_norm = 0;
  Complex derivative;  // of z by the position, in pixels
  std::size_t at = 0;  // in the centre's orbit
  std::size_t iteration = 0;
  while (iteration < max_iterations) {
    const auto [jump, length] = longest_jump(at, difference_norm);
    if (jump != nullptr) {
      difference = jump->a * difference + jump->b * offset;
      derivative = jump->a * derivative + pixel_ * jump->b;
    } else {
      derivative = 2 * (z * derivative) + Complex{pixel_, 0};
      difference = (2 * centre_[at] + difference) * difference + offset;
    }
    at += length;
    iteration += length;
    ++result.steps;
    z = centre_[at] + difference;
    difference_norm = norm(difference);
    const double z_norm = norm(z);
    if (z_norm > escape_norm) {
      const double log_z = 0.5 * std::log(z_norm);
      const double slope = std::sqrt(norm(derivative));
      const Complex direction = z * Complex{derivative.re, -derivative.im};
      result.escaped = true;
      result.iterations = static_cast<double>(iteration) + 1 - std::log2(log_z / (0.5 * std::log(escape_norm)));
      result.distance = log_z * std::sqrt(z_norm) / slope;
      result.uphill = (1 / std::sqrt(norm(direction))) * direction;
      return result;
    }
    // Where z comes closer to 0 than to the centre's orbit, its difference from that orbit's start is the smaller
    // number: going on from there keeps all digits.
    if (z_norm < difference_norm || at + 1 == centre_.size()) {
      difference = z;
      difference_norm = z_norm;
      at = 0;
    }
  }
  return result;
}

}  // namespace mandelbrot
