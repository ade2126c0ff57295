// What became of one task.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace rankpool {

namespace detail {

/// The text of an exception; empty for none.
std::string message_of(const std::exception_ptr& error);

}  // namespace detail

/// The result of a task, or its error: one bad task of `Pool::try_map` never costs the others.
template <class R>
class Outcome {
  using Value = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

 public:
  /// That of a task that returned nothing.
  Outcome() requires std::is_void_v<R>
  = default;
  explicit Outcome(Value value) requires(!std::is_void_v<R>) : content_(std::in_place_index<0>, std::move(value)) {}
  explicit Outcome(std::exception_ptr error) : content_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const noexcept { return content_.index() == 0; }
  /// @throws the error of the task, if it has one
  std::add_lvalue_reference_t<R> value() {
    require_ok();
    if constexpr (!std::is_void_v<R>) return std::get<0>(content_);
  }
  std::add_lvalue_reference_t<const R> value() const {
    require_ok();
    if constexpr (!std::is_void_v<R>) return std::get<0>(content_);
  }
  /// Null if there is none.
  std::exception_ptr error() const noexcept { return ok() ? nullptr : *std::get_if<1>(&content_); }
  /// The text of the error; empty if there is none.
  std::string message() const { return detail::message_of(error()); }

 private:
  void require_ok() const {
    if (!ok()) std::rethrow_exception(std::get<1>(content_));
  }

  std::variant<Value, std::exception_ptr> content_;
};

}  // namespace rankpool
