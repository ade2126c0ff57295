// Which callables can be sent, how tasks call them, and what a dispatcher reports.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/callable.hpp>
#include <rankpool/detail/dispatch.hpp>

#include "../support/shipping_message.hpp"

namespace {

using rankpool::fn;
using rankpool::partial;
using rankpool::SendableCallable;
using rankpool::detail::Buffer;
using rankpool::detail::ItemOf;
using rankpool::detail::Reader;
using rankpool::detail::Result;
using rankpool::detail::Stored;
using rankpool::detail::Task;
using rankpool::test::RecordingSink;

int twice(int x) { return 2 * x; }
int sum(int x, int y) { return x + y; }

struct WithPointer {
  const int* p;
  int operator()(int x) const { return *p + x; }
};
struct WithText {
  std::string text;
  int operator()(int x) const { return x; }
};
struct WithSerialize {
  std::string text;
  int operator()(int x) const { return x; }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& text;
  }
};
struct Method {
  int x = 1;
  int plus(int y) const { return x + y; }
};

// Closures have no layout that the standard promises; this is what the compilers do and what the refusals rest on.
TEST(Callable, WhatClosuresAreMadeOf) {
  int i = 1;
  double d = 2;
  std::array<int, 3> a{};
  std::string s;
  const auto by_value = [i, d, a] { return i + d + a[0]; };
  auto by_reference = [&i] { return i; };
  auto mixed = [i, &d] { return i + d; };
  const auto text = [s] { return s.size(); };
  static_assert(SendableCallable<decltype(by_value)>);
  static_assert(!SendableCallable<decltype(by_reference)> && !SendableCallable<decltype(mixed)>);
  static_assert(!SendableCallable<decltype(text)>);
  static_assert(std::is_trivially_copyable_v<decltype(by_reference)> &&
                !std::is_standard_layout_v<decltype(by_reference)>);
  static_assert(std::is_trivially_copyable_v<decltype(mixed)> && !std::is_standard_layout_v<decltype(mixed)>);
  EXPECT_EQ(by_value(), 3);
  EXPECT_EQ(by_reference() + static_cast<int>(text()), 1);
  EXPECT_EQ(mixed(), 3);
}

TEST(Callable, WhatIsSendable) {
  static_assert(SendableCallable<decltype(twice)> && SendableCallable<decltype(&twice)>);
  static_assert(SendableCallable<decltype(&Method::plus)> && SendableCallable<decltype(&Method::x)>);
  static_assert(SendableCallable<std::plus<>> && SendableCallable<WithSerialize> &&
                SendableCallable<decltype(fn<twice>)>);
  static_assert(!SendableCallable<WithPointer> && !SendableCallable<WithText>);
  static_assert(!SendableCallable<std::function<int(int)>> && !SendableCallable<std::reference_wrapper<Method>>);
  static_assert(!SendableCallable<int> && !SendableCallable<int*>);
  static_assert(SendableCallable<decltype(partial(twice, 1))>);
  static_assert(SendableCallable<decltype(partial(partial(sum, 1), 2))>);
  static_assert(!rankpool::Sendable<rankpool::Partial<int (*)(int*), int*>>);
  static_assert(!rankpool::Sendable<rankpool::Partial<std::function<void()>>>);
}

TEST(Callable, PartialBindsFirstArguments) {
  EXPECT_EQ(partial(sum, 1)(2), 3);
  EXPECT_EQ(partial(sum, 1, 2)(), 3);
  EXPECT_EQ(partial(&Method::plus, Method{5})(2), 7);
  const auto constant = partial([](const std::string& a, const std::string& b) { return a + b; }, "a");
  EXPECT_EQ(constant("b"), "ab");
  auto counter = partial([](int& n) { return ++n; }, 0);
  EXPECT_EQ(counter(), 1);
  EXPECT_EQ(counter(), 2) << "bound arguments are kept from call to call";
}

TEST(Callable, HowArgumentsAreStored) {
  static_assert(std::is_same_v<Stored<const char(&)[3]>, std::string>);
  static_assert(std::is_same_v<Stored<const int&>, int>);
  static_assert(std::is_same_v<Stored<int (&)(int)>, int (*)(int)>);
  static_assert(std::is_same_v<ItemOf<std::map<int, std::string>>, std::pair<int, std::string>>);
  static_assert(std::is_same_v<ItemOf<std::vector<bool>>, bool>);
}

// ---- dispatchers

