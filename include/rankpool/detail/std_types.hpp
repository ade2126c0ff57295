// How the types of the standard library travel.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/function_pointer.hpp>

namespace rankpool::detail {

/// Number of elements, then the elements. They take at least one byte each (zeros are added behind them if they took
/// less), so that a damaged number cannot ask for more memory than the message could fill.
template <class Out, class Range, class SaveElement>
void save_sequence(Out& out, const Range& range, SaveElement save_element) {
  const std::uint64_t count = range.size();
  out.buffer().append(&count, sizeof count);
  const std::size_t before = out.buffer().size();
  for (const auto& element : range) save_element(element);
  const std::size_t written = out.buffer().size() - before;
  if (written < count) std::memset(out.buffer().extend(count - written), 0, count - written);
}

template <class In, class Begin, class LoadElement>
void load_sequence(In& in, Begin begin, LoadElement load_element) {
  const std::size_t count = in.reader().get_count();
  begin(count);
  const std::size_t before = in.reader().remaining();
  for (std::size_t i = 0; i < count; ++i) load_element();
  const std::size_t taken = before - in.reader().remaining();
  if (taken < count) in.reader().take(count - taken);
}

/// Room for so many elements; not for all if their bytes could be far fewer, and their number wrong.
template <class In, class Vector>
void reserve_for(In& in, Vector& vector, std::size_t count) {
  constexpr std::size_t few = 256;
  vector.reserve(std::min(count, std::max(few, in.reader().remaining() / sizeof(typename Vector::value_type))));
}

/// std::basic_string.
template <class C, class Traits, class Allocator>
struct Format<std::basic_string<C, Traits, Allocator>> {
  using T = std::basic_string<C, Traits, Allocator>;
  static constexpr bool sendable = IsRaw<C>::value;

  static void save(auto& out, const T& text) {
    const std::uint64_t count = text.size();
    out.buffer().append(&count, sizeof count);
    out.buffer().append(text.data(), text.size() * sizeof(C));
  }
  static void load(auto& in, T& text) {
    const std::size_t count = in.reader().get_count(sizeof(C));
    text.resize(count);
    in.reader().read(text.data(), count * sizeof(C));
  }
};

/// std::vector, std::deque, std::list: elements that have an address, at the end of which there is room.
template <class T>
struct SequenceFormat {
  using Element = typename T::value_type;
  static constexpr bool sendable = is_sendable<Element>();

  static void save(auto& out, const T& range) {
    save_sequence(out, range, [&](const Element& element) { save_value(out, element); });
  }
  static void load(auto& in, T& range) {
    range.clear();
    load_sequence(
        in,
        [&](std::size_t count) {
          if constexpr (requires { range.reserve(count); }) reserve_for(in, range, count);
        },
        [&] {
          if constexpr (std::is_default_constructible_v<Element>) {
            load_into(in, range.emplace_back());
          } else {
            range.push_back(make_value<Element>(in));
          }
        });
  }
};

template <class E, class Allocator>
struct Format<std::deque<E, Allocator>> : SequenceFormat<std::deque<E, Allocator>> {};
template <class E, class Allocator>
struct Format<std::list<E, Allocator>> : SequenceFormat<std::list<E, Allocator>> {};
template <class E, class Allocator>
struct Format<std::vector<E, Allocator>> : SequenceFormat<std::vector<E, Allocator>> {};

template <class E, class Allocator>
requires(IsRaw<E>::value && !HasOwnCodec<E>) struct Format<std::vector<E, Allocator>> {
  using T = std::vector<E, Allocator>;
  static constexpr bool sendable = true;

  static void save(auto& out, const T& range) {
    const std::uint64_t count = range.size();
    out.buffer().append(&count, sizeof count);
    append_raw(out.buffer(), range.data(), range.size());
  }
  static void load(auto& in, T& range) {
    const std::size_t count = in.reader().get_count(sizeof(E));
    if constexpr (std::is_default_constructible_v<E>) {
      range.resize(count);
      in.reader().read(static_cast<void*>(range.data()), count * sizeof(E));
    } else {
      range.clear();
      range.reserve(count);
      for (std::size_t i = 0; i < count; ++i) range.push_back(make_value<E>(in));
    }
  }
};

/// Eight to a byte.
template <class Allocator>
struct Format<std::vector<bool, Allocator>> {
  using T = std::vector<bool, Allocator>;
  static constexpr bool sendable = true;

