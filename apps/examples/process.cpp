// Prints a square in a process of its own.
#include <rankpool/rankpool.hpp>

#include <chrono>
#include <iostream>
#include <thread>

namespace rp = rankpool;
using namespace std::chrono_literals;

void calculate_square(int number) {
  std::cout << "Square of " << number << ": " << number * number << std::endl;
  std::this_thread::sleep_for(1s);
}

int program() {
  // 1. Create a process
  rp::Process p(calculate_square, 10);

  // 2. Start the process
  p.start();
  std::cout << "Main process doing other things...\n";

  // 3. Wait for the process to finish
  p.join();
  std::cout << "Done!\n";
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
