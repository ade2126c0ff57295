#include <rankpool/outcome.hpp>

namespace rankpool::detail {

std::string message_of(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& thrown) {
    return thrown.what();
  } catch (...) {
    return "something that is no std::exception was thrown";
  }
}

}  // namespace rankpool::detail
