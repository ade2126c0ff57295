// The main of a test of the public interface: the program of rank 0 runs GoogleTest, the other ranks serve.
#include <gtest/gtest.h>

#include <rankpool/rankpool.hpp>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return rankpool::run(argc, argv, [] { return RUN_ALL_TESTS(); });
}
