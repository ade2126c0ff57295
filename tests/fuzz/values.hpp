// Values of every kind that travels, from bytes that nobody has checked.
#pragma once

#include <array>
#include <bitset>
#include <boost/archive/archive_exception.hpp>
#include <boost/serialization/export.hpp>
#include <boost/serialization/forward_list.hpp>
#include <boost/serialization/shared_ptr.hpp>
#include <boost/serialization/valarray.hpp>
#include <boost/serialization/vector.hpp>
#include <complex>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>

#include <rankpool/callable.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/errors.hpp>

#include "damage.hpp"

namespace fuzz {

/// As deep as the bytes say.
struct Tree {
  int value = 0;
  std::vector<Tree> children;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& value& children;
  }
};
/// The same through pointers, which are made here: those that Boost makes can be made one by damaged numbers, and a
/// std::unique_ptr does not stand that.
struct Chain {
  int value = 0;
  std::unique_ptr<Chain> next;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    bool more = next != nullptr;
    archive& value& more;
    if (!more) return;
    if (!next) next = std::make_unique<Chain>();
    archive&* next;
  }
};
/// What Boost tracks by numbers, and makes by a name.
struct Shape {
  virtual ~Shape() = default;
  double size = 1;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& size;
  }
};
struct Circle final : Shape {
  std::string colour = "red";

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& boost::serialization::base_object<Shape>(*this) & colour;
  }
};
struct Drawing {
  std::vector<std::shared_ptr<Shape>> shapes;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& shapes;
  }
};
/// Containers that the codec does not know, so that Boost's own code reads them.
struct Foreign {
  std::valarray<double> numbers{1, 2, 3};
  std::forward_list<std::string> words{"a", "b"};
  std::array<int, 3> fixed{1, 2, 3};
  int plain[4] = {1, 2, 3, 4};

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& numbers& words& fixed& plain;
  }
};
/// Large in memory, small in a message.
struct Wide {
  std::array<std::string, 32> texts;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    for (std::string& text : texts) archive& text;
  }
};

inline double halve(double x) { return x / 2; }

using Values =
    std::tuple<bool, int, double, std::complex<double>, std::bitset<70>, std::string, std::u16string, std::wstring,
               std::vector<double>, std::vector<bool>, std::vector<std::string>, std::vector<std::vector<short>>,
               std::vector<std::tuple<>>, std::vector<Wide>, std::deque<std::string>, std::list<std::pair<int, char>>,
               std::array<std::string, 3>, std::set<std::string>, std::multiset<int>, std::unordered_set<long>,
               std::map<std::string, std::vector<int>>, std::multimap<int, int>,
               std::unordered_map<std::string, std::optional<int>>, std::unordered_multimap<int, std::string>,
               std::optional<std::string>, std::variant<int, std::string, std::vector<double>>,
               std::tuple<int, std::string, std::vector<std::optional<std::pair<int, std::string>>>>,
               double (*)(double), Tree, Chain, Drawing, Foreign>;
constexpr std::size_t value_kinds = std::tuple_size_v<Values>;

/// The first byte says which type, the rest is the value.
inline void decode_value(std::span<const std::byte> bytes) {
  Source source(bytes);
  const std::size_t kind = source.get<std::uint8_t>() % value_kinds;
  const auto decode = [&]<std::size_t... i>(std::index_sequence<i...>) {
    const auto one = [&]<class T>(std::type_identity<T>) {
      rankpool::detail::Reader in(source.rest());
      static_cast<void>(rankpool::detail::Codec<T>::decode(in));
    };
    (void)((kind == i && (one(std::type_identity<std::tuple_element_t<i, Values>>()), true)) || ...);
  };
  try {
    decode(std::make_index_sequence<value_kinds>());
  } catch (const rankpool::Error&) {
  } catch (const boost::archive::archive_exception&) {
  }
}

namespace detail {

template <std::size_t kind, class T>
void add_value(std::vector<Bytes>& all, const T& value) {
  static_assert(std::is_same_v<std::tuple_element_t<kind, Values>, T>);
  rankpool::detail::Buffer buffer;
  rankpool::detail::Codec<T>::encode(buffer, value);
  Bytes bytes{static_cast<std::byte>(kind)};
  bytes.insert(bytes.end(), buffer.data(), buffer.data() + buffer.size());
  all.push_back(std::move(bytes));
}

}  // namespace detail

/// One of each kind.
inline std::vector<Bytes> values() {
  std::vector<Bytes> all;
  Tree tree{1, {{2, {{3, {}}}}, {4, {}}}};
  Chain chain;
  chain.next = std::make_unique<Chain>();
  chain.next->next = std::make_unique<Chain>();
  Drawing drawing;
  drawing.shapes = {std::make_shared<Circle>(), std::make_shared<Shape>(), nullptr};
  drawing.shapes.push_back(drawing.shapes.front());
  detail::add_value<0>(all, true);
  detail::add_value<1>(all, 42);
  detail::add_value<2>(all, 0.5);
  detail::add_value<3>(all, std::complex<double>(1, 2));
  detail::add_value<4>(all, std::bitset<70>(12345));
  detail::add_value<5>(all, std::string("a text of some length"));
  detail::add_value<6>(all, std::u16string(u"wide"));
  detail::add_value<7>(all, std::wstring(L"wider"));
  detail::add_value<8>(all, std::vector<double>{1, 2, 3});
  detail::add_value<9>(all, std::vector<bool>{true, false, true});
  detail::add_value<10>(all, std::vector<std::string>{"a", "bc", ""});
  detail::add_value<11>(all, std::vector<std::vector<short>>{{1, 2}, {}, {3}});
  detail::add_value<12>(all, std::vector<std::tuple<>>(5));
  detail::add_value<13>(all, std::vector<Wide>(2));
  detail::add_value<14>(all, std::deque<std::string>{"x", "y"});
  detail::add_value<15>(all, std::list<std::pair<int, char>>{{1, 'a'}, {2, 'b'}});
  detail::add_value<16>(all, std::array<std::string, 3>{"a", "b", "c"});
  detail::add_value<17>(all, std::set<std::string>{"a", "b"});
  detail::add_value<18>(all, std::multiset<int>{1, 1, 2});
  detail::add_value<19>(all, std::unordered_set<long>{1, 2, 3});
  detail::add_value<20>(all, std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}});
  detail::add_value<21>(all, std::multimap<int, int>{{1, 1}, {1, 2}});
  detail::add_value<22>(all, std::unordered_map<std::string, std::optional<int>>{{"a", 1}, {"b", {}}});
  detail::add_value<23>(all, std::unordered_multimap<int, std::string>{{1, "a"}, {1, "b"}});
  detail::add_value<24>(all, std::optional<std::string>("there"));
  detail::add_value<25>(all, std::variant<int, std::string, std::vector<double>>(std::vector<double>{1, 2}));
  detail::add_value<26>(all, std::tuple<int, std::string, std::vector<std::optional<std::pair<int, std::string>>>>{
                                 1, "t", {std::pair<int, std::string>(1, "p"), std::nullopt}});
  double (*function)(double) = &halve;
  detail::add_value<27>(all, function);
  detail::add_value<28>(all, tree);
  detail::add_value<29>(all, chain);
  detail::add_value<30>(all, drawing);
  detail::add_value<31>(all, Foreign());
  return all;
}

}  // namespace fuzz

BOOST_CLASS_EXPORT(fuzz::Circle)
