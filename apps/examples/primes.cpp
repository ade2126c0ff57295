// Tells which of four large numbers are prime, each in a process of its own.
#include <rankpool/rankpool.hpp>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace rp = rankpool;

bool is_prime(long n) {
  if (n < 2) return false;
  for (long i = 2; i * i <= n; ++i) {
    if (n % i == 0) return false;
  }
  return true;
}

int program() {
  constexpr long trillion = 1'000'000'000'000;
  const std::vector<long> numbers{trillion + 39, trillion + 61, trillion + 63, trillion + 91};

  rp::Pool pool;
  const std::vector<bool> results = pool.map(is_prime, numbers);

  std::string separator = "[";
  for (bool result : results) std::cout << std::boolalpha << std::exchange(separator, ", ") << result;
  std::cout << "]\n";
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
