// The case of CPython 3.13's _TestEvent (Lib/test/_test_multiprocessing.py), under its name.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include <rankpool/rankpool.hpp>

#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

void set_later(rp::Event event) {
  std::this_thread::sleep_for(50ms);
  event.set();
}

TEST(TestEvent, test_event) {
  rp::Event event;
  EXPECT_FALSE(event.is_set());
  EXPECT_FALSE(event.wait_for(0s));
  EXPECT_GE(support::time_of([&] { EXPECT_FALSE(event.wait_for(50ms)); }), 50ms);
  event.set();
  EXPECT_TRUE(event.is_set());
  EXPECT_TRUE(event.wait_for(0s));
  EXPECT_TRUE(event.wait_for(50ms));
  event.set();
  EXPECT_TRUE(event.is_set());
  event.clear();
  EXPECT_FALSE(event.is_set());
  event.clear();
  EXPECT_FALSE(event.is_set());
  rp::Pool pool(1);
  const auto remote = pool.apply_async(set_later, event);
  EXPECT_TRUE(event.wait_for(support::long_enough));
  remote.wait();
}

}  // namespace
