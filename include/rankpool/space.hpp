// Named values of any types that many processes share.
#pragma once

#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/container.hpp>
#include <rankpool/detail/refusals.hpp>
#include <rankpool/detail/stored.hpp>

namespace rankpool {

/// Named values at the home rank of the space, each of its own type; copies are handles of one space. Any thread may
/// use it, and it can be sent anywhere, also as a value of a container. Every call asks the home and waits for its
/// answer. Made by Manager::space. Mirrors `multiprocessing.Manager().Namespace()`.
class Space : public detail::Container {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::space;

  /// The same space by a handle whose calls wait at most `limit` while another process updates it. @throws TimeoutError
  /// from those calls, if that lasts longer: they have changed nothing
  template <class Rep, class Period>
  Space within(std::chrono::duration<Rep, Period> limit) const {
    return limited(*this, limit);
  }

  /// A string literal is kept as a std::string. The type may differ from that of the value before.
  template <class T>
  void set(std::string_view name, const T& value) {
    using Kept = detail::Stored<const T&>;
    detail::require_sendable<Kept>();
    detail::Buffer request = new_request();
    append_item(
        request, [&] { request.append(name.data(), name.size()); }, typeid(Kept).name(),
        [&] { detail::Codec<Kept>::encode(request, value); });
    ask(Op::put, std::move(request));
  }
  /// @throws std::out_of_range if there is no such name; TypeMismatch if its value is not a T
  template <class T>
  T get(std::string_view name) const {
    detail::require_sendable<T>();
    const auto answer = ask(Op::get, name_request(name, typeid(T).name()));
    if (!answer.found) throw_not_got(name, answer, typeid(T));
    return decode_value<T>(answer.bytes);
  }
  bool contains(std::string_view name) const;
  /// Was there such a name?
  bool erase(std::string_view name);

 private:
  friend class Manager;
  template <class T>
  friend struct detail::Codec;
  using Op = detail::ContainerOp;
  explicit Space(detail::ObjectPtr object) noexcept : Container(std::move(object)) {}

  static detail::Buffer name_request(std::string_view name, std::string_view type);
  [[noreturn]] void throw_not_got(std::string_view name, const detail::ContainerAnswer& answer,
                                  const std::type_info& wanted) const;
};

}  // namespace rankpool
