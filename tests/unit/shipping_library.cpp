// A shared library, built with hidden visibility, that sends callables of its own.
#include <tuple>

#include <rankpool/detail/dispatch.hpp>

#include "shipping_other_tu.hpp"

void encode_library_lambda(rankpool::detail::Buffer& callable) {
  const auto lambda = [](double x) { return x + 42; };
  rankpool::detail::encode_callable<std::decay_t<decltype(lambda)>, std::tuple<double>, true>(callable, lambda);
}

double library_square(double x) { return x * x; }
