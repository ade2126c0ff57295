#include <iostream>
#include <numeric>
#include <vector>

#include <rankpool/rankpool.hpp>

#ifdef MPI_VERSION
#error "rankpool's public headers include mpi.h"
#endif

long square(long x) { return x * x; }

int main(int argc, char** argv) {
  return rankpool::run(argc, argv, [] {
    rankpool::Pool pool;
    const std::vector<long> squares = pool.map(square, std::vector<long>{1, 2, 3, 4, 5});
    std::cout << "sum of squares: " << std::accumulate(squares.begin(), squares.end(), 0L) << "\n";
  });
}
