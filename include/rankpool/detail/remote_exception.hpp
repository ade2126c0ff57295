// Exceptions that keep their type on the way to another process.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/reader.hpp>
#include <rankpool/errors.hpp>

namespace rankpool::detail {

#pragma GCC visibility push(default)

/// An E that was thrown in another process.
template <class E>
class Remote final : public E, public RemoteInfo {
 public:
  Remote(E error, RemoteInfo info) : E(std::move(error)), RemoteInfo(std::move(info)) {}
  /// The original text, also of types that keep none.
  const char* what() const noexcept override { return remote_what().c_str(); }
};

#pragma GCC visibility pop

/// How one type of exception travels. What it holds besides its text goes into the buffer.
struct ErrorKind {
  const std::type_info* type;
  const std::type_info* remote_type;  ///< thrown in place of it, perhaps through several processes
  void (*save)(const std::exception& error, Buffer& details);
  std::exception_ptr (*make)(const RemoteInfo& info, Reader& details);
};

/// Any thread may call. The last one registered for a type counts.
void register_error_kind(const ErrorKind& kind);

/// `Travel` has save(const E&, Buffer&) and make(text, Reader&) -> E.
template <class E, class Travel>
constexpr ErrorKind error_kind() {
  return {.type = &typeid(E),
          .remote_type = &typeid(Remote<E>),
          .save = [](const std::exception& error,
                     Buffer& details) { Travel::save(dynamic_cast<const E&>(error), details); },
          .make =
              [](const RemoteInfo& info, Reader& details) {
                // not make_exception_ptr: that makes a copy, and what a copy throws would stand for the error
                try {
                  throw Remote<E>(Travel::make(info.remote_what(), details), info);
                } catch (const Remote<E>&) {
                  return std::current_exception();
                }
              }};
}

}  // namespace rankpool::detail