  static void save(auto& out, const T& bits) {
    const std::uint64_t count = bits.size();
    out.buffer().append(&count, sizeof count);
    std::byte* bytes = out.buffer().extend((bits.size() + 7) / 8);
    std::size_t i = 0;
    std::byte byte{0};
    for (const bool bit : bits) {
      if (bit) byte |= std::byte{1} << (i % 8);
      if (++i % 8 == 0) *bytes++ = std::exchange(byte, std::byte{0});
    }
    if (i % 8 != 0) *bytes = byte;
  }
  static void load(auto& in, T& bits) {
    const auto count = in.reader().template get<std::uint64_t>();
    const auto bytes = in.reader().take(count / 8 + (count % 8 != 0 ? 1 : 0));
    bits.assign(static_cast<std::size_t>(count), false);
    for (std::size_t i = 0; i < count; ++i) {
      if ((bytes[i / 8] >> (i % 8) & std::byte{1}) != std::byte{0}) bits[i] = true;
    }
  }
};

template <class E, std::size_t n>
struct Format<std::array<E, n>> {
  using T = std::array<E, n>;
  static constexpr bool sendable = is_sendable<E>();

  static void save(auto& out, const T& range) {
    for (const E& element : range) save_value(out, element);
  }
  static void load(auto& in, T& range) {
    for (E& element : range) load_into(in, element);
  }
  static T make(auto& in) {
    return [&]<std::size_t... i>(std::index_sequence<i...>) { return T{(static_cast<void>(i), make_value<E>(in))...}; }
    (std::make_index_sequence<n>{});
  }
};

/// The sets, then the maps; elements in the order of the container.
template <class T>
struct SetFormat {
  using Key = typename T::key_type;
  static constexpr bool sendable = is_sendable<Key>();

  static void save(auto& out, const T& set) {
    save_sequence(out, set, [&](const Key& key) { save_value(out, key); });
  }
  static void load(auto& in, T& set) {
    set.clear();
    load_sequence(
        in,
        [&](std::size_t count) {
          if constexpr (requires { set.reserve(count); }) set.reserve(count);
        },
        [&] { set.emplace_hint(set.end(), make_value<Key>(in)); });
  }
};

template <class T>
struct MapFormat {
  using Key = typename T::key_type;
  using Mapped = typename T::mapped_type;
  static constexpr bool sendable = is_sendable<Key>() && is_sendable<Mapped>();

  static void save(auto& out, const T& map) {
    save_sequence(out, map, [&](const auto& entry) {
      save_value(out, entry.first);
      save_value(out, entry.second);
    });
  }
  static void load(auto& in, T& map) {
    map.clear();
    load_sequence(
        in,
        [&](std::size_t count) {
          if constexpr (requires { map.reserve(count); }) map.reserve(count);
        },
        [&] {
          Key key = make_value<Key>(in);
          if constexpr (std::is_default_constructible_v<Mapped>) {
            const auto at = map.emplace_hint(map.end(), std::piecewise_construct, std::forward_as_tuple(std::move(key)),
                                             std::forward_as_tuple());
            load_into(in, at->second);
          } else {
            map.emplace_hint(map.end(), std::move(key), make_value<Mapped>(in));
          }
        });
  }
};

template <class K, class... Rest>
struct Format<std::set<K, Rest...>> : SetFormat<std::set<K, Rest...>> {};
template <class K, class... Rest>
struct Format<std::multiset<K, Rest...>> : SetFormat<std::multiset<K, Rest...>> {};
template <class K, class... Rest>
struct Format<std::unordered_set<K, Rest...>> : SetFormat<std::unordered_set<K, Rest...>> {};
template <class K, class... Rest>
struct Format<std::unordered_multiset<K, Rest...>> : SetFormat<std::unordered_multiset<K, Rest...>> {};
template <class K, class V, class... Rest>
struct Format<std::map<K, V, Rest...>> : MapFormat<std::map<K, V, Rest...>> {};
template <class K, class V, class... Rest>
struct Format<std::multimap<K, V, Rest...>> : MapFormat<std::multimap<K, V, Rest...>> {};
template <class K, class V, class... Rest>
struct Format<std::unordered_map<K, V, Rest...>> : MapFormat<std::unordered_map<K, V, Rest...>> {};
template <class K, class V, class... Rest>
struct Format<std::unordered_multimap<K, V, Rest...>> : MapFormat<std::unordered_multimap<K, V, Rest...>> {};

template <class A, class B>
struct Format<std::pair<A, B>> {
  using T = std::pair<A, B>;
  static constexpr bool sendable = is_sendable<A>() && is_sendable<B>();