template <class F, class Item, bool unpack>
class Job {
 public:
  explicit Job(const F& f) {
    Buffer callable;
    rankpool::detail::encode_callable<F, Item, unpack>(callable, f);
    Reader in({callable.data(), callable.size()});
    entry_ = &rankpool::detail::find_entry(in.get<std::uint64_t>());
    callable_ = entry_->load(in);
    EXPECT_EQ(in.remaining(), 0u);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  ~Job() { entry_->destroy(callable_); }

  void add(const Item& item) {
    rankpool::detail::encode_item(items_, item);
    ++count_;
  }
  Buffer& items() { return items_; }
  void run() {
    Reader in({items_.data(), items_.size()});
    entry_->run(callable_, in, count_, sink);
  }
  std::vector<Result<F, Item, unpack>> results() {
    Reader in({sink.results.data(), sink.results.size()});
    std::vector<Result<F, Item, unpack>> all;
    for (std::size_t i = 0; i < sink.values; ++i) {
      all.push_back(rankpool::detail::decode_item<Result<F, Item, unpack>>(in));
    }
    EXPECT_EQ(in.remaining(), 0u);
    return all;
  }
  RecordingSink sink;

 private:
  const rankpool::detail::Entry* entry_;
  void* callable_;
  Buffer items_;
  std::uint64_t count_ = 0;
};

template <class Item, bool unpack = false, class F>
auto run(F f, std::vector<Item> items) {
  Job<F, Item, unpack> job(f);
  for (const Item& item : items) job.add(item);
  job.run();
  EXPECT_EQ(job.sink.values, items.size());
  EXPECT_TRUE(job.sink.errors.empty());
  return job.results();
}

TEST(Dispatcher, RunsEveryTask) {
  EXPECT_EQ(run(&twice, std::vector{1, 2, 3}), (std::vector{2, 4, 6}));
  EXPECT_EQ(run([](std::string s) { return s + "!"; }, std::vector<std::string>{"a", "", "c"}),
            (std::vector<std::string>{"a!", "!", "c!"}));
  EXPECT_EQ((run<std::pair<int, int>, true>(&sum, {{1, 2}, {3, 4}})), (std::vector{3, 7}));
  EXPECT_EQ((run<std::array<int, 2>, true>(&sum, {{1, 2}})), (std::vector{3}));
}

TEST(Dispatcher, VoidResultsTakeNoBytes) {
  static int calls = 0;
  const auto f = [](int) { ++calls; };
  Job<std::decay_t<decltype(f)>, int, false> job(f);
  for (int i = 0; i < 5; ++i) job.add(i);
  job.run();
  EXPECT_EQ(calls, 5);
  EXPECT_EQ(job.sink.values, 5u);
  EXPECT_EQ(job.sink.results.size(), 0u);
}

TEST(Dispatcher, ItemsAreGivenAsTheFunctionTakesThem) {
  using Item = std::vector<int>;
  const std::vector<Item> items{{1, 2}};
  EXPECT_EQ(run([](Item v) { return v.size(); }, items), (std::vector<std::size_t>{2}));
  EXPECT_EQ(run([](const Item& v) { return v.size(); }, items), (std::vector<std::size_t>{2}));
  EXPECT_EQ(run([](Item&& v) { return v.size(); }, items), (std::vector<std::size_t>{2}));
  EXPECT_EQ(run(
                [](Item& v) {
                  v.push_back(3);
                  return v.size();
                },
                items),
            (std::vector<std::size_t>{3}));
  EXPECT_EQ(
      (run<std::tuple<Item, int>, true>([](Item& v, int& i) { return static_cast<int>(v.size()) + i; }, {{{1}, 1}})),
      (std::vector{2}));
}

TEST(Dispatcher, TheCallableIsKeptFromTaskToTask) {
  EXPECT_EQ(run([calls = 0](int) mutable { return ++calls; }, std::vector{0, 0, 0}), (std::vector{1, 2, 3}));
}

struct ThrowsHalfWay {
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& value;
    if (Archive::is_saving::value && value == 2) throw std::runtime_error("half-way");
  }
};

