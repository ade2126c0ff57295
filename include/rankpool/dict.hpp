// A map that many processes share.
#pragma once

#include <concepts>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/detail/container.hpp>
#include <rankpool/detail/key_bytes.hpp>

namespace rankpool {

/// Keys and their values at the home rank of the dict, in the order in which the keys were first set; copies are
/// handles of one dict. Any thread may use it, and it can be sent anywhere, also as a value of another container. Every
/// call asks the home and waits for its answer. Values are copies: changing one changes nothing in the dict until it is
/// set again, or use `update`. Keys are equal when the bytes they travel as are. Made by Manager::dict. Mirrors the
/// DictProxy of `multiprocessing.Manager().dict()`.
template <class K, class V>
class Dict : public detail::Container {
 public:
  using key_type = K;
  using mapped_type = V;
  static constexpr detail::ObjectType type = detail::ObjectType::dict;

  /// The same dict by a handle whose calls wait at most `limit` while another process updates it. @throws TimeoutError
  /// from those calls, if that lasts longer: they have changed nothing
  template <class Rep, class Period>
  Dict within(std::chrono::duration<Rep, Period> limit) const {
    return limited(*this, limit);
  }

  /// @throws std::out_of_range if there is no such key
  V get(const K& key) const {
    const auto answer = ask(Op::get, key_request(key));
    if (!answer.found) throw_no_key(detail::shown_key(key), answer);
    return decode_value<V>(answer.bytes);
  }
  /// The value, or `otherwise` if there is no such key.
  V get(const K& key, V otherwise) const {
    const auto answer = ask(Op::get, key_request(key));
    return answer.found ? decode_value<V>(answer.bytes) : std::move(otherwise);
  }
  void set(const K& key, const V& value) { ask(Op::put, item_request(key, value)); }
  bool contains(const K& key) const { return ask(Op::contains, key_request(key)).found; }
  /// Takes the key out. Its value. @throws std::out_of_range if there is no such key
  V pop(const K& key) {
    const auto answer = ask(Op::pop, key_request(key));
    if (!answer.found) throw_no_key(detail::shown_key(key), answer);
    return decode_value<V>(answer.bytes);
  }
  /// The same, or `otherwise` if there is no such key.
  V pop(const K& key, V otherwise) {
    const auto answer = ask(Op::pop, key_request(key));
    return answer.found ? decode_value<V>(answer.bytes) : std::move(otherwise);
  }

  /// All of it at one moment, in the order in which the keys were first set.
  std::vector<K> keys() const {
    std::vector<K> all;
    for_each_item(ask(Op::keys), [&](auto key, auto) { all.push_back(decode_value<K>(key)); });
    return all;
  }
  std::vector<V> values() const {
    std::vector<V> all;
    for_each_item(ask(Op::values), [&](auto, auto value) { all.push_back(decode_value<V>(value)); });
    return all;
  }
  std::vector<std::pair<K, V>> items() const {
    std::vector<std::pair<K, V>> all;
    for_each_item(ask(Op::items),
                  [&](auto key, auto value) { all.emplace_back(decode_value<K>(key), decode_value<V>(value)); });
    return all;
  }
  std::size_t size() const { return ask_size(); }
  bool empty() const { return size() == 0; }
  void clear() { ask(Op::clear); }

  /// Sets every pair of a map, or of another range of pairs, in one message and at one moment. Python's `update`.
  template <std::ranges::input_range Pairs>
  void update_all(Pairs&& pairs) {
    detail::Buffer request = new_request();
    for (const auto& [key, value] : pairs) append(request, key, value);
    ask(Op::put, std::move(request));
  }
  /// Runs `f(value)`, a `V&`, in this process while the home keeps all other changes of this dict waiting (reads see
  /// the value as it was), and sets the key to what `f` made of it. A missing key starts with `V{}`. If `f` throws, or
  /// this process ends, nothing has changed. What `f` returns. @throws std::logic_error if `f` changes this dict in
  /// another way, which would wait for itself; std::out_of_range for a missing key if V has no default constructor
  template <class F>
  requires std::invocable<F, V&>
  auto update(const K& key, F&& f) {
    const auto answer = ask(Op::begin_update, key_request(key));
    const auto begin = [&]() -> V {
      if (answer.found) return decode_value<V>(answer.bytes);
      if constexpr (std::is_default_constructible_v<V>) {
        return V{};
      } else {
        throw_no_key(detail::shown_key(key), answer);
      }
    };
    return run_update(begin, std::forward<F>(f), [&](const V& value) { return item_request(key, value); });
  }

 private:
  friend class Manager;
  template <class T>
  friend struct detail::Codec;
  using Op = detail::ContainerOp;
  explicit Dict(detail::ObjectPtr object) noexcept : Container(std::move(object)) {}

  static void append(detail::Buffer& out, const K& key, const V& value) {
    append_item(
        out, [&] { detail::encode_key(out, key); }, {}, [&] { detail::Codec<V>::encode(out, value); });
  }
  static detail::Buffer item_request(const K& key, const V& value) {
    detail::Buffer request = new_request();
    append(request, key, value);
    return request;
  }
  static detail::Buffer key_request(const K& key) {
    detail::Buffer request = new_request();
    append_item(
        request, [&] { detail::encode_key(request, key); }, {}, [] {});
    return request;
  }
};

}  // namespace rankpool
