// The home side of lists.
#include "objects/list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../support/container_requests.hpp"
#include "../support/recording_home.hpp"
#include "wire/bad_frame.hpp"

namespace {

using namespace rankpool;
using objects::Caller;
using support::at_index;
using support::Bytes;
using support::item;
using support::RecordingHome;
using wire::ContainerOp;
using wire::Status;

class ListHome : public testing::Test {
 protected:
  Caller ask(ContainerOp operation, const Bytes& body = {}, std::uint32_t process = 1) {
    const Caller caller = home.caller(process);
    object().request(caller, static_cast<std::uint32_t>(operation), body, {}, home);
    return caller;
  }
  Status status(const Caller& caller) { return home.answer(caller).status; }
  std::vector<std::string> values() {
    std::vector<std::string> all;
    for (auto& [key, value] : support::items_of(home.answer(ask(ContainerOp::values, {}, 50)))) all.push_back(value);
    return all;
  }
  objects::Object& object() { return list; }

  RecordingHome home;
  objects::List list;
};

TEST_F(ListHome, holds_objects_and_pins_copies) {
  Bytes two = item({}, "x", {7});
  support::append_item(two, {}, {}, "y", {8, 8});
  ask(ContainerOp::insert, at_index(0, two));
  EXPECT_EQ(home.holds(8), 2);
  EXPECT_EQ(home.pins(8), -2);
  ask(ContainerOp::get, at_index(-1));
  EXPECT_EQ(home.pins(8), 0);
  ask(ContainerOp::put, at_index(5, item({}, "z", {9})));
  EXPECT_EQ(home.pins(9), -1);
  EXPECT_EQ(home.holds(9), 0);
  ask(ContainerOp::put, at_index(1, item({}, "z", {9})));
  EXPECT_EQ(home.holds(8), 0);
  ask(ContainerOp::pop, at_index(0));
  EXPECT_EQ(home.holds(7), 0);
  EXPECT_EQ(home.pins(7), 0);
  list.released(home);
  EXPECT_EQ(home.holds(9), 0);
}

TEST_F(ListHome, makes_changes_wait_for_an_update) {
  ask(ContainerOp::insert, at_index(0, item({}, "old")));
  EXPECT_EQ(status(ask(ContainerOp::begin_update, at_index(1))), Status::no);  // and nothing has begun
  EXPECT_EQ(home.answer(ask(ContainerOp::begin_update, at_index(-1))).text(), "old");
  const Caller pop = ask(ContainerOp::pop, at_index(0), 2);
  const Caller insert = ask(ContainerOp::insert, at_index(0, item({}, "next", {7})), 3);
  list.left({0, 3}, home);
  EXPECT_EQ(home.pins(7), -1);
  EXPECT_EQ(values(), std::vector<std::string>{"old"});
  ask(ContainerOp::end_update, at_index(-1, item({}, "new")));
  EXPECT_EQ(home.answer(pop).text(), "new");
  EXPECT_FALSE(home.answered(insert));
  EXPECT_EQ(values(), std::vector<std::string>{});
}

TEST_F(ListHome, refuses_damaged_requests) {
  EXPECT_THROW(ask(ContainerOp::get), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::put, at_index(0)), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::keys), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::insert, at_index(0, Bytes(5))), wire::BadFrame);
}

// Against a vector with Python's indexes.
TEST_F(ListHome, does_what_a_vector_does) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::int64_t>(random() % n); };
  std::vector<std::string> model;
  for (int step = 0; step < 10'000; ++step) {
    const auto size = static_cast<std::int64_t>(model.size());
    std::int64_t index = below(model.size() * 2 + 4) - size - 2;
    if (below(20) == 0) index = std::numeric_limits<std::int64_t>::max();
    if (below(20) == 0) index = std::numeric_limits<std::int64_t>::min();
    const std::int64_t at = index < 0 ? index + size : index;
    const bool exists = at >= 0 && at < size;
    const std::string value = std::to_string(step);
    switch (below(5)) {
      case 0: {
        Bytes items;
        std::vector<std::string> fresh;
        for (std::int64_t n = below(3); n >= 0; --n) {
          fresh.push_back(value + "." + std::to_string(n));
          support::append_item(items, {}, {}, fresh.back());
        }
        EXPECT_EQ(status(ask(ContainerOp::insert, at_index(index, items))), Status::ok);
        model.insert(model.begin() + std::clamp<std::int64_t>(at, 0, size), fresh.begin(), fresh.end());
        break;
      }
      case 1:
      case 2: {
        const auto answer = home.answer(ask(ContainerOp::pop, at_index(index)));
        EXPECT_EQ(answer.status, exists ? Status::ok : Status::no);
        if (!exists) break;
        EXPECT_EQ(answer.text(), model[static_cast<std::size_t>(at)]);
        model.erase(model.begin() + at);
        break;
      }
      case 3:
        EXPECT_EQ(status(ask(ContainerOp::put, at_index(index, item({}, value)))), exists ? Status::ok : Status::no);
        if (exists) model[static_cast<std::size_t>(at)] = value;
        break;
      default: {
        const auto answer = home.answer(ask(ContainerOp::get, at_index(index)));
        if (exists) {
          EXPECT_EQ(answer.text(), model[static_cast<std::size_t>(at)]);
        } else {
          EXPECT_EQ(answer.as<wire::ContainerSize>().size, model.size());
        }
      }
    }
    EXPECT_EQ(values(), model);
    if (HasFailure()) return;
  }
}

}  // namespace
