// Tells which of six large numbers are prime, each in a process of its own: the first example of concurrent.futures.
#include <rankpool/rankpool.hpp>

#include <cmath>
#include <iostream>
#include <vector>

namespace rp = rankpool;

const std::vector<long> primes{112272535095293, 112582705942171, 112272535095293,
                               115280095190773, 115797848077099, 1099726899285419};

bool is_prime(long n) {
  if (n < 2) return false;
  if (n == 2) return true;
  if (n % 2 == 0) return false;
  const long root = static_cast<long>(std::sqrt(static_cast<double>(n)));
  for (long i = 3; i <= root; i += 2) {
    if (n % i == 0) return false;
  }
  return true;
}

int program() {
  rp::ProcessPoolExecutor executor;
  auto number = primes.begin();
  for (const bool prime : executor.map(is_prime, primes))
    std::cout << *number++ << " is prime: " << (prime ? "True" : "False") << '\n';
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
