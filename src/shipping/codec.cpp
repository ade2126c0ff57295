// The parts of the codec that need not be compiled in every program.
#include <rankpool/detail/codec.hpp>

#include <cxxabi.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include <rankpool/detail/type_name.hpp>
#include <rankpool/errors.hpp>

namespace rankpool::detail {

std::string demangle(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                         &std::free);
  if (name == nullptr) return mangled;
  // as everybody writes it
  constexpr std::string_view long_string =
      "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
  std::string text = name.get();
  for (std::size_t at = text.find(long_string); at != std::string::npos; at = text.find(long_string, at))
    text.replace(at, long_string.size(), "std::string");
  return text;
}

namespace {

/// Of this thread's stack: below this there is not enough room for another level and what handles its error.
std::uintptr_t lowest_level() noexcept {
  constexpr std::size_t most_kept = 256 * 1024;
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return 0;
  void* bottom = nullptr;
  std::size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &bottom, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  return known ? reinterpret_cast<std::uintptr_t>(bottom) + std::min(most_kept, size / 4) : 0;
}

}  // namespace

void check_depth() {
  thread_local const std::uintptr_t lowest = lowest_level();
  if (reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) >= lowest) [[likely]]
    return;
  throw SerializationError(
      "values are nested too deeply for the stack of this thread: send them as a flat container, or raise the limit of "
      "the stack (ulimit -s); or is the message damaged?");
}

void throw_too_short(std::uint64_t wanted, std::uint64_t left) {
  throw SerializationError("a message is too short: " + std::to_string(wanted) + " bytes were expected, " +
                           std::to_string(left) +
                           " are left; is a serialize() function reading more than it writes, or the message damaged?");
}

void throw_damaged(const char* what) {
  throw SerializationError(std::string("a message is damaged: ") + what +
                           "; is a serialize() function reading something else than it writes?");
}

void throw_unsendable(const char* what) { throw SerializationError(std::string("cannot be sent: ") + what); }

void throw_left_over(const std::type_info& type, std::size_t bytes) {
  throw SerializationError(std::to_string(bytes) + " bytes are left over after a value of type " +
                           demangle(type.name()) + " was read: is a serialize() function reading less than it writes?");
}

}  // namespace rankpool::detail