  static void save(auto& out, const T& pair) {
    save_value(out, pair.first);
    save_value(out, pair.second);
  }
  static void load(auto& in, T& pair) {
    load_into(in, pair.first);
    load_into(in, pair.second);
  }
  static T make(auto& in) { return T{make_value<A>(in), make_value<B>(in)}; }
};

template <class... E>
struct Format<std::tuple<E...>> {
  using T = std::tuple<E...>;
  static constexpr bool sendable = (is_sendable<E>() && ...);

  static void save(auto& out, const T& tuple) {
    std::apply([&](const E&... element) { (save_value(out, element), ...); }, tuple);
  }
  static void load(auto& in, T& tuple) {
    std::apply([&](E&... element) { (load_into(in, element), ...); }, tuple);
  }
  // Braces: from left to right, unlike the arguments of a call.
  static T make(auto& in) { return T{make_value<E>(in)...}; }
};

template <class E>
struct Format<std::optional<E>> {
  using T = std::optional<E>;
  static constexpr bool sendable = is_sendable<E>();

  static void save(auto& out, const T& optional) {
    const std::uint8_t engaged = optional.has_value() ? 1 : 0;
    out.buffer().append(&engaged, sizeof engaged);
    if (optional) save_value(out, *optional);
  }
  static void load(auto& in, T& optional) {
    if (!in.reader().get_bool()) {
      optional.reset();
    } else if constexpr (std::is_default_constructible_v<E>) {
      load_into(in, optional.emplace());
    } else {
      optional.emplace(make_value<E>(in));
    }
  }
};

template <class... E>
struct Format<std::variant<E...>> {
  using T = std::variant<E...>;
  static constexpr bool sendable = (is_sendable<E>() && ...);

  static void save(auto& out, const T& variant) {
    if (variant.valueless_by_exception()) throw_unsendable("a std::variant that is valueless by exception");
    const auto index = static_cast<std::uint32_t>(variant.index());
    out.buffer().append(&index, sizeof index);
    std::visit([&](const auto& value) { save_value(out, value); }, variant);
  }
  static void load(auto& in, T& variant) { variant = make(in); }
  static T make(auto& in) { return make_alternative<0>(in, in.reader().template get<std::uint32_t>()); }

 private:
  template <std::size_t i>
  static T make_alternative(auto& in, std::size_t index) {
    if constexpr (i == sizeof...(E)) {
      throw_damaged("a std::variant has no such alternative");
    } else {
      if (index != i) return make_alternative<i + 1>(in, index);
      return T(std::in_place_index<i>, make_value<std::variant_alternative_t<i, T>>(in));
    }
  }
};

/// A function of this program or of a library; checked on both sides.
template <FunctionPointer F>
struct Format<F> {
  static constexpr bool sendable = true;

  static void save(auto& out, const F& function) {
    const WireFunction wire = encode_function(reinterpret_cast<std::uintptr_t>(function), typeid(F));
    out.buffer().append(&wire, sizeof wire);
  }
  static void load(auto& in, F& function) {
    WireFunction wire;
    in.reader().read(&wire, sizeof wire);
    function = reinterpret_cast<F>(decode_function(wire, typeid(F)));
  }
};

}  // namespace rankpool::detail
