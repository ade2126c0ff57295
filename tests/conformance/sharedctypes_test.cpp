// CPython's tests of shared values and arrays (test/_test_multiprocessing.py), as far as rankpool means the same.
#include <rankpool/rankpool.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

namespace rp = rankpool;

namespace {

template <class T>
std::vector<T> content(const rp::Array<T>& array) {
  std::vector<T> all(array.size());
  array.read(all);
  return all;
}

using Values = std::tuple<rp::Value<int>, rp::Value<double>, rp::Value<short>, rp::Value<long long>, rp::Value<char>>;

void set_all(const Values& values) {
  std::get<0>(values).store(10);
  std::get<1>(values).store(3.25);
  std::get<2>(values).store(-232);
  std::get<3>(values).store(2LL << 33);
  std::get<4>(values).store('y');
}

TEST(TestValue, test_value) {
  rp::Pool pool(1);
  const Values values{rp::Value<int>(4343), rp::Value<double>(5.5), rp::Value<short>(-1),
                      rp::Value<long long>(1LL << 33), rp::Value<char>('x')};
  EXPECT_EQ(std::get<0>(values).load(), 4343);
  EXPECT_EQ(std::get<3>(values).load(), 1LL << 33);
  pool.apply(set_all, values);
  EXPECT_EQ(std::get<0>(values).load(), 10);
  EXPECT_EQ(std::get<1>(values).load(), 3.25);
  EXPECT_EQ(std::get<2>(values).load(), -232);
  EXPECT_EQ(std::get<3>(values).load(), 2LL << 33);
  EXPECT_EQ(std::get<4>(values).load(), 'y');
}

TEST(TestValue, test_getobj_getlock) {
  rp::Value<int> value(5);
  rp::RLock lock = value.get_lock();
  const std::scoped_lock guard(lock);
  EXPECT_TRUE(value.get_lock().locked());
  EXPECT_EQ(value.load(), 5);
}

void sum_up(const rp::Array<int>& sequence) {
  for (std::size_t i = 1; i < sequence.size(); ++i) sequence.set(i, sequence.get(i) + sequence.get(i - 1));
}

TEST(TestArray, test_array) {
  rp::Pool pool(1);
  std::vector<int> sequence{680, 626, 934, 821, 150, 233, 548, 982, 714, 831};
  const rp::Array<int> array(sequence);
  EXPECT_EQ(array.size(), sequence.size());
  EXPECT_EQ(array.get(3), sequence[3]);
  std::vector<int> slice(5);
  array.read(slice, 2);
  EXPECT_EQ(slice, std::vector<int>(sequence.begin() + 2, sequence.begin() + 7));

  const std::vector<int> four{1, 2, 3, 4};
  array.write(four, 4);
  std::copy(four.begin(), four.end(), sequence.begin() + 4);
  EXPECT_EQ(content(array), sequence);

  pool.apply(sum_up, array);
  for (std::size_t i = 1; i < sequence.size(); ++i) sequence[i] += sequence[i - 1];
  EXPECT_EQ(content(array), sequence);
}

TEST(TestArray, test_array_from_size) {
  constexpr std::size_t size = 10;
  for (int round = 0; round < 3; ++round) {  // the memory is used again
    const rp::Array<int> array(size);
    EXPECT_EQ(array.size(), size);
    EXPECT_EQ(content(array), std::vector<int>(size, 0));
    std::vector<int> counted(size);
    for (std::size_t i = 0; i < size; ++i) counted[i] = static_cast<int>(i);
    array.write(counted);
    EXPECT_EQ(content(array), counted);
  }
}

TEST(TestArray, test_getobj_getlock_obj) {
  rp::Array<int> array(10);
  rp::RLock lock = array.get_lock();
  const std::scoped_lock guard(lock);
  EXPECT_TRUE(array.get_lock().locked());
}

struct Foo {
  int x;
  double y;
  long long z;
};
using Shared = std::tuple<rp::Value<int>, rp::Value<double>, rp::Value<Foo>, rp::Array<double>, rp::Array<char>>;

void double_all(const Shared& shared) {
  const auto& [x, y, foo, array, string] = shared;
  x.store(x.load() * 2);
  y.store(y.load() * 2);
  const Foo now = foo.load();
  foo.store({now.x * 2, now.y * 2, now.z * 2});
  for (std::size_t i = 0; i < array.size(); ++i) array.set(i, array.get(i) * 2);
  const std::string text(2 * 5, '!');
  string.write(std::string("hello") + text);
}

TEST(TestSharedCTypes, test_sharedctypes) {
  rp::Pool pool(1);
  std::vector<double> numbers;
  for (int i = 0; i < 10; ++i) numbers.push_back(i);
  const Shared shared{rp::Value<int>(7), rp::Value<double>(1.0 / 3.0), rp::Value<Foo>({3, 2, 1LL << 33}),
                      rp::Array<double>(numbers), rp::Array<char>(20)};
  std::get<4>(shared).write(std::string("hello"));
  pool.apply(double_all, shared);
  const auto& [x, y, foo, array, string] = shared;
  EXPECT_EQ(x.load(), 14);
  EXPECT_DOUBLE_EQ(y.load(), 2.0 / 3.0);
  EXPECT_EQ(foo.load().x, 6);
  EXPECT_EQ(foo.load().y, 4);
  EXPECT_EQ(foo.load().z, 1LL << 34);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(array.get(i), 2.0 * static_cast<double>(i));
  EXPECT_STREQ(content(string).data(), "hello!!!!!!!!!!");
}

TEST(TestSharedCTypes, test_copy) {
  const rp::Value<Foo> foo({2, 5.0, 1LL << 33});
  const rp::Value<Foo> bar(foo.load());  // a copy of the handle would name the same value
  foo.store({0, 0, 0});
  EXPECT_EQ(bar.load().x, 2);
  EXPECT_EQ(bar.load().y, 5.0);
  EXPECT_EQ(bar.load().z, 1LL << 33);
}

}  // namespace
