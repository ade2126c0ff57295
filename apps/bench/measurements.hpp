// Every measurement: it runs for a few seconds and records its metrics, or throws.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "session.hpp"

namespace bench {

struct Measurement {
  std::vector<std::string> metrics;  ///< that it records
  void (*measure)(Session& session);
};

/// In the order in which they are run and shown.
std::span<const Measurement> measurements();

void measure_task_rate(Session& session);
void measure_item_rate(Session& session);
void measure_bulk(Session& session);
void measure_submit(Session& session);
void measure_stream(Session& session);
void measure_reduction(Session& session);
void measure_apply(Session& session);
void measure_grain(Session& session);
void measure_cpu_grain(Session& session);
void measure_skew(Session& session);
void measure_cpu_skew(Session& session);
void measure_queue_rate(Session& session);
void measure_queue_latency(Session& session);
void measure_pipe(Session& session);
void measure_lock(Session& session);
void measure_contended_lock(Session& session);
void measure_value(Session& session);
void measure_idle(Session& session);
void measure_startup(Session& session);
void measure_floor(Session& session);

/// What `measure_startup` starts: uses a pool once and says so on stdout.
int first_result_program();
/// What `measure_floor` starts under mpirun: master and workers written by hand; prints its two figures.
int floor_program(int argc, char** argv);

/// Options of this program that only it uses.
constexpr const char* first_result_option = "--first-result";
constexpr const char* floor_option = "--floor";

}  // namespace bench