TEST(Dispatcher, ErrorsSayWhatWasBeingDone) {
  using Stage = rankpool::detail::TaskSink::Stage;
  const auto f = [](const std::string& text) {
    if (text == "bad") throw std::invalid_argument("bad text");
    return ThrowsHalfWay{text == "half" ? 2 : 1};
  };
  Job<std::decay_t<decltype(f)>, std::string, false> job(f);
  for (const char* text : {"good", "bad", "damaged", "half", "good"}) {
    const std::size_t at = job.items().size();
    job.add(text);
    if (text == std::string("damaged")) job.items().data()[at + 8] = std::byte{99};
  }
  job.run();
  EXPECT_EQ(job.sink.values, 2u) << "one bad task does not cost the others";
  EXPECT_EQ(job.results().size(), 2u) << "and leaves no bytes behind";
  ASSERT_EQ(job.sink.errors.size(), 3u);
  EXPECT_EQ(job.sink.errors[0].stage, Stage::call);
  EXPECT_EQ(job.sink.errors[0].type_name, "std::invalid_argument");
  EXPECT_EQ(job.sink.errors[1].stage, Stage::decode_arguments);
  EXPECT_EQ(job.sink.errors[1].type_name, "rankpool::SerializationError");
  EXPECT_EQ(job.sink.errors[2].stage, Stage::encode_result);
  EXPECT_EQ(job.sink.errors[2].what, "half-way");
}

TEST(Dispatcher, MissingItemsAreErrorsOfTheirTasks) {
  Job<int (*)(int), int, false> job(&twice);
  job.add(1);
  job.add(2);
  job.items().truncate(sizeof(int));
  job.run();
  EXPECT_EQ(job.sink.values, 1u);
  EXPECT_EQ(job.sink.errors.size(), 1u);
}

TEST(Dispatcher, WhatTheSinkThrowsIsNoErrorOfATask) {
  struct Broken final : rankpool::detail::TaskSink {
    Buffer* begin() override { return &buffer; }
    void value() override { throw std::runtime_error("the link is gone"); }
    void error(Stage, std::string) override { ++errors; }
    Buffer buffer;
    int errors = 0;
  } sink;
  Buffer items;
  rankpool::detail::encode_item(items, 1);
  Reader in({items.data(), items.size()});
  auto f = &twice;
  EXPECT_THROW((rankpool::detail::Dispatcher<int (*)(int), int, false>::run(&f, in, 1, sink)), std::runtime_error);
  EXPECT_EQ(sink.errors, 0);
}

TEST(Dispatcher, Tasks) {
  static_assert(Task<int (*)(int), int, false>);
  static_assert(!Task<int (*)(int), std::string, false>);
  static_assert(!Task<int (*)(int), int*, false>);
  static_assert(Task<int (*)(int, int), std::pair<int, int>, true>);
  static_assert(!Task<int (*)(int, int), std::pair<int, int>, false>);
  static_assert(!Task<int (*)(int, int), int, true>);
  static_assert(Task<void (*)(), std::tuple<>, true>);
  static_assert(!Task<const char* (*)(int), int, false>);
  static_assert(!Task<std::unique_ptr<int> (*)(int), int, false>);
  static_assert(std::is_same_v<Result<const std::string& (*)(int), int, false>, std::string>);
}

// ---- the registry

TEST(Registry, EveryDispatcherHasItsOwnHandle) {
  const auto handle = [](auto f) {
    Buffer callable;
    rankpool::detail::encode_callable<decltype(f), int, false>(callable, f);
    return Reader({callable.data(), callable.size()}).get<std::uint64_t>();
  };
  const auto one = [](int x) { return x + 1; };
  const auto two = [](int x) { return x + 2; };
  EXPECT_NE(handle(one), handle(two));
  EXPECT_EQ(handle(one), handle(one));
  EXPECT_NE(handle(&twice), handle(one));
}

TEST(Registry, AnUnknownHandleIsExplained) {
  try {
    rankpool::detail::find_entry(0x1234);
    ADD_FAILURE();
  } catch (const rankpool::UnknownFunction& error) {
    EXPECT_NE(std::string(error.what()).find("0x1234"), std::string::npos) << error.what();
  }
}

TEST(Registry, AnEntryOfAnUnloadedLibraryIsForgotten) {
  using D = rankpool::detail::Dispatcher<int (*)(int), int, false>;
  rankpool::detail::Entry entry{
      .load = &D::load, .destroy = &D::destroy, .run = &D::run, .callable = &typeid(int), .handle = 4711};
  {
    const rankpool::detail::Registration registration(entry);
    EXPECT_EQ(&rankpool::detail::find_entry(4711), &entry);
  }
  EXPECT_THROW(rankpool::detail::find_entry(4711), rankpool::UnknownFunction);
}

}  // namespace
