// The line about its arguments that the error of a task has.
#include <rankpool/detail/preview.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "../support/shipping_message.hpp"

namespace {

using rankpool::detail::Buffer;
using rankpool::detail::encode_item;
using rankpool::detail::is_showable;
using rankpool::detail::preview_arguments;
using rankpool::detail::Reader;

template <bool unpack, class Item>
std::string preview(const Item& item) {
  Buffer buffer;
  encode_item(buffer, item);
  return preview_arguments<Item, unpack>(Reader({buffer.data(), buffer.size()}));
}
template <class Item>
std::string one(const Item& item) {
  const std::string line = preview<false>(item);
  const std::string start = "argument: ";
  EXPECT_EQ(line.substr(0, start.size()), start);
  return line.substr(std::min(start.size(), line.size()));
}
template <class... Args>
std::string all(const Args&... args) {
  return preview<true>(std::tuple<Args...>(args...));
}

enum class Colour : std::uint8_t { red, green };
enum class Wide : std::uint64_t {};
enum Shape { round, square };
struct Point {
  int x = 0;
  int y = 0;
};

/// Looks like a std::optional, a range and a tuple, and is none.
struct Chameleon {
  using value_type = int;
  using key_type = int;
  using mapped_type = int;
  int number = 0;
  void has_value() const {}
  void begin() const {}
  void size() const {}
};

/// Has a `serialize`, which the preview has no business to call again.
struct Counted {
  int value = 0;
  static inline int loads = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& value;
    if (Archive::is_loading::value) ++loads;
  }
};

}  // namespace

