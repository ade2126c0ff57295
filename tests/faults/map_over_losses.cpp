// A map during which a host of the cluster is lost: map_over_losses COMMAND [TASKS]. COMMAND is what the cluster
// understands, with a colon: `reset:h3`. It must end with the right result, and so must a second one.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ranges>
#include <string>
#include <thread>

#include <rankpool/rankpool.hpp>

namespace {

using namespace std::chrono_literals;

long slow_square(long x) {
  std::this_thread::sleep_for(2ms);
  return x * x;
}

void tell_cluster(std::string command) {
  std::replace(command.begin(), command.end(), ':', ' ');
  command += '\n';
  const char* const control = std::getenv("CLUSTER_CONTROL");
  const int fd = control != nullptr ? ::open(control, O_WRONLY | O_CLOEXEC) : -1;
  if (fd < 0 || ::write(fd, command.data(), command.size()) < 0) std::puts("there is no cluster to do this");
  ::close(fd);
}

bool right(rankpool::Pool& pool, long tasks) {
  const auto results = pool.map(slow_square, std::views::iota(0L, tasks));
  bool good = static_cast<long>(results.size()) == tasks;
  for (long i = 0; good && i < tasks; ++i) good = results[static_cast<std::size_t>(i)] == i * i;
  return good;
}

int program(const std::string& command, long tasks) {
  rankpool::Pool pool(6);
  if (!right(pool, 100)) return 1;
  const std::jthread actor([&] {
    std::this_thread::sleep_for(200ms);
    tell_cluster(command);
  });
  if (!right(pool, tasks) || !right(pool, 100)) return 1;
  std::puts("all results are right");
  if (command.starts_with("cut:")) tell_cluster("heal:" + command.substr(4));  // for mpirun's daemon there
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return rankpool::run(argc, argv, [](int count, char** arguments) {
    return program(count > 1 ? arguments[1] : "", count > 2 ? std::atol(arguments[2]) : 2000);
  });
}
