// Squares eight numbers, each of which takes a second, on every core of the job.
#include <rankpool/rankpool.hpp>

#include <chrono>
#include <iomanip>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace rp = rankpool;
using namespace std::chrono;
using namespace std::chrono_literals;

long heavy_computation(long x) {
  std::this_thread::sleep_for(1s);  // simulates heavy work
  return x * x;
}

int program() {
  const std::vector<long> data{1, 2, 3, 4, 5, 6, 7, 8};
  const auto start = steady_clock::now();

  rp::Pool pool;  // as many processes as the job has cores
  const std::vector<long> results = pool.map(heavy_computation, data);

  std::string separator = "[";
  for (long result : results) std::cout << std::exchange(separator, ", ") << result;
  std::cout << "]\n";
  std::cout << "Time taken: " << std::fixed << std::setprecision(2)
            << duration<double>(steady_clock::now() - start).count() << " seconds\n";
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