TEST(Preview, Numbers) {
  EXPECT_EQ(one(42), "42");
  EXPECT_EQ(one(-7L), "-7");
  EXPECT_EQ(one(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(one(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(one(std::uint8_t{200}), "200");
  EXPECT_EQ(one(static_cast<signed char>(-3)), "-3");
  EXPECT_EQ(one(0.1), "0.1");
  EXPECT_EQ(one(0.1f), "0.1");
  EXPECT_EQ(one(2.5L), "2.5");
  EXPECT_EQ(one(1e300), "1e+300");
  EXPECT_EQ(one(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(one(true), "true");
  EXPECT_EQ(one(false), "false");
  EXPECT_EQ(one('x'), "'x'");
  EXPECT_EQ(one('\''), "'\\''");
  EXPECT_EQ(one('\0'), "'\\x00'");
}

TEST(Preview, Enums) {
  EXPECT_EQ(one(Colour::green), "(anonymous namespace)::Colour(1)");
  EXPECT_EQ(one(square), "(anonymous namespace)::Shape(1)");
  EXPECT_EQ(one(static_cast<Wide>(~std::uint64_t{0})), "(anonymous namespace)::Wide(18446744073709551615)");
  EXPECT_EQ(one(std::byte{7}), "std::byte(7)");
}

TEST(Preview, Strings) {
  EXPECT_EQ(one(std::string("abc")), "\"abc\"");
  EXPECT_EQ(one(std::string()), "\"\"");
  EXPECT_EQ(one(std::string("a\"b\\c")), R"("a\"b\\c")");
  EXPECT_EQ(one(std::string("\n\t\r\x1b[31m\x7f")), R"("\n\t\r\x1b[31m\x7f")");
  EXPECT_EQ(one(std::string("nul\0l", 5)), R"("nul\x00l")");
  EXPECT_EQ(one(std::string(61, 'a')), '"' + std::string(60, 'a') + "...\" (61 bytes)");
  EXPECT_EQ(one(std::string(60, 'a')), '"' + std::string(60, 'a') + '"');
  EXPECT_EQ(one(std::string(10'000'000, 'a')), '"' + std::string(60, 'a') + "...\" (10000000 bytes)");
  EXPECT_NE(one(std::wstring(L"wide")).find("basic_string<wchar_t"), std::string::npos) << "it is named";
}

TEST(Preview, StringsThatAreNoText) {
  EXPECT_EQ(one(std::string("gr\xc3\xbc\xc3\x9f")), "\"gr\xc3\xbc\xc3\x9f\"") << "UTF-8 stays";
  EXPECT_EQ(one(std::string("\xf0\x9f\x98\x80")), "\"\xf0\x9f\x98\x80\"");
  EXPECT_EQ(one(std::string("\xff\xfe")), R"("\xff\xfe")");
  EXPECT_EQ(one(std::string("cut \xe2\x82")), R"("cut \xe2\x82")");
  EXPECT_EQ(one(std::string("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe0\x80\x80")),
            R"("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe0\x80\x80")");
  EXPECT_EQ(one(std::string("\xc2\x9b")), R"("\xc2\x9b")") << "a control character of two bytes";
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) all_bytes += static_cast<char>(byte);
  for (const char c : one(all_bytes)) EXPECT_TRUE(c >= ' ' && c < '\x7f');
}

TEST(Preview, Ranges) {
  EXPECT_EQ(one(std::vector<int>{}), "[]");
  EXPECT_EQ(one(std::vector<int>{1, 2, 3, 4, 5, 6}), "[1, 2, 3, 4, 5, 6]");
  std::vector<int> many(1000);
  for (int i = 0; i < 1000; ++i) many[static_cast<std::size_t>(i)] = i + 1;
  EXPECT_EQ(one(many), "[1, 2, 3, ... 1000 elements]");
  EXPECT_EQ(one(std::vector<bool>{true, false}), "[true, false]");
  EXPECT_EQ(one(std::deque<double>{1.5}), "[1.5]");
  EXPECT_EQ(one(std::list<char>{'a', 'b'}), "['a', 'b']");
  EXPECT_EQ(one(std::array<int, 3>{1, 2, 3}), "[1, 2, 3]");
  EXPECT_EQ(one(std::array<std::string, 2>{"a", "b"}), R"(["a", "b"])");
  EXPECT_EQ(one(std::vector<std::vector<int>>{{1}, {}, {2, 3}}), "[[1], [], [2, 3]]");
  EXPECT_EQ(one(std::set<int>{3, 1}), "{1, 3}");
  EXPECT_EQ(one(std::map<std::string, int>{{"a", 1}, {"b", 2}}), R"({"a": 1, "b": 2})");
  EXPECT_EQ(one(std::unordered_map<int, bool>{{1, true}}), "{1: true}");
  EXPECT_EQ(one(std::vector<Point>(2)), "[(anonymous namespace)::Point, (anonymous namespace)::Point]");
}

TEST(Preview, PartsAndOptionals) {
  EXPECT_EQ(one(std::pair(1, std::string("x"))), R"((1, "x"))");
  EXPECT_EQ(one(std::tuple(1, 'c', 2.5)), "(1, 'c', 2.5)");
  EXPECT_EQ(one(std::optional<int>()), "nullopt");
  EXPECT_EQ(one(std::optional<int>(3)), "3");
  EXPECT_EQ(one(std::optional<std::vector<int>>(std::vector<int>{1})), "[1]");
}

TEST(Preview, OtherTypesAreNamed) {
  EXPECT_EQ(one(Point{1, 2}), "(anonymous namespace)::Point");
  EXPECT_EQ(one(Chameleon()), "(anonymous namespace)::Chameleon");
  EXPECT_EQ(one(std::complex<double>(1, 2)), "std::complex<double>");
  EXPECT_EQ(one(std::variant<int, char>(1)), "std::variant<int, char>");
  EXPECT_LT(one(std::map<int, std::variant<std::string, std::map<int, std::string>>>()).size(), 130u);
}

TEST(Preview, NoSerializeOfTheUsersIsCalled) {
  static_assert(!is_showable<Counted>() && !is_showable<std::vector<Counted>>() && !is_showable<std::tuple<Counted>>());
  static_assert(!is_showable<std::map<int, Counted>>() && !is_showable<std::optional<Counted>>());
  static_assert(is_showable<std::map<std::string, std::vector<std::pair<int, Point>>>>());
  Counted::loads = 0;
  EXPECT_EQ(one(Counted{1}), "(anonymous namespace)::Counted");
  EXPECT_EQ(all(1, Counted{2}, 3), "arguments: (1, (anonymous namespace)::Counted, int)")
      << "what is behind is not read";
  EXPECT_EQ(Counted::loads, 0);
}

TEST(Preview, Arguments) {
  EXPECT_EQ(all(), "");
  EXPECT_EQ(all(42), "argument: 42");
  EXPECT_EQ(all(3, std::string("abc"), std::vector<int>(1000, 1)),
            R"(arguments: (3, "abc", [1, 1, 1, ... 1000 elements]))");
  EXPECT_EQ(preview<true>(std::pair(1, 2)), "arguments: (1, 2)");
  EXPECT_EQ(preview<true>(std::array<int, 2>{1, 2}), "arguments: [1, 2]");
  EXPECT_EQ(preview<false>(std::tuple(1, 2)), "argument: (1, 2)");
}

TEST(Preview, IsShort) {
  const std::string text(50, 'x');
  const std::string line = all(text, text, text, text);
  EXPECT_LT(line.size(), 140u);
  EXPECT_TRUE(line.ends_with("...")) << line;
  const std::vector<std::vector<std::string>> nested(6, std::vector<std::string>(6, text));
  EXPECT_LT(one(nested).size(), 130u);
  EXPECT_LT(one(std::vector<std::vector<int>>(1000000)).size(), 130u);
}

TEST(Preview, DamagedArgumentsHaveNone) {
  Buffer buffer;
  encode_item(buffer, std::vector<std::string>{"one", "two"});
  for (std::size_t size = 0; size < buffer.size(); ++size) {
    using Item = std::vector<std::string>;
    EXPECT_EQ((preview_arguments<Item, false>(Reader({buffer.data(), size}))), "") << size;
  }
}

TEST(Preview, ComesWithTheErrorEvenIfTheArgumentWasMovedAway) {
  const auto task = [](std::vector<int> numbers, std::string text) {
    const auto gone = std::move(numbers);
    const auto gone_too = std::move(text);
    throw std::runtime_error("after that");
  };
  const auto answer = rankpool::test::answer(rankpool::test::make_call(task, std::vector<int>{1, 2}, std::string("t")));
  try {
    rankpool::test::result_of<void>(answer);
    FAIL() << "nothing was thrown";
  } catch (const rankpool::RemoteError& error) {
    EXPECT_EQ(error.trace(),
              "an error on rank 1 (host here, process 1)\n"
              "  arguments: ([1, 2], \"t\")\n"
              "  std::runtime_error: after that");
  }
}
