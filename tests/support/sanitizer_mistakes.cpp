// sanitizer_mistakes NAME: a program whose task makes a mistake that a sanitizer sees, in a process that is neither the
// one with main() nor one that ends by exit(). Its own exit status is 0.
#include <climits>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

namespace {

int race(int x) {
  int sum = 0;
  std::thread other([&] { sum += x; });
  sum += x;
  other.join();
  return sum;
}

int overflow(int x) {
  const std::vector<int> numbers(static_cast<std::size_t>(x));
  return *(numbers.data() + x);
}

int undefined(int x) { return INT_MAX + x; }

int leak(int x) {
  int* const number = new int(x);
  return *number;
}

int make(const std::string& mistake) {
  if (mistake == "race") return race(1);
  if (mistake == "overflow") return overflow(1);
  if (mistake == "undefined") return undefined(1);
  return leak(1);
}

}  // namespace

int main(int argc, char** argv) {
  return rankpool::run(argc, argv, [](int, char** arguments) {
    rankpool::Pool pool;
    try {
      pool.apply(make, std::string(arguments[1]));
    } catch (const rankpool::WorkerLost&) {
      // AddressSanitizer ends the process
    }
    return 0;
  });
}
