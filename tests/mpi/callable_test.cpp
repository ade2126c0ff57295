// Everything that can be called in a worker.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Failure;

int callable_test_global(int x) { return x + 1; }
static int callable_test_static(int x) { return x + 2; }

namespace {

int in_no_name(int x) { return x + 3; }
template <int n>
int times(int x) {
  return x * n;
}
int doubled(int x) noexcept { return 2 * x; }
int negated(int x) { return -x; }

struct Account {
  int balance = 0;
  int owner = 0;

  int with_interest(int percent) const { return balance + balance * percent / 100; }
  int own() const noexcept { return owner; }
  int pay_in(int amount) { return balance += amount; }
  static int fee(int amount) { return amount / 10; }
};

struct Shape {
  virtual ~Shape() = default;
  virtual std::string name() const { return "shape"; }
  std::string label;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& label;
  }
};
struct Circle : Shape {
  std::string name() const override { return "circle " + label; }
};

/// A functor whose data is more than bytes.
class Lookup {
 public:
  Lookup() = default;
  explicit Lookup(std::vector<std::string> words) : words_(std::move(words)) {}
  std::string operator()(std::size_t i) const { return words_.at(i); }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& words_;
  }
  std::vector<std::string> words_;
};

struct Polynomial {
  std::array<double, 3> coefficients;
  double operator()(double x) const { return coefficients[0] + x * (coefficients[1] + x * coefficients[2]); }
};

/// Only its lvalues can be called.
struct Counter {
  int calls = 0;
  int operator()(int) { return ++calls; }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

class Callables : public testing::Test {
 protected:
  std::vector<int> map(auto f) { return pool.map(f, input); }

  rp::Pool pool{2};
  const std::vector<int> input{1, 2, 3};
};

using Numbers = std::vector<int>;

}  // namespace

TEST_F(Callables, functions) {
  EXPECT_EQ(pool.map(callable_test_global, input), (Numbers{2, 3, 4}));
  EXPECT_EQ(pool.map(&callable_test_global, input), (Numbers{2, 3, 4}));
  EXPECT_EQ(pool.map(callable_test_static, input), (Numbers{3, 4, 5}));
  EXPECT_EQ(pool.map(in_no_name, input), (Numbers{4, 5, 6}));
  EXPECT_EQ(pool.map(times<5>, input), (Numbers{5, 10, 15}));
  EXPECT_EQ(pool.map(doubled, input), (Numbers{2, 4, 6}));
  EXPECT_EQ(pool.map(Account::fee, Numbers{10, 20}), (Numbers{1, 2}));
}

TEST_F(Callables, function_pointers_chosen_at_run_time) {
  const std::array<int (*)(int), 5> functions{callable_test_global, in_no_name, times<7>, doubled, negated};
  const std::array<Numbers, 5> expected{{{2, 3, 4}, {4, 5, 6}, {7, 14, 21}, {2, 4, 6}, {-1, -2, -3}}};
  for (std::size_t i = 0; i < functions.size(); ++i)
    EXPECT_EQ(pool.map(functions[i], input), expected[i]) << "function " << i;
}

TEST_F(Callables, function_pointers_as_data) {
  const std::vector<int (*)(int)> functions{doubled, negated, in_no_name};
  EXPECT_EQ(pool.map([](int (*f)(int)) { return f(10); }, functions), (Numbers{20, -10, 13}));
  int (*const back)(int) = pool.apply([](int i) { return i > 0 ? &negated : &in_no_name; }, 1);
  EXPECT_EQ(back(5), -5) << "a pointer that a worker returns is one here too";
}

TEST_F(Callables, null_is_refused_here) {
  int (*const null)(int) = nullptr;
  const Failure failure([&] { pool.map(null, input); });
  EXPECT_TRUE(failure.is<rp::UnknownFunction>()) << failure;
  EXPECT_EQ(pool.map(doubled, input), (Numbers{2, 4, 6})) << "the pool goes on";
}

TEST_F(Callables, functions_that_are_part_of_a_type) {
  EXPECT_EQ(pool.map(rp::fn<doubled>, input), (Numbers{2, 4, 6}));
  const auto roots = pool.map(rp::fn<static_cast<double (*)(double)>(std::sqrt)>, std::vector<double>{4, 9});
  EXPECT_EQ(roots, (std::vector<double>{2, 3}));
  EXPECT_EQ(pool.map(rp::fn<&Account::own>, std::vector<Account>{{1, 7}, {2, 8}}), (Numbers{7, 8}));
}

TEST_F(Callables, lambdas_without_captures) {
  EXPECT_EQ(map([](int i) { return 3 * i; }), (Numbers{3, 6, 9}));
  EXPECT_EQ(map([](auto i) { return i + i; }), (Numbers{2, 4, 6}));
  EXPECT_EQ(map([](int i) noexcept { return i; }), input);
  EXPECT_EQ(map([calls = 0](int i) mutable { return ++calls > 0 ? i : 0; }), input);
}

TEST_F(Callables, lambdas_with_captures) {
  for (int factor = 0; factor < 4; ++factor)
    EXPECT_EQ(map([factor](int i) { return factor * i; }), (Numbers{factor, 2 * factor, 3 * factor}));
  const std::array<int, 4> table{10, 20, 30, 40};
  const Account account{100, 1};
  EXPECT_EQ(map([=](int i) { return table[static_cast<std::size_t>(i)] + account.balance; }), (Numbers{120, 130, 140}));
}

