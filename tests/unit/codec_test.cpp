// Values of every kind become bytes and come back equal; damaged bytes are refused before memory is asked for.
#include <gtest/gtest.h>

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <rankpool/detail/codec.hpp>
#include <rankpool/errors.hpp>

namespace {

using rankpool::Sendable;
using rankpool::SerializationError;
using rankpool::detail::Buffer;
using rankpool::detail::Codec;
using rankpool::detail::Reader;

std::span<const std::byte> bytes_of(const Buffer& buffer) { return {buffer.data(), buffer.size()}; }

/// Through the codec, and as an item between two others.
template <class T>
T round_trip(const T& value) {
  static_assert(Sendable<T>);
  Buffer out;
  Codec<T>::encode(out, value);
  Reader in(bytes_of(out));
  T back = Codec<T>::decode(in);
  EXPECT_EQ(in.remaining(), 0u);

  Buffer items;
  for (int i = 0; i < 3; ++i) rankpool::detail::encode_item(items, value);
  Reader rest(bytes_of(items));
  for (int i = 0; i < 3; ++i) {
    const std::size_t before = rest.remaining();
    T item = rankpool::detail::decode_item<T>(rest);
    EXPECT_EQ(before - rest.remaining(), out.size() + (rankpool::detail::item_bytes<T>() == 0 ? 8 : 0));
    EXPECT_TRUE(item == value);
  }
  EXPECT_EQ(rest.remaining(), 0u);
  return back;
}
template <class T>
void expect_round_trip(const T& value) {
  EXPECT_TRUE(round_trip(value) == value) << typeid(T).name();
}

enum class Colour : std::uint64_t { red = 1, blue = std::numeric_limits<std::uint64_t>::max() };
struct Point {
  double x;
  int y;
  bool operator==(const Point&) const = default;
};
struct Segment {
  Point from, to;
  std::array<char, 8> name;
  bool operator==(const Segment&) const = default;
};
class NoDefault {  // raw, but not to be made from nothing
 public:
  explicit NoDefault(int value) : value_(value) {}
  auto operator<=>(const NoDefault&) const = default;

 private:
  int value_;
};
class Named {  // private serialize
 public:
  Named() = default;
  Named(int number, std::string name) : number_(number), name_(std::move(name)) {}
  auto operator<=>(const Named&) const = default;

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number_& name_;
  }
  int number_ = 0;
  std::string name_;
};
struct Nothing {  // its serialize writes no byte
  template <class Archive>
  void serialize(Archive&, unsigned) {}
  bool operator==(const Nothing&) const = default;
};
struct Node {
  int value = 0;
  std::vector<Node> children;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& value& children;
  }
  bool operator==(const Node&) const = default;
};
struct Greedy {  // reads more than it writes
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& value;
    if constexpr (Archive::is_loading::value) archive& value;
  }
};
struct Frugal {  // reads less than it writes
  int value = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& value;
    if constexpr (Archive::is_saving::value) archive& value;
  }
};
struct NoSerialize {
  std::vector<int> data;
};
struct Pointing {
  int number;
  const int* pointer;
};

/// Like a handle of rankpool: knows by itself how to travel, and cannot be copied.
struct Handle {
  explicit Handle(int i) : id(i) {}
  Handle(Handle&&) = default;
  Handle& operator=(Handle&&) = default;
  int id;
};

}  // namespace

template <>
struct rankpool::detail::Codec<Handle> {
  static constexpr bool raw = false;
  static void encode(Buffer& out, const Handle& handle) { out.append(&handle.id, sizeof handle.id); }
  static Handle decode(Reader& in) { return Handle(in.get<int>()); }
};

