// Prices a European call option by Monte Carlo, over every core of the job: the same digits for any number of them.
//
// monte_carlo [paths]
//
// Each block of paths is a task with random numbers of its own, which depend on RANKPOOL_SEED and the number of the
// block alone; the sums of the blocks come back in order and are added in that order.
#include <rankpool/rankpool.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace rp = rankpool;

// What the option is on, and what is known of the market.
constexpr double spot = 100;
constexpr double strike = 105;
constexpr double rate = 0.05;
constexpr double volatility = 0.2;
constexpr double years = 1;

struct Sums {
  std::uint64_t paths = 0;
  double payoffs = 0;
  double squares = 0;
};

/// The discounted payoffs of so many paths. A path is a single step, since the price at the end is all that counts.
Sums simulate(std::uint64_t paths) {
  const double drift = (rate - volatility * volatility / 2) * years;
  const double spread = volatility * std::sqrt(years);
  const double discount = std::exp(-rate * years);
  std::normal_distribution<double> normal;  // a new one for each block: it keeps a number for the next call
  auto& random = rp::task_rng();

  Sums sums{.paths = paths};
  for (std::uint64_t path = 0; path < paths; ++path) {
    const double price = spot * std::exp(drift + spread * normal(random));
    const double payoff = discount * std::max(price - strike, 0.0);
    sums.payoffs += payoff;
    sums.squares += payoff * payoff;
  }
  return sums;
}

double normal_below(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

/// What Black and Scholes found in closed form.
double exact_price() {
  const double spread = volatility * std::sqrt(years);
  const double d1 = (std::log(spot / strike) + rate * years) / spread + spread / 2;
  return spot * normal_below(d1) - strike * std::exp(-rate * years) * normal_below(d1 - spread);
}

int program(int argc, char** argv) {
  std::uint64_t left = 20'000'000;
  try {
    if (argc > 2) throw std::invalid_argument("too many");
    if (argc == 2) left = std::stoull(argv[1]);
    if (left < 2 || left > 1'000'000'000'000) throw std::out_of_range("paths");
  } catch (const std::exception&) {
    std::fputs("usage: monte_carlo [paths]    with 2 to 10^12 paths; 20000000 if not given\n", stderr);
    return 2;
  }
  constexpr std::uint64_t block = 250'000;
  std::vector<std::uint64_t> blocks;
  for (; left > 0; left -= blocks.back()) blocks.push_back(std::min(left, block));

  const auto start = std::chrono::steady_clock::now();
  rp::Pool pool;
  Sums all;
  for (const Sums& sums : pool.map(simulate, blocks)) {
    all.paths += sums.paths;
    all.payoffs += sums.payoffs;
    all.squares += sums.squares;
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;

  const double n = static_cast<double>(all.paths);
  const double mean = all.payoffs / n;
  const double error = std::sqrt(std::max(all.squares / n - mean * mean, 0.0) / (n - 1));
  std::printf("European call: spot %g, strike %g, rate %g, volatility %g, %g year\n", spot, strike, rate, volatility,
              years);
  std::printf("Monte Carlo    %.10f +- %.10f    from %llu paths\n", mean, error,
              static_cast<unsigned long long>(all.paths));
  std::printf("Black-Scholes  %.10f    %.2f standard errors away\n", exact_price(),
              std::abs(mean - exact_price()) / error);
  std::fprintf(stderr, "%.2f s with %d workers, %.1f million paths a second\n", taken.count(), pool.processes(),
               n / taken.count() / 1e6);
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