TEST_F(Callables, two_lambdas_of_one_line_are_told_apart) {
  const auto first = [](int i) { return i + 100; };
  const auto second = [](int i) { return i + 200; };
  EXPECT_EQ(pool.map(first, input), (Numbers{101, 102, 103}));
  EXPECT_EQ(pool.map(second, input), (Numbers{201, 202, 203}));
}

TEST_F(Callables, members) {
  const std::vector<Account> accounts{{100, 7}, {200, 8}};
  EXPECT_EQ(pool.map(&Account::own, accounts), (Numbers{7, 8}));
  EXPECT_EQ(pool.map(&Account::balance, accounts), (Numbers{100, 200}));
  const std::vector<std::pair<Account, int>> payments{{{100, 7}, 10}, {{200, 8}, 20}};
  EXPECT_EQ(pool.starmap(&Account::with_interest, payments), (Numbers{110, 240}));
  EXPECT_EQ(pool.starmap(&Account::pay_in, payments), (Numbers{110, 220}));
  EXPECT_EQ(pool.apply(&Account::with_interest, Account{50, 1}, 10), 55);
  Circle circle;
  circle.label = "c";
  EXPECT_EQ(pool.map(&Shape::name, std::vector<Circle>(2, circle)), (std::vector<std::string>(2, "circle c")))
      << "a virtual one";
}

TEST_F(Callables, functors) {
  EXPECT_EQ(pool.map(Polynomial{{1, 2, 3}}, std::vector<double>{0, 1, 2}), (std::vector<double>{1, 6, 17}));
  EXPECT_EQ(pool.map(std::negate<int>(), input), (Numbers{-1, -2, -3}));
  EXPECT_EQ(pool.starmap(std::plus<>(), std::vector<std::pair<int, int>>{{1, 2}, {3, 4}}), (Numbers{3, 7}));
  const Lookup lookup({"zero", "one", std::string(3000, 'x')});
  EXPECT_EQ(pool.map(lookup, std::vector<std::size_t>{2, 0}),
            (std::vector<std::string>{std::string(3000, 'x'), "zero"}));
  rp::Pool single(1);
  EXPECT_EQ(single.map(Counter(), input, {.chunksize = 1}), (Numbers{1, 2, 3}))
      << "a worker keeps the functor for the job";
  EXPECT_EQ(single.map(Counter(), input), (Numbers{1, 2, 3})) << "and only for that";
}

TEST_F(Callables, partial) {
  const std::vector<double> weights{1, 10, 100};
  EXPECT_EQ(pool.map(rp::partial(dot, weights), std::vector<std::vector<double>>{{1, 2, 3}, {0, 0, 1}}),
            (std::vector<double>{321, 100}));
  const auto greet = [](const std::string& greeting, const std::string& name, int times) {
    return greeting + " " + name + std::string(static_cast<std::size_t>(times), '!');
  };
  const std::vector<std::pair<std::string, int>> names{{"Ada", 1}, {"Alan", 2}};
  EXPECT_EQ(pool.starmap(rp::partial(greet, "hello"), names), (std::vector<std::string>{"hello Ada!", "hello Alan!!"}));
  EXPECT_EQ(pool.map(rp::partial(rp::partial(greet, "hi"), "Grace"), Numbers{0, 3}),
            (std::vector<std::string>{"hi Grace", "hi Grace!!!"}));
  EXPECT_EQ(pool.map(rp::partial(&Account::with_interest, Account{200, 1}), Numbers{5, 50}), (Numbers{210, 300}));
  EXPECT_EQ(pool.map(rp::partial(std::plus<>(), 40), Numbers{2, 3}), (Numbers{42, 43}));
  EXPECT_EQ(pool.apply(rp::partial(greet, "hey", "you", 1)), "hey you!");
  const int captured = 3;
  EXPECT_EQ(pool.map(rp::partial([captured](const std::vector<int>& v, int i) { return v.back() * captured + i; },
                                 Numbers{1, 2}),
                     input),
            (Numbers{7, 8, 9}));
}

TEST_F(Callables, bound_arguments_last_from_task_to_task) {
  rp::Pool single(1);
  const auto sum_so_far = [](std::vector<int>& seen, int i) {
    seen.push_back(i);
    return std::accumulate(seen.begin(), seen.end(), 0);
  };
  EXPECT_EQ(single.map(rp::partial(sum_so_far, Numbers{10}), input), (Numbers{11, 13, 16}));
}

TEST_F(Callables, local_types_and_generic_calls) {
  struct Local {
    int value;
    int operator()(int x) const { return x - value; }
  };
  EXPECT_EQ(pool.map(Local{1}, input), (Numbers{0, 1, 2}));
  const auto sum = [](auto... values) { return (values + ...); };
  EXPECT_EQ(pool.apply(sum, 1, 2, 3, 4), 10);
  EXPECT_EQ(pool.starmap(sum, std::vector<std::tuple<int, double>>{{1, 0.5}}), (std::vector<double>{1.5}));
}
