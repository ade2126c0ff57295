// How long a program that uses rankpool alone, without a launcher, takes to its first result.
#include <unistd.h>

#include "measurements.hpp"
#include "subprocess.hpp"
#include "work.hpp"

namespace bench {

int first_result_program() {
  rp::Pool pool;
  const char result = static_cast<char>('0' + pool.apply(identity, 7));
  return write(STDOUT_FILENO, &result, 1) == 1 && result == '7' ? 0 : 1;
}

void measure_startup(Session& session) {
  std::vector<double> milliseconds;
  for (int i = 0; i < session.amount(15, 5); ++i) {
    const Finished run = run_program({own_path(), first_result_option}, std::chrono::seconds(10));
    milliseconds.push_back(run.first_byte_seconds * 1000);
  }
  std::ranges::sort(milliseconds);
  session.record("startup_ms", milliseconds[milliseconds.size() / 2], "ms", "less is better");
}

}  // namespace bench
