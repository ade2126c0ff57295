// The home side of dicts and spaces, and whose turn it is to change a container.
#include "objects/dict.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../support/container_requests.hpp"
#include "../support/recording_home.hpp"
#include "wire/bad_frame.hpp"

namespace {

using namespace rankpool;
using objects::Caller;
using support::Bytes;
using support::item;
using support::RecordingHome;
using wire::ContainerOp;
using wire::Status;
using Items = std::vector<std::pair<std::string, std::string>>;

class DictHome : public testing::Test {
 protected:
  void ask(const Caller& caller, ContainerOp operation, const Bytes& body = {}) {
    object().request(caller, static_cast<std::uint32_t>(operation), body, {}, home);
  }
  Caller ask(ContainerOp operation, const Bytes& body = {}, std::uint32_t process = 1, std::uint32_t thread = 1) {
    const Caller caller = home.caller(process, thread);
    ask(caller, operation, body);
    return caller;
  }
  Status status(const Caller& caller) { return home.answer(caller).status; }
  Items items() { return support::items_of(home.answer(ask(ContainerOp::items, {}, 50))); }
  objects::Object& object() { return dict; }

  RecordingHome home;
  objects::Dict dict;
};

TEST_F(DictHome, says_no_and_its_size) {
  ask(ContainerOp::put, item("a", "1"));
  const auto answer = home.answer(ask(ContainerOp::get, item("b")));
  EXPECT_EQ(answer.status, Status::no);
  EXPECT_EQ(answer.as<wire::ContainerSize>().size, 1u);
  EXPECT_EQ(answer.bytes.size(), sizeof(wire::ContainerSize));
  EXPECT_EQ(status(ask(ContainerOp::erase, item("b"))), Status::no);
  EXPECT_EQ(status(ask(ContainerOp::erase, item("a"))), Status::ok);
  EXPECT_EQ(items(), Items{});
}

TEST_F(DictHome, tells_the_type_of_a_value_that_has_another) {
  Bytes set;
  support::append_item(set, "name", "int", "1234");
  ask(ContainerOp::put, set);
  Bytes wanted;
  support::append_item(wanted, "name", "long", {});
  const auto answer = home.answer(ask(ContainerOp::get, wanted));
  EXPECT_EQ(answer.status, Status::no);
  EXPECT_EQ(answer.text().substr(sizeof(wire::ContainerSize)), "int");
}

TEST_F(DictHome, holds_objects_and_pins_copies) {
  ask(ContainerOp::put, item("a", "x", {7, 7, 8}));
  EXPECT_EQ(home.holds(7), 2);
  EXPECT_EQ(home.pins(7), -2);  // its sender has announced as many
  ask(ContainerOp::get, item("a"));
  ask(ContainerOp::values);
  EXPECT_EQ(home.pins(7), 2);
  EXPECT_EQ(home.pins(8), 1);
  ask(ContainerOp::keys);
  EXPECT_EQ(home.pins(8), 1);
  ask(ContainerOp::put, item("a", "y", {9}));
  EXPECT_EQ(home.holds(7), 0);
  EXPECT_EQ(home.holds(8), 0);
  ask(ContainerOp::pop, item("a"));
  EXPECT_EQ(home.holds(9), 0);
  EXPECT_EQ(home.pins(9), 0);
  ask(ContainerOp::put, item("b", "z", {5}));
  dict.released(home);
  EXPECT_EQ(home.holds(5), 0);
}

TEST_F(DictHome, makes_changes_wait_for_an_update_and_serves_them_in_order) {
  ask(ContainerOp::put, item("a", "old"));
  const Caller updating = ask(ContainerOp::begin_update, item("a"), 1);
  EXPECT_EQ(home.answer(updating).text(), "old");
  const Caller second = ask(ContainerOp::begin_update, item("a"), 2);
  const Caller third = ask(ContainerOp::put, item("b", "3"), 3);
  EXPECT_FALSE(home.answered(second));
  EXPECT_FALSE(home.answered(third));
  EXPECT_EQ(items(), (Items{{"a", "old"}}));
  ask(ContainerOp::end_update, item("a", "new"), 1);
  EXPECT_EQ(home.answer(second).text(), "new");
  EXPECT_FALSE(home.answered(third));
  ask(ContainerOp::abandon, {}, 2);
  EXPECT_EQ(status(third), Status::ok);
  EXPECT_EQ(items(), (Items{{"a", "new"}, {"b", "3"}}));
}

TEST_F(DictHome, update_of_a_missing_key_begins_with_no) {
  EXPECT_EQ(status(ask(ContainerOp::begin_update, item("a"))), Status::no);
  EXPECT_EQ(items(), Items{});
  ask(ContainerOp::end_update, item("a", "1"));
  EXPECT_EQ(items(), (Items{{"a", "1"}}));
}

TEST_F(DictHome, refuses_a_change_by_the_thread_that_updates) {
  ask(ContainerOp::begin_update, item("a"), 1, 4);
  EXPECT_EQ(status(ask(ContainerOp::put, item("b", "1", {7}), 1, 4)), Status::refused);
  EXPECT_EQ(home.pins(7), -1);
  EXPECT_EQ(home.holds(7), 0);
  EXPECT_FALSE(home.answered(ask(ContainerOp::clear, {}, 1, 5)));
}

TEST_F(DictHome, forgets_the_update_and_the_wishes_of_the_dead) {
  ask(ContainerOp::begin_update, item("a"), 1);
  const Caller dead = ask(ContainerOp::put, item("dead", "1", {7}), 2);
  const Caller alive = ask(ContainerOp::put, item("alive", "1"), 3);
  dict.left({0, 2}, home);
  EXPECT_EQ(home.pins(7), -1);
  EXPECT_FALSE(home.answered(alive));
  dict.left({0, 1}, home);
  EXPECT_EQ(status(alive), Status::ok);
  EXPECT_FALSE(home.answered(dead));
  EXPECT_EQ(items(), (Items{{"alive", "1"}}));
}

TEST_F(DictHome, takes_a_change_back) {
  ask(ContainerOp::begin_update, item("a"), 1);
  const Caller second = ask(ContainerOp::put, item("b", "1", {7}), 2);
  dict.withdraw(second, home);
  EXPECT_EQ(status(second), Status::withdrawn);
  EXPECT_EQ(home.pins(7), -1);
  ask(ContainerOp::end_update, item("a", "1"), 1);
  EXPECT_EQ(items(), (Items{{"a", "1"}}));
}

TEST_F(DictHome, refuses_damaged_requests) {
  const Caller caller = home.caller(1);
  EXPECT_THROW(object().request(caller, 99, {}, {}, home), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::get), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::insert, item("a")), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::end_update, item("a")), wire::BadFrame);
  EXPECT_THROW(ask(ContainerOp::abandon), wire::BadFrame);
  Bytes whole = item("key", "value", {1});
  for (std::size_t size = 1; size < whole.size(); ++size)
    EXPECT_THROW(ask(ContainerOp::put, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
                 wire::BadFrame);
  wire::ItemHead head{.key = 1, .value = ~std::uint64_t{0}, .handles = ~std::uint64_t{0} / 8};
  std::memcpy(whole.data(), &head, sizeof head);
  EXPECT_THROW(ask(ContainerOp::put, whole), wire::BadFrame);
}

