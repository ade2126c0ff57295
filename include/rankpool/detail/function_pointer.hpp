// Pointers to functions on their way to another process, where everything lies elsewhere.
#pragma once

#include <cstdint>
#include <typeinfo>

namespace rankpool::detail {

/// A function: its module, its place in there, and a checksum over both and the type of the pointer.
struct WireFunction {
  std::uint64_t module = 0;
  std::uint64_t offset = 0;
  std::uint64_t check = 0;
};

/// What a pointer to a member function is made of (Itanium C++ ABI): a function, or for a virtual one its place in the
/// vtable, and what to add to `this`.
struct WireMember {
  WireFunction function;
  std::uint64_t virtual_place = 0;  ///< place in the vtable + 1; 0: not virtual
  std::uint64_t adjustment = 0;
  std::uint64_t check = 0;
};

/// A null pointer stays one. @throws UnknownFunction if this is not the start of a function
WireFunction encode_function(std::uintptr_t address, const std::type_info& type);
/// Any thread may call. @throws UnknownFunction for damaged bytes, another type, or a place where no function begins;
/// BinaryMismatch if this process lacks the library, or has another build of it
std::uintptr_t decode_function(const WireFunction& wire, const std::type_info& type);

/// The two words of a pointer to a member function.
struct MemberWords {
  std::uintptr_t function = 0;
  std::uintptr_t adjustment = 0;
};
/// As encode_function, but a null pointer is refused. @throws UnknownFunction
WireMember encode_member(const MemberWords& words, const std::type_info& type);
/// As decode_function.
MemberWords decode_member(const WireMember& wire, const std::type_info& type);

}  // namespace rankpool::detail
