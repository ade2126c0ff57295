// An exception on its way to another process.
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include <rankpool/detail/dispatch.hpp>
#include <rankpool/errors.hpp>

namespace rankpool::wire {

/// All that another process needs to throw the like of an exception.
struct ErrorRecord {
  using Stage = detail::TaskSink::Stage;
  /// An exception that was nested in it (std::throw_with_nested).
  struct Cause {
    std::string type_name;
    std::string what;
    friend bool operator==(const Cause&, const Cause&) = default;
  };

  std::string kind;       ///< mangled name of the type it travels as (see error_kinds.hpp); empty: as a RemoteError
  std::string type_name;  ///< demangled name of the type that was thrown
  std::string what;
  std::optional<Stage> stage;      ///< of its task; none: it was thrown elsewhere
  std::string arguments;           ///< of its task, in a line; perhaps empty
  std::vector<Cause> causes;       ///< from the outside to the inside
  std::string earlier_trace;       ///< if it had come from another process before
  std::vector<std::byte> details;  ///< as its kind saves them
  friend bool operator==(const ErrorRecord&, const ErrorRecord&) = default;

  void encode(detail::Buffer& out) const;
  /// @throws SerializationError
  static ErrorRecord decode(detail::Reader& in);
};

/// Describes the exception that is being handled, of whatever type.
ErrorRecord describe_current_exception();

/// What the caller shall catch: the type thrown, if it is known here, derived from RemoteInfo too; else a RemoteError.
/// Of `where` the place must be filled in; type_name, what and trace are taken from the record.
std::exception_ptr to_exception(const ErrorRecord& record, RemoteInfo::Data where);

}  // namespace rankpool::wire
