// The containers of a Manager: what they do, from threads, tasks and ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;

namespace {

using Numbers = rp::Dict<std::string, int>;
using Strings = rp::List<std::string>;
using Pairs = std::vector<std::pair<std::string, int>>;

std::string long_text(std::size_t size, char letter = 'x') { return std::string(size, letter); }

TEST(Dict, keeps_values_in_the_order_of_their_keys_coming) {
  rp::Manager manager;
  auto dict = manager.dict<std::string, int>();
  EXPECT_TRUE(dict.empty());
  dict.set("one", 1);
  dict.set("two", 2);
  dict.set("three", 3);
  dict.set("one", 11);
  EXPECT_EQ(dict.size(), 3u);
  EXPECT_EQ(dict.get("one"), 11);
  EXPECT_EQ(dict.get("none", 7), 7);
  EXPECT_EQ(dict.get("two", 7), 2);
  EXPECT_TRUE(dict.contains("two"));
  EXPECT_FALSE(dict.contains("none"));
  EXPECT_EQ(dict.keys(), (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(dict.values(), (std::vector{11, 2, 3}));
  EXPECT_EQ(dict.items(), (Pairs{{"one", 11}, {"two", 2}, {"three", 3}}));
  EXPECT_EQ(dict.pop("one"), 11);
  EXPECT_EQ(dict.pop("one", -1), -1);
  dict.update_all(std::map<std::string, int>{{"a", 5}, {"three", 33}});
  dict.set("one", 1);
  EXPECT_EQ(dict.items(), (Pairs{{"two", 2}, {"three", 33}, {"a", 5}, {"one", 1}}));
  dict.clear();
  EXPECT_EQ(dict.items(), Pairs{});
  EXPECT_EQ(dict.size(), 0u);
}

TEST(Dict, says_which_key_is_missing) {
  auto dict = rp::Manager().dict<std::string, int>();
  dict.set("here", 1);
  const Failure failure([&] { dict.get("nowhere"); });
  EXPECT_TRUE(failure.is<std::out_of_range>()) << failure;
  EXPECT_NE(failure.what().find("\"nowhere\" (it has 1 element)"), std::string::npos) << failure;
  EXPECT_THROW(dict.pop("nowhere"), std::out_of_range);
}

TEST(Dict, takes_keys_of_many_types) {
  rp::Manager manager;
  auto by_tuple = manager.dict<std::tuple<int, std::string>, double>();
  by_tuple.set({1, "a"}, 0.5);
  EXPECT_EQ(by_tuple.get({1, "a"}), 0.5);
  EXPECT_THROW(by_tuple.get({2, "a"}), std::out_of_range);
  auto by_float = manager.dict<double, bool>();
  by_float.set(0.0, true);
  EXPECT_TRUE(by_float.get(-0.0));
  auto by_vector = manager.dict<std::vector<std::string>, std::optional<int>>();
  by_vector.set({"x", ""}, std::nullopt);
  EXPECT_EQ(by_vector.get({"x", ""}), std::nullopt);
  EXPECT_FALSE(by_vector.contains({"x"}));
  auto by_char = manager.dict<char, int>();
  EXPECT_THROW(by_char.get('x'), std::out_of_range);
}

TEST(Dict, keeps_large_keys_and_values) {
  auto dict = rp::Manager().dict<std::string, std::string>();
  const std::vector<std::size_t> sizes{0, 1, 30'000, 33'000, 70'000, 300'000, 3'000'000};
  for (const std::size_t size : sizes) dict.set(long_text(size, 'k'), long_text(size));
  for (const std::size_t size : sizes) EXPECT_EQ(dict.get(long_text(size, 'k')), long_text(size));
  const auto items = dict.items();
  ASSERT_EQ(items.size(), sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(items[i].first, long_text(sizes[i], 'k'));
    EXPECT_EQ(items[i].second, long_text(sizes[i]));
  }
  std::map<std::string, std::string> all(items.begin(), items.end());
  auto copy = rp::Manager().dict<std::string, std::string>();
  copy.update_all(all);
  EXPECT_EQ(copy.pop(long_text(3'000'000, 'k')), long_text(3'000'000));
  EXPECT_EQ(copy.pop(long_text(300'000, 'k')), long_text(300'000));
  EXPECT_EQ(copy.size(), sizes.size() - 2);
}

TEST(Dict, update_makes_a_missing_key_and_returns_what_the_function_does) {
  auto dict = rp::Manager().dict<std::string, int>();
  EXPECT_EQ(dict.update("n", [](int& n) { return ++n; }), 1);
  EXPECT_EQ(dict.update("n", [](int& n) { return std::to_string(n++); }), "1");
  dict.update("n", [](int& n) { n *= 10; });
  EXPECT_EQ(dict.get("n"), 20);
}

TEST(Dict, update_that_throws_changes_nothing) {
  auto dict = rp::Manager().dict<std::string, int>();
  dict.set("old", 1);
  const auto fail = [](int& n) {
    n = 99;
    throw std::domain_error("no");
  };
  EXPECT_THROW(dict.update("old", fail), std::domain_error);
  EXPECT_THROW(dict.update("new", fail), std::domain_error);
  EXPECT_EQ(dict.items(), (Pairs{{"old", 1}}));
  dict.set("old", 2);  // nobody has to wait
}

TEST(Dict, refuses_what_would_wait_for_its_own_update) {
  auto dict = rp::Manager().dict<std::string, int>();
  dict.set("n", 1);
  dict.update("n", [&](int& n) {
    n = 2;
    EXPECT_EQ(dict.get("n"), 1);
    EXPECT_EQ(dict.size(), 1u);
    EXPECT_THROW(dict.set("n", 3), std::logic_error);
    EXPECT_THROW(dict.pop("n"), std::logic_error);
    EXPECT_THROW(dict.clear(), std::logic_error);
    EXPECT_THROW(dict.update("m", [](int&) {}), std::logic_error);
  });
  EXPECT_EQ(dict.items(), (Pairs{{"n", 2}}));
}

TEST(Dict, keeps_changes_of_other_threads_waiting_during_an_update) {
  auto dict = rp::Manager().dict<std::string, int>();
  std::thread other;
  dict.update("n", [&](int& n) {
    other = std::thread([dict]() mutable { dict.set("n", 5); });
    std::this_thread::sleep_for(20ms);
    EXPECT_FALSE(dict.contains("n"));
    n = 1;
  });
  other.join();
  EXPECT_EQ(dict.get("n"), 5);
}

void count_up(Numbers dict, const std::string& key) {
  for (int i = 0; i < 50; ++i) dict.update(key, [](int& n) { ++n; });
}

TEST(Dict, update_is_atomic_among_tasks) {
  rp::Pool pool(4);
  auto dict = rp::Manager().dict<std::string, int>();
  pool.map(rp::partial(count_up, dict), std::vector<std::string>{"a", "b", "a", "a", "b"}, {.chunksize = 1});
  EXPECT_EQ(dict.get("a"), 150);
  EXPECT_EQ(dict.get("b"), 100);
}

Numbers made_by_task(int value) {
  auto dict = rp::Manager().dict<std::string, int>();
  dict.set("value", value);
  return dict;
}

TEST(Dict, outlives_its_manager_and_its_maker) {
  std::vector<Numbers> dicts;
  {
    rp::Pool pool(3);
    dicts = pool.map(made_by_task, std::vector{1, 2, 3, 4}, {.chunksize = 1});
  }
  for (int i = 0; i < 4; ++i) EXPECT_EQ(dicts[static_cast<std::size_t>(i)].get("value"), i + 1);
}

TEST(List, does_what_a_vector_does) {
  auto list = rp::Manager().list<std::string>();
  EXPECT_EQ(list.to_vector(), std::vector<std::string>{});
  list.append("b");
  list.insert(0, "a");
  list.extend(std::vector<std::string>{"d", "e"});
  list.insert(-2, "c");
  list.insert(100, "z");
  list.insert(-100, "0");
  EXPECT_EQ(list.to_vector(), (std::vector<std::string>{"0", "a", "b", "c", "d", "e", "z"}));
  EXPECT_EQ(list.size(), 7u);
  EXPECT_EQ(list.get(0), "0");
  EXPECT_EQ(list.get(-1), "z");
  EXPECT_EQ(list.get(-7), "0");
  list.set(1, "A");
  list.set(-2, "E");
  EXPECT_EQ(list.pop(), "z");
  EXPECT_EQ(list.pop(0), "0");
  EXPECT_EQ(list.pop(-2), "d");
  EXPECT_EQ(list.update(0, [](std::string& s) { return (s += "!").size(); }), 2u);
  EXPECT_EQ(list.to_vector(), (std::vector<std::string>{"A!", "b", "c", "E"}));
  list.clear();
  EXPECT_TRUE(list.empty());
}

TEST(List, says_which_index_is_bad) {
  auto list = rp::Manager().list<int>();
  EXPECT_THROW(list.pop(), std::out_of_range);
  EXPECT_THROW(list.get(0), std::out_of_range);
  list.extend(std::vector{1, 2, 3});
  for (const int bad : {3, -4}) {
    EXPECT_THROW(list.get(bad), std::out_of_range);
    EXPECT_THROW(list.set(bad, 0), std::out_of_range);
    EXPECT_THROW(list.pop(bad), std::out_of_range);
    EXPECT_THROW(list.update(bad, [](int&) {}), std::out_of_range);
  }
  const Failure failure([&] { list.get(3); });
  EXPECT_NE(failure.what().find("no element 3: its indexes are 0 to 2, or -1 to -3"), std::string::npos) << failure;
  EXPECT_EQ(list.to_vector(), (std::vector{1, 2, 3}));
}

TEST(List, takes_many_at_once) {
  auto list = rp::Manager().list<int>();
  std::vector<int> many(50'000);
  std::iota(many.begin(), many.end(), 0);
  list.extend(many);
  EXPECT_EQ(list.to_vector(), many);
}

void append_number(rp::List<int> list, int n) { list.append(n); }

TEST(List, is_filled_by_tasks) {
  rp::Pool pool(4);
  auto list = rp::Manager().list<int>();
  std::vector<int> numbers(40);
  std::iota(numbers.begin(), numbers.end(), 0);
  pool.map(rp::partial(append_number, list), numbers);
  auto all = list.to_vector();
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, numbers);
}

void set_in_space(rp::Space space, int n) { space.set("from a task", std::vector<int>(3, n)); }

TEST(Space, keeps_values_of_any_type) {
  rp::Manager manager;
  auto space = manager.space();
  space.set("count", 5);
  space.set("text", "a literal");
  space.set("text two", std::string("a string"));
  EXPECT_EQ(space.get<int>("count"), 5);
  EXPECT_EQ(space.get<std::string>("text"), "a literal");
  EXPECT_EQ(space.get<std::string>("text two"), "a string");
  const Failure failure([&] { space.get<long>("count"); });
  EXPECT_TRUE(failure.is<rp::TypeMismatch>()) << failure;
  EXPECT_NE(failure.what().find("\"count\" is of type int, not long"), std::string::npos) << failure;
  EXPECT_THROW(space.get<int>("none"), std::out_of_range);
  space.set("count", 2.5);
  EXPECT_EQ(space.get<double>("count"), 2.5);
  EXPECT_TRUE(space.contains("text"));
  EXPECT_TRUE(space.erase("text"));
  EXPECT_FALSE(space.erase("text"));
  EXPECT_FALSE(space.contains("text"));
  rp::Pool pool(2);
  pool.apply(set_in_space, space, 4);
  EXPECT_EQ(space.get<std::vector<int>>("from a task"), std::vector<int>(3, 4));
}

// ---- handles as values

TEST(Containers, keep_the_objects_whose_handles_are_in_them) {
  rp::Manager manager;
  auto events = manager.dict<int, rp::Event>();
  auto spares = manager.list<rp::Event>();
  auto space = manager.space();
  {
    rp::Event event;
    event.set();
    events.set(1, event);
    spares.extend(std::vector{event, rp::Event()});
    space.set("event", event);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(events.get(1).is_set());
    EXPECT_TRUE(spares.get(0).is_set());
    EXPECT_FALSE(spares.get(1).is_set());
    EXPECT_TRUE(space.get<rp::Event>("event").is_set());
  }
  events.get(1).clear();
  EXPECT_FALSE(spares.to_vector()[0].is_set());
  EXPECT_THROW(space.get<int>("event"), rp::TypeMismatch);
  EXPECT_TRUE(space.erase("event"));
  rp::Event last = events.pop(1);
  spares.clear();
  last.set();
  EXPECT_TRUE(last.is_set());
}

using Nested = rp::Dict<std::string, Numbers>;

int nested_sum(Nested outer, int n) {
  outer.update("counts", [n](Numbers& inner) { inner.update("sum", [n](int& sum) { sum += n; }); });
  return outer.get("counts").get("sum");
}
Nested nested_by_task(int) {
  rp::Manager manager;
  auto outer = manager.dict<std::string, Numbers>();
  outer.set("counts", manager.dict<std::string, int>());
  return outer;
}

TEST(Containers, nest_by_reference) {
  rp::Pool pool(3);
  Nested outer = pool.apply(nested_by_task, 0);
  for (const int sum : pool.map(rp::partial(nested_sum, outer), std::vector<int>(20, 2), {.chunksize = 1}))
    EXPECT_LE(sum, 40);
  EXPECT_EQ(outer.get("counts").get("sum"), 40);
  for (auto& [name, inner] : outer.items()) EXPECT_EQ(inner.get("sum"), 40);
  EXPECT_THROW(outer.update("none", [](Numbers&) {}), std::out_of_range);  // there is no empty handle to begin with
  Numbers inner = outer.pop("counts");
  outer.clear();
  EXPECT_EQ(inner.get("sum"), 40);
}

}  // namespace
