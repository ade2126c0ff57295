// A GoogleTest main for tests that all ranks run together: a failure on any rank fails rank 0's test, output and XML.
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstddef>
#include <string>
#include <vector>

#include "transport/parameters.hpp"

namespace {

class AllRanks : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo& info) override {
    const std::string mine = failures(*info.result());
    int rank = 0;
    int size = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const int length = static_cast<int>(mine.size());
    std::vector<int> lengths(static_cast<std::size_t>(size));
    MPI_Gather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, 0, MPI_COMM_WORLD);
    std::vector<int> starts;
    int total = 0;
    for (const int one : lengths) {
      starts.push_back(total);
      total += one;
    }
    std::string all(static_cast<std::size_t>(total), ' ');
    MPI_Gatherv(mine.data(), length, MPI_CHAR, all.data(), lengths.data(), starts.data(), MPI_CHAR, 0, MPI_COMM_WORLD);
    if (rank != 0) return;
    for (std::size_t other = 1; other < lengths.size(); ++other) {
      if (lengths[other] == 0) continue;
      ADD_FAILURE() << "on rank " << other << ": "
                    << all.substr(static_cast<std::size_t>(starts[other]), static_cast<std::size_t>(lengths[other]));
    }
  }

  static std::string failures(const testing::TestResult& result) {
    std::string text;
    for (int i = 0; i < result.total_part_count(); ++i) {
      const testing::TestPartResult& part = result.GetTestPartResult(i);
      if (!part.failed()) continue;
      text += part.file_name() != nullptr ? part.file_name() : "?";
      text += ":" + std::to_string(part.line_number()) + ": " + part.message() + "\n";
    }
    return text;
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);  // first: it creates the XML writer that other ranks drop below
  rankpool::transport::set_mpi_parameters();
  int provided = 0;
  int rank = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) {
    delete listeners.Release(listeners.default_result_printer());
    delete listeners.Release(listeners.default_xml_generator());
  }
  listeners.Append(new AllRanks);  // end events go from last to first: the printer sees the failures that it adds
  const int mine = RUN_ALL_TESTS();
  int any = 0;
  MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return any;
}
