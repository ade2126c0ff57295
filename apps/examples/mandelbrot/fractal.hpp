// The Mandelbrot set at a depth where neighbouring pixels differ in the thirtieth digit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mandelbrot {

/// std::complex checks every product for infinities; this one does not.
struct Complex {
  double re = 0;
  double im = 0;

  friend constexpr Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend constexpr Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  friend constexpr Complex operator*(double k, Complex a) { return {k * a.re, k * a.im}; }
  friend constexpr double norm(Complex a) { return a.re * a.re + a.im * a.im; }
};

/// What the orbit of one point tells.
struct Sample {
  bool escaped = false;
  double iterations = 0;    ///< until it escaped, with a fraction
  double distance = 0;      ///< to the set, in pixels, roughly
  Complex uphill;           ///< unit vector: where orbits escape sooner
  std::uint64_t steps = 0;  ///< work that was done for it
};

/// A window on the set, ready to be sampled. Expensive to make: it follows the orbit of the window's centre with
/// 50 digits, so that every other point needs only its small difference from that orbit, in ordinary doubles.
class Window {
 public:
  /// The well-known spiral garden in Seahorse Valley, magnified 3 x 10^28 times, in a picture of this size.
  Window(int width, int height);

  /// The point under a pixel position; (0, 0) is the upper left corner of the upper left pixel.
  Sample sample(double x, double y) const;

 private:
  /// Many iterations in one: difference -> a * difference + b * offset, while |difference|^2 < limit.
  struct Jump {
    Complex a;
    Complex b;
    double limit;
  };
  struct Stride {
    const Jump* jump;
    std::size_t length;
  };

  void follow_centre();
  void build_jumps(double radius);
  Stride longest_jump(std::size_t at, double difference_norm) const;

  double pixel_;  ///< size in the plane
  Complex origin_;
  std::vector<Complex> centre_;
  std::vector<std::vector<Jump>> jumps_;  ///< by length, each twice the one before; from iteration 1 on
};

}  // namespace mandelbrot
