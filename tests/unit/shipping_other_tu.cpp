// A second translation unit, with a function and a lambda of the same names and types as in shipping_test.cpp.
#include "shipping_other_tu.hpp"

#include <tuple>
#include <typeinfo>

#include <rankpool/detail/dispatch.hpp>

namespace rankpool::test {
namespace {
double local_function(double x) { return x + 1000; }
auto local_lambda = [](double x) { return x + 2000; };
}  // namespace
}  // namespace rankpool::test

using namespace rankpool::test;

void encode_other_function(rankpool::detail::Buffer& callable) {
  rankpool::detail::encode_callable<double (*)(double), std::tuple<double>, true>(callable, &local_function);
}

void encode_other_lambda(rankpool::detail::Buffer& callable) {
  rankpool::detail::encode_callable<decltype(local_lambda), std::tuple<double>, true>(callable, local_lambda);
}

std::string other_lambda_type_name() { return typeid(local_lambda).name(); }
