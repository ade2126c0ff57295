// Squares numbers in another process and brings them back in a queue.
#include <rankpool/rankpool.hpp>

#include <iostream>
#include <vector>

namespace rp = rankpool;

void square_list(const std::vector<int>& numbers, rp::Queue<int> q) {
  for (int n : numbers) q.put(n * n);
}

int program() {
  const std::vector<int> numbers{2, 3, 4};
  rp::Queue<int> q;

  rp::Process p(square_list, numbers, q);
  p.start();
  p.join();

  while (!q.empty()) std::cout << q.get() << '\n';  // prints 4, 9, 16
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
