// Lets exception types of the user's own keep their type on the way to another process.
#pragma once

#include <exception>
#include <string>
#include <type_traits>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/remote_exception.hpp>
#include <rankpool/errors.hpp>

namespace rankpool {

/// An E that a task throws reaches the caller as a type derived from E and RemoteInfo instead of as RemoteError. To be
/// called before `run`, so that every process knows. E has a Boost `serialize` and a default constructor; what() is
/// kept without its help. Types derived from E need a registration of their own.
template <class E>
void register_exception() {
  static_assert(std::is_base_of_v<std::exception, E>, "rankpool: register_exception<E>: E must be a std::exception");
  static_assert(!std::is_base_of_v<Error, E> && !std::is_base_of_v<RemoteInfo, E>,
                "rankpool: register_exception<E>: the errors of rankpool keep their types anyway");
  static_assert(!std::is_final_v<E>,
                "rankpool: register_exception<E>: E must not be final, since a type is derived from it");
  static_assert(
      std::is_copy_constructible_v<E> && Sendable<E>,
      "rankpool: register_exception<E>: E needs a Boost serialize(), a default constructor and a copy constructor");
  struct Travel {
    static void save(const E& error, detail::Buffer& details) { detail::Codec<E>::encode(details, error); }
    static E make(const std::string&, detail::Reader& details) { return detail::Codec<E>::decode(details); }
  };
  detail::register_error_kind(detail::error_kind<E, Travel>());
}

}  // namespace rankpool