// Against a plain list of pairs, with several callers of whom one may be updating.
TEST_F(DictHome, keeps_its_order_in_any_order_of_events) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
  struct Change {
    Caller caller;
    ContainerOp operation;
    std::string key;
    std::string value;
  };
  Items model;
  std::optional<Change> updating;
  std::deque<Change> waiting;
  const auto find = [&](const std::string& key) {
    return std::find_if(model.begin(), model.end(), [&](const auto& entry) { return entry.first == key; });
  };
  const auto put = [&](const std::string& key, const std::string& value) {
    if (const auto at = find(key); at != model.end()) {
      at->second = value;
    } else {
      model.emplace_back(key, value);
    }
  };
  const auto apply = [&](const Change& change) {
    const auto at = find(change.key);
    if (change.operation == ContainerOp::put) {
      EXPECT_EQ(status(change.caller), Status::ok);
      put(change.key, change.value);
    } else if (change.operation == ContainerOp::begin_update) {
      EXPECT_EQ(status(change.caller), at == model.end() ? Status::no : Status::ok);
      updating = change;
    } else if (at == model.end()) {
      EXPECT_EQ(status(change.caller), Status::no);
    } else {
      EXPECT_EQ(home.answer(change.caller).text(), at->second);
      model.erase(at);
    }
  };
  const auto go_on = [&] {
    updating.reset();
    while (!updating && !waiting.empty()) {
      const Change next = waiting.front();
      waiting.pop_front();
      apply(next);
    }
  };
  for (int step = 0; step < 10'000; ++step) {
    const std::string key(1, static_cast<char>('a' + below(6)));
    const std::string value = std::to_string(step);
    switch (below(6)) {
      case 0:
      case 1:
      case 2: {
        static constexpr ContainerOp changes[] = {ContainerOp::put, ContainerOp::pop, ContainerOp::begin_update};
        // a thread waits for one thing at a time
        const std::uint32_t process = 1 + below(4);
        const std::uint32_t thread = 1000 + static_cast<std::uint32_t>(step);
        const Change change{home.caller(process, thread), changes[below(3)], key, value};
        ask(change.caller, change.operation, item(key, value));
        if (updating) {
          EXPECT_FALSE(home.answered(change.caller));
          waiting.push_back(change);
        } else {
          apply(change);
        }
        break;
      }
      case 3:
      case 4: {
        if (!updating) break;
        const bool ends = below(3) != 0;
        Caller caller = home.caller(updating->caller.process.link, updating->caller.thread);
        ask(caller, ends ? ContainerOp::end_update : ContainerOp::abandon, item(updating->key, value));
        EXPECT_EQ(status(caller), Status::ok);
        if (ends) put(updating->key, value);
        go_on();
        break;
      }
      default: {
        if (below(5) != 0) break;
        const wire::Address dead{0, 1 + below(4)};
        dict.left(dead, home);
        std::erase_if(waiting, [&](const Change& change) { return change.caller.process == dead; });
        if (updating && updating->caller.process == dead) go_on();
      }
    }
    for (const Change& change : waiting) EXPECT_FALSE(home.answered(change.caller));
    EXPECT_EQ(items(), model);
    if (HasFailure()) return;
  }
}

}  // namespace
