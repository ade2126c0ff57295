// The cases of CPython 3.13's _TestContainers (Lib/test/_test_multiprocessing.py), under their names.
//
// On purpose other than there: a list is read by to_vector, which is one moment of it, so nothing changes under an
// iteration; a container has one type of values; whatever else is shared is made by its own constructor.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

namespace rp = rankpool;

namespace {

using Ints = rp::List<int>;
using Counts = rp::Dict<std::string, int>;

class TestContainers : public testing::Test {
 protected:
  Ints list_of(const std::vector<int>& values) {
    auto list = manager.list<int>();
    list.extend(values);
    return list;
  }
  Counts dict_of(const std::map<std::string, int>& values) {
    auto dict = manager.dict<std::string, int>();
    dict.update_all(values);
    return dict;
  }
  rp::Manager manager;
};

std::vector<int> range(int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

TEST_F(TestContainers, test_list) {
  Ints a = list_of(range(10));
  EXPECT_EQ(a.to_vector(), range(10));
  auto b = manager.list<int>();
  EXPECT_EQ(b.to_vector(), std::vector<int>{});
  b.extend(range(5));
  EXPECT_EQ(b.to_vector(), range(5));
  EXPECT_EQ(b.get(2), 2);
  b.extend(b.to_vector());
  EXPECT_EQ(b.to_vector(), (std::vector{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}));
  EXPECT_EQ(a.to_vector(), range(10));

  auto e = manager.list<Ints>();
  e.extend(std::vector{a, b});
  EXPECT_EQ(e.get(0).to_vector(), range(10));
  EXPECT_EQ(e.get(1).size(), 10u);
  auto f = manager.list<Ints>();
  f.append(a);
  a.append(77);
  std::vector<int> expected = range(10);
  expected.push_back(77);
  EXPECT_EQ(f.get(0).to_vector(), expected);
}

TEST_F(TestContainers, test_list_iter) {
  const Ints a = list_of(range(10));
  int sum = 0;
  for (const int one : a.to_vector()) sum += one;
  EXPECT_EQ(sum, 45);
}

TEST_F(TestContainers, test_list_proxy_in_list) {
  std::optional<rp::List<Ints>> a = manager.list<Ints>();
  a->extend(std::vector{list_of(range(3)), list_of(range(3)), list_of(range(3)), list_of(range(3))});
  for (Ints& inner : a->to_vector()) EXPECT_EQ(inner.to_vector(), range(3));
  a->get(0).set(-1, 55);
  EXPECT_EQ(a->get(0).to_vector(), (std::vector{0, 1, 55}));
  for (int i = 1; i < 4; ++i) EXPECT_EQ(a->get(i).to_vector(), range(3));
  EXPECT_EQ(a->get(1).pop(), 2);
  EXPECT_EQ(a->get(1).size(), 2u);
  for (int i : {0, 2, 3}) EXPECT_EQ(a->get(i).size(), 3u);
  const Ints inner = a->get(3);
  a.reset();
  EXPECT_EQ(inner.to_vector(), range(3));
}

TEST_F(TestContainers, test_dict) {
  auto d = manager.dict<int, char>();
  std::vector<std::pair<int, char>> expected;
  for (int i = 65; i < 70; ++i) {
    d.set(i, static_cast<char>(i));
    expected.emplace_back(i, static_cast<char>(i));
  }
  EXPECT_EQ(d.items(), expected);
  EXPECT_EQ(d.keys(), (std::vector{65, 66, 67, 68, 69}));
  EXPECT_EQ(d.values(), (std::vector{'A', 'B', 'C', 'D', 'E'}));
}

TEST_F(TestContainers, test_dict_iter) {
  const Counts d = dict_of({{"a", 1}, {"b", 2}});
  std::vector<std::string> keys;
  for (const auto& [key, value] : d.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "b"}));
}

TEST_F(TestContainers, test_dict_proxy_nested) {
  std::optional<Counts> pets = dict_of({{"ferrets", 2}, {"hamsters", 4}});
  std::optional<Counts> supplies = dict_of({{"feed", 3}, {"water", 10}});
  auto d = manager.dict<std::string, Counts>();
  d.set("pets", *pets);
  d.set("supplies", *supplies);
  EXPECT_EQ(supplies->get("water"), 10);
  EXPECT_EQ(d.get("supplies").get("water"), 10);
  d.get("supplies").set("blankets", 5);
  EXPECT_EQ(supplies->get("blankets"), 5);
  EXPECT_EQ(d.get("supplies").get("blankets"), 5);
  d.get("supplies").set("water", 7);
  EXPECT_EQ(supplies->get("water"), 7);
  pets.reset();
  supplies.reset();
  EXPECT_EQ(d.get("pets").get("ferrets"), 2);
  d.get("supplies").set("blankets", 11);
  EXPECT_EQ(d.get("supplies").get("blankets"), 11);

  auto outer = manager.list<rp::Dict<std::string, Counts>>();
  outer.append(d);
  outer.get(0).get("pets").set("hamsters", 9);
  EXPECT_EQ(d.get("pets").get("hamsters"), 9);
}

TEST_F(TestContainers, test_nested_queue) {
  auto a = manager.list<rp::Queue<int>>();
  a.append(rp::Queue<int>());
  a.get(0).put(123);
  EXPECT_EQ(a.get(0).get(), 123);
  auto b = manager.dict<int, rp::Queue<int>>();
  b.set(0, rp::Queue<int>());
  b.get(0).put(456);
  EXPECT_EQ(b.get(0).get(), 456);
}

TEST_F(TestContainers, test_namespace) {
  rp::Space n = manager.space();
  n.set("name", "Bob");
  n.set("job", "Builder");
  n.set("age", 47);
  EXPECT_EQ(n.get<std::string>("name"), "Bob");
  EXPECT_TRUE(n.contains("job"));
  n.erase("job");
  EXPECT_FALSE(n.contains("job"));
  EXPECT_EQ(n.get<int>("age"), 47);
}

}  // namespace
