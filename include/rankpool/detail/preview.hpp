// The arguments of a task in a few words, for its error.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/callable_codec.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

/// One line that is being written; whatever would make it too long is left out.
class Preview {
 public:
  void mark(std::string_view punctuation) { put(punctuation); }
  void number(std::int64_t value);
  void number(std::uint64_t value);
  void number(float value);
  void number(double value);
  void number(long double value);
  /// In quotes and cut; what cannot be printed is escaped.
  void text(std::string_view value, char quote = '"');
  void type(const std::type_info& value);
  /// Instead of the elements that are not shown.
  void elements_left(std::size_t all);
  bool full() const noexcept { return full_; }

  /// Elements of a range that are shown: all of a short one, else the first few.
  static std::size_t shown(std::size_t size) noexcept { return size <= most_elements ? size : first_elements; }

  /// As a line of its own, for so many arguments; nothing for none.
  std::string take(std::size_t arguments);

 private:
  static constexpr std::size_t most_elements = 6;
  static constexpr std::size_t first_elements = 3;

  void put(std::string_view piece);

  std::string line_;
  bool full_ = false;
};

/// Can a T be decoded once more without anybody noticing? Not if a `serialize` of the user's runs then, or the handle
/// of an object is made.
template <class T>
consteval bool is_showable() {
  if constexpr (HasOwnCodec<T> || !(IsRaw<T>::value || HasFormat<T>)) {
    return false;
  } else if constexpr (IsRaw<T>::value) {
    return true;
  } else if constexpr (requires { typename T::mapped_type; }) {
    return is_showable<typename T::key_type>() && is_showable<typename T::mapped_type>();
  } else if constexpr (requires { typename T::value_type; }) {
    return is_showable<typename T::value_type>();
  } else if constexpr (TupleLike<T>) {
    return []<std::size_t... i>(std::index_sequence<i...>) {
      return (is_showable<std::tuple_element_t<i, T>>() && ...);
    }
    (std::make_index_sequence<std::tuple_size_v<T>>{});
  } else {
    return false;
  }
}

template <class T>
void show(Preview& out, const T& value);

template <class T>
void show_range(Preview& out, const T& range) {
  constexpr bool unordered_or_sorted = requires { typename T::key_type; };
  out.mark(unordered_or_sorted ? "{" : "[");
  const std::size_t shown = Preview::shown(range.size());
  std::size_t i = 0;
  for (const auto& element : range) {
    if (i == shown || out.full()) break;
    if (i++ != 0) out.mark(", ");
    if constexpr (requires { typename T::mapped_type; }) {
      show(out, element.first);
      out.mark(": ");
      show(out, element.second);
    } else {
      show<typename T::value_type>(out, element);  // of std::vector<bool> too
    }
  }
  if (shown < range.size()) out.elements_left(range.size());
  out.mark(unordered_or_sorted ? "}" : "]");
}

template <class T>
void show(Preview& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    out.mark(value ? "true" : "false");
  } else if constexpr (std::is_same_v<T, char>) {
    out.text({&value, 1}, '\'');
  } else if constexpr (std::is_enum_v<T>) {
    out.type(typeid(T));
    out.mark("(");
    show(out, static_cast<std::underlying_type_t<T>>(value));
    out.mark(")");
  } else if constexpr (std::is_floating_point_v<T>) {
    out.number(value);
  } else if constexpr (std::is_integral_v<T>) {
    out.number(static_cast<std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>(value));
  } else if constexpr (std::is_same_v<T, std::string>) {
    out.text(value);
  } else if constexpr (!HasFormat<T> || requires { typename T::traits_type; }) {
    out.type(typeid(T));  // a type of the user's, whatever members it has, or a wide string
  } else if constexpr (requires { value.has_value(); }) {
    if (value.has_value()) {
      show(out, *value);
    } else {
      out.mark("nullopt");
    }
  } else if constexpr (requires { value.begin(); }) {
    show_range(out, value);
  } else if constexpr (TupleLike<T>) {
    out.mark("(");
    std::apply(
        [&](const auto&... part) {
          std::size_t i = 0;
          ((out.mark(i++ == 0 ? "" : ", "), show(out, part)), ...);
        },
        value);
    out.mark(")");
  } else {
    out.type(typeid(T));
  }
}

/// The next value, if the ones before it could be decoded.
template <class T>
void show_next(Preview& out, Input& in, bool& readable) {
  if constexpr (is_showable<T>()) {
    if (readable) return show(out, make_value<T>(in));
  }
  readable = false;
  out.type(typeid(T));
}

/// The arguments of the task that lies at the front of `items`, as a line for its error, decoded anew: the task may
/// have moved them away. Empty if there is nothing to show.
template <class Item, bool unpack>
[[gnu::cold, gnu::noinline]] std::string preview_arguments(Reader items) {
  constexpr std::size_t most_bytes = std::size_t{64} * 1024 * 1024;  // more take too long, and memory that may be short
  try {
    if constexpr (!Codec<Item>::raw) items = Reader(items.take(items.get<std::uint64_t>()));
    Preview out;
    Input in(items);
    bool readable = items.remaining() <= most_bytes || Codec<Item>::raw;
    if constexpr (unpack && TupleLike<Item> && !requires { typename Item::value_type; }) {
      constexpr std::size_t count = std::tuple_size_v<Item>;
      if constexpr (count != 1) out.mark("(");
      [&]<std::size_t... i>(std::index_sequence<i...>) {
        ((out.mark(i == 0 ? "" : ", "), show_next<std::tuple_element_t<i, Item>>(out, in, readable)), ...);
      }
      (std::make_index_sequence<count>{});
      if constexpr (count != 1) out.mark(")");
      return out.take(count);
    } else {
      show_next<Item>(out, in, readable);
      return out.take(unpack ? 2 : 1);
    }
  } catch (...) {
    return {};  // the error itself matters more
  }
}

}  // namespace rankpool::detail
