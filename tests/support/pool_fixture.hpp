// CPython's _TestPool: a pool of four workers that all its cases share.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include <rankpool/rankpool.hpp>

namespace support {

class TestPool : public testing::Test {
 protected:
  static void SetUpTestSuite() { pool = std::make_unique<rankpool::Pool>(4); }
  static void TearDownTestSuite() { pool.reset(); }

  static inline std::unique_ptr<rankpool::Pool> pool;
};

}  // namespace support
