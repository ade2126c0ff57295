// What a pool is held against: the master and the workers that one would write in plain MPI.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "measurements.hpp"

namespace bench {
namespace {

constexpr int stop = -1;

void work() {
  for (;;) {
    int task = 0;
    MPI_Recv(&task, 1, MPI_INT, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (task == stop) return;
    MPI_Send(&task, 1, MPI_INT, 0, 0, MPI_COMM_WORLD);
  }
}

/// Seconds for `count` tasks with up to `window` of them on their way to each worker.
double deal(int workers, int count, int window) {
  const auto start = Clock::now();
  int sent = 0;
  const auto send_to = [&](int worker) {
    MPI_Send(&sent, 1, MPI_INT, worker, 0, MPI_COMM_WORLD);
    ++sent;
  };
  for (int i = 0; i < window; ++i) {
    for (int worker = 1; worker <= workers && sent < count; ++worker) send_to(worker);
  }
  for (int received = 0; received < count; ++received) {
    int result = 0;
    MPI_Status status;
    MPI_Recv(&result, 1, MPI_INT, MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &status);
    if (sent < count) send_to(status.MPI_SOURCE);
  }
  return seconds_since(start);
}

void master(int workers, bool quick) {
  constexpr int window = 64;
  const int count = quick ? 200'000 : 1'000'000;
  deal(workers, count / 10, window);
  double best = deal(workers, count, window);
  for (int i = 1; i < 3; ++i) best = std::min(best, deal(workers, count, window));

  std::vector<double> round_trips;
  for (int i = 0; i < (quick ? 2'000 : 10'000); ++i) round_trips.push_back(deal(1, 1, 1));
  std::ranges::sort(round_trips);
  std::printf("%.0f %.3f\n", count / best, round_trips[round_trips.size() / 2] * 1e6);
  for (int worker = 1; worker <= workers; ++worker) MPI_Send(&stop, 1, MPI_INT, worker, 0, MPI_COMM_WORLD);
}

}  // namespace

int floor_program(int argc, char** argv) {
  const bool quick = argc > 2 && std::strcmp(argv[2], "quick") == 0;
  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (rank == 0) {
    master(size - 1, quick);
  } else {
    work();
  }
  MPI_Finalize();
  return 0;
}

}  // namespace bench
