#include "client/describe.hpp"

#include <rankpool/errors.hpp>

#include "wire/error_record.hpp"

namespace rankpool::client {

std::string describe(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const RemoteInfo& remote) {
    return remote.trace();
  } catch (...) {
    const wire::ErrorRecord record = wire::describe_current_exception();
    std::string text = record.type_name + ": " + record.what;
    for (const auto& cause : record.causes) text += "\n  caused by " + cause.type_name + ": " + cause.what;
    return text;
  }
}

}  // namespace rankpool::client
