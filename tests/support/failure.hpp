// What a call has thrown, to be looked at from several sides.
#pragma once

#include <cxxabi.h>

#include <concepts>
#include <exception>
#include <ostream>
#include <string>
#include <typeinfo>

namespace support {

class Failure {
 public:
  template <std::invocable Call>
  explicit Failure(Call&& call) {
    try {
      call();
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  explicit operator bool() const noexcept { return error_ != nullptr; }
  /// Null if it can not be caught as an E; lives as long as this object.
  template <class E>
  const E* as() const {
    if (!error_) return nullptr;
    try {
      std::rethrow_exception(error_);
    } catch (const E& error) {
      return &error;
    } catch (...) {
      return nullptr;
    }
  }
  template <class E>
  bool is() const {
    return as<E>() != nullptr;
  }
  /// what(), or nothing if it has none.
  std::string what() const {
    const auto* error = as<std::exception>();
    return error == nullptr ? std::string() : error->what();
  }

  friend std::ostream& operator<<(std::ostream& out, const Failure& failure) {
    if (!failure) return out << "nothing was thrown";
    return out << "thrown: " << failure.type() << ": " << failure.what().substr(0, 500);
  }

 private:
  std::string type() const {
    try {
      std::rethrow_exception(error_);
    } catch (...) {
      const std::type_info* const type = abi::__cxa_current_exception_type();
      return type == nullptr ? "?" : type->name();
    }
  }

  std::exception_ptr error_;
};

}  // namespace support