namespace {

TEST(Codec, RawTypes) {
  expect_round_trip(42);
  expect_round_trip(-1L);
  expect_round_trip(3.25);
  expect_round_trip(3.25L);
  expect_round_trip('x');
  expect_round_trip(true);
  expect_round_trip(false);
  expect_round_trip(std::byte{7});
  expect_round_trip(Colour::blue);
  expect_round_trip(Point{1.5, 2});
  expect_round_trip(Segment{{1, 2}, {3, 4}, {"segment"}});
  expect_round_trip(NoDefault(3));
  expect_round_trip(std::complex<double>(1, 2));
  expect_round_trip(std::bitset<70>("1011"));
  expect_round_trip(std::chrono::milliseconds(5));
  expect_round_trip(std::array<Point, 3>{Point{1, 2}, Point{3, 4}, Point{5, 6}});
  expect_round_trip(std::monostate{});
  EXPECT_EQ(rankpool::detail::item_bytes<Point>(), sizeof(Point));
  EXPECT_EQ(rankpool::detail::item_bytes<bool>(), 1u);
  EXPECT_EQ(rankpool::detail::item_bytes<std::string>(), 0u);
  EXPECT_EQ(rankpool::detail::item_bytes<void>(), 0u);
}

TEST(Codec, Text) {
  expect_round_trip(std::string());
  expect_round_trip(std::string("zero \0 inside", 13));
  expect_round_trip(std::string(1'000'000, 'x'));
  expect_round_trip(std::wstring(L"wide"));
  expect_round_trip(std::u16string(u"sixteen"));
}

TEST(Codec, Sequences) {
  expect_round_trip(std::vector<int>());
  expect_round_trip(std::vector<double>(100'000, 1.5));
  expect_round_trip(std::vector<NoDefault>{NoDefault(1), NoDefault(2)});
  expect_round_trip(std::vector<std::string>{"a", "", "c"});
  expect_round_trip(std::vector<std::vector<std::vector<int>>>{{{1}, {}}, {}, {{2, 3}}});
  expect_round_trip(std::deque<int>{1, 2, 3});
  expect_round_trip(std::list<std::string>{"a", "b"});
  expect_round_trip(std::array<std::string, 2>{"a", "b"});
  expect_round_trip(std::vector<std::pair<NoDefault, std::string>>{{NoDefault(1), "x"}});
  expect_round_trip(std::array<std::pair<NoDefault, int>, 2>{std::pair{NoDefault(1), 1}, std::pair{NoDefault(2), 2}});
}

TEST(Codec, VectorOfBool) {
  for (std::size_t size : {0u, 1u, 7u, 8u, 9u, 64u, 1001u}) {
    std::vector<bool> bits(size);
    for (std::size_t i = 0; i < size; ++i) bits[i] = i % 3 == 0;
    expect_round_trip(bits);
  }
  expect_round_trip(std::vector<std::vector<bool>>{{true}, {}, {false, true}});
}

TEST(Codec, SetsAndMaps) {
  expect_round_trip(std::set<int>{3, 1, 2});
  expect_round_trip(std::multiset<std::string>{"a", "a", "b"});
  expect_round_trip(std::unordered_set<int>{1, 2, 3});
  expect_round_trip(std::unordered_multiset<int>{1, 1, 3});
  expect_round_trip(std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
  expect_round_trip(std::multimap<int, int>{{1, 1}, {1, 2}, {2, 3}});
  expect_round_trip(std::unordered_map<std::string, double>{{"a", 1}, {"b", 2}});
  expect_round_trip(std::unordered_multimap<int, std::string>{{1, "a"}, {1, "b"}});
  expect_round_trip(std::map<int, NoDefault>{{1, NoDefault(1)}, {2, NoDefault(2)}});
  expect_round_trip(std::set<int, std::greater<>>{3, 1, 2});
  const std::multimap<int, int> in_order{{1, 3}, {1, 1}, {1, 2}};
  EXPECT_EQ(round_trip(in_order).begin()->second, 3) << "equal keys keep their order";
}

TEST(Codec, PairsTuplesOptionalsVariants) {
  expect_round_trip(std::pair<int, std::string>{1, "x"});
  expect_round_trip(std::tuple<>());
  expect_round_trip(std::tuple<int, std::string, std::vector<double>>{1, "x", {2, 3}});
  expect_round_trip(std::tuple<NoDefault, int>{NoDefault(1), 2});
  expect_round_trip(std::optional<std::string>());
  expect_round_trip(std::optional<std::string>("x"));
  expect_round_trip(std::optional<NoDefault>(NoDefault(4)));
  expect_round_trip(std::optional<std::optional<int>>(std::in_place));
  using Variant = std::variant<int, std::string, std::vector<Named>>;
  expect_round_trip(Variant(1));
  expect_round_trip(Variant("text"));
  expect_round_trip(Variant(std::vector<Named>{{1, "a"}, {2, "b"}}));
  expect_round_trip(std::variant<NoDefault, int>(5));
}

TEST(Codec, TypesWithSerialize) {
  expect_round_trip(Named(1, "one"));
  expect_round_trip(std::vector<Named>{{1, "a"}, {2, "b"}});
  expect_round_trip(std::map<Named, std::optional<Named>>{{{1, "a"}, Named{2, "b"}}, {{3, "c"}, {}}});
  expect_round_trip(Node{1, {Node{2, {}}, Node{3, {Node{4, {}}}}}});
  expect_round_trip(std::vector<Nothing>(1000));
  EXPECT_FALSE(Codec<Named>::raw);
}

TEST(Codec, FunctionPointersAsValues) {
  int (*const function)(int) = [](int x) { return x + 1; };
  EXPECT_EQ(round_trip(function)(1), 2);
  EXPECT_EQ(round_trip(static_cast<int (*)(int)>(nullptr)), nullptr);
  EXPECT_EQ(round_trip(std::vector<int (*)(int)>{function, function})[1](1), 2);
}

TEST(Codec, MoveOnlyHandlesInsideOtherTypes) {
  Buffer out;
  std::tuple<int, Handle, std::optional<Handle>> value{1, Handle(2), Handle(3)};
  Codec<decltype(value)>::encode(out, value);
  Reader in(bytes_of(out));
  const auto back = Codec<decltype(value)>::decode(in);
  EXPECT_EQ(std::get<1>(back).id, 2);
  EXPECT_EQ(std::get<2>(back)->id, 3);
  static_assert(Sendable<Handle> && Sendable<std::vector<Handle>> && Sendable<std::pair<Handle, std::string>>);
}

TEST(Codec, WhatIsSendable) {
  static_assert(Sendable<int> && Sendable<const int&> && Sendable<Point> && Sendable<Named>);
  static_assert(Sendable<std::map<std::string, std::vector<std::optional<Named>>>>);
  static_assert(!Sendable<NoSerialize> && !Sendable<std::vector<NoSerialize>> && !Sendable<std::optional<NoSerialize>>);
  static_assert(!Sendable<std::map<int, NoSerialize>> && !Sendable<std::variant<int, NoSerialize>>);
  static_assert(!Sendable<std::tuple<int, NoSerialize>> && !Sendable<std::array<NoSerialize, 2>>);
  static_assert(!Sendable<int*> && !Sendable<const char*> && !Sendable<std::vector<int*>> &&
                !Sendable<std::optional<int*>>);
  static_assert(!Sendable<Pointing> && !Sendable<std::vector<Pointing>> && !Sendable<std::array<Pointing, 3>>);
  static_assert(!Sendable<std::unique_ptr<int>> && !Sendable<std::shared_ptr<int>>);
  static_assert(!Sendable<std::string_view> && !Sendable<std::span<int>> && !Sendable<std::reference_wrapper<int>>);
  static_assert(!Sendable<std::function<void()>> && !Sendable<void> && !Sendable<std::error_code>);
  static_assert(!Sendable<std::tuple<int&>> && !Sendable<std::vector<int>::iterator>);
  static_assert(Codec<Point>::raw && Codec<std::array<Point, 3>>::raw && !Codec<std::optional<int>>::raw);
}

// ---- damage

template <class T>
void expect_refused(const T& value, std::size_t at, std::uint64_t number) {
  Buffer out;
  Codec<T>::encode(out, value);
  ASSERT_LE(at + sizeof number, out.size());
  std::memcpy(out.data() + at, &number, sizeof number);
  Reader in(bytes_of(out));
  EXPECT_THROW(Codec<T>::decode(in), SerializationError) << typeid(T).name() << ' ' << number;
}

TEST(Codec, HostileLengthsAreRefusedBeforeMemoryIsTaken) {
  for (const std::uint64_t number : {std::uint64_t{1} << 20, std::uint64_t{1} << 40, std::uint64_t{1} << 61,
                                     std::numeric_limits<std::uint64_t>::max()}) {
    expect_refused(std::string("text"), 0, number);
    expect_refused(std::u16string(u"text"), 0, number);
    expect_refused(std::vector<double>{1, 2}, 0, number);
    expect_refused(std::vector<bool>{true}, 0, number);
    expect_refused(std::vector<std::string>{"a"}, 0, number);
    expect_refused(std::vector<std::string>{"a"}, 8, number);
    expect_refused(std::vector<Named>{{1, "a"}}, 0, number);
    expect_refused(std::vector<Nothing>(3), 0, number);
    expect_refused(std::vector<NoDefault>{NoDefault(1)}, 0, number);
    expect_refused(std::deque<int>{1}, 0, number);
    expect_refused(std::unordered_set<int>{1}, 0, number);
    expect_refused(std::map<int, std::string>{{1, "a"}}, 0, number);
    Buffer item;
    rankpool::detail::encode_item(item, std::string("x"));
    std::memcpy(item.data(), &number, sizeof number);
    Reader in(bytes_of(item));
    EXPECT_THROW(rankpool::detail::decode_item<std::string>(in), SerializationError);
  }
}

TEST(Codec, EveryCutIsRefused) {
  using T = std::tuple<int, std::string, std::vector<Named>, std::map<int, std::optional<double>>, std::vector<bool>>;
  const T value{1, "text", {{1, "a"}, {2, "b"}}, {{1, 2.0}, {2, {}}}, {true, false}};
  Buffer out;
  Codec<T>::encode(out, value);
  for (std::size_t size = 0; size < out.size(); ++size) {
    Reader in(bytes_of(out).first(size));
    EXPECT_THROW(Codec<T>::decode(in), SerializationError) << size;
  }
}

TEST(Codec, DamagedTagsAreRefused) {
  const auto decode = []<class T>(std::type_identity<T>, std::uint32_t number) {
    Buffer out;
    out.append(&number, sizeof number);
    out.extend(16);
    Reader in(bytes_of(out));
    Codec<T>::decode(in);
  };
  EXPECT_THROW(decode(std::type_identity<bool>{}, 2), SerializationError);
  EXPECT_THROW(decode(std::type_identity<std::optional<int>>{}, 2), SerializationError);
  EXPECT_THROW((decode(std::type_identity<std::variant<int, std::string>>{}, 2)), SerializationError);
}

TEST(Codec, ASerializeThatIsNotSymmetricIsFound) {
  Buffer items;
  rankpool::detail::encode_item(items, Greedy{1});
  rankpool::detail::encode_item(items, Frugal{1});
  rankpool::detail::encode_item(items, std::string("next"));
  Reader in(bytes_of(items));
  EXPECT_THROW(rankpool::detail::decode_item<Greedy>(in), SerializationError);
  try {
    rankpool::detail::decode_item<Frugal>(in);
    ADD_FAILURE();
  } catch (const SerializationError& error) {
    EXPECT_NE(std::string_view(error.what()).find("Frugal"), std::string_view::npos) << error.what();
  }
  EXPECT_EQ(rankpool::detail::decode_item<std::string>(in), "next") << "the items behind are still read";
}

TEST(Reader, Bounds) {
  const std::array<std::byte, 4> bytes{std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}};
  Reader in(bytes);
  EXPECT_EQ(in.remaining(), 4u);
  EXPECT_THROW(in.get<std::uint64_t>(), SerializationError);
  EXPECT_EQ(in.remaining(), 4u) << "what was refused was not read";
  EXPECT_THROW(in.take(std::numeric_limits<std::uint64_t>::max()), SerializationError);
  EXPECT_EQ(in.get<std::uint32_t>(), 1u);
  EXPECT_EQ(in.take(0).size(), 0u);
  EXPECT_THROW(in.get_bool(), SerializationError);
}

}  // namespace
