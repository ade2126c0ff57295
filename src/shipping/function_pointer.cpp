#include <rankpool/detail/function_pointer.hpp>

#include <dlfcn.h>
#include <unwind.h>

#include <cstdio>
#include <string>

#include <rankpool/detail/callable_codec.hpp>
#include <rankpool/detail/type_name.hpp>
#include <rankpool/errors.hpp>

#include "shipping/hash.hpp"
#include "shipping/module_map.hpp"

namespace rankpool::detail {
namespace {

using shipping::hash_of;
using shipping::mix;
using shipping::Module;

std::string hexadecimal(std::uint64_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(number));
  return text;
}

/// The unwind tables know every function, static ones and stripped programs too; the symbols know functions in
/// assembler, and the place where a program that is not position-independent enters a library.
bool is_function_start(std::uintptr_t address) {
  void* inside = reinterpret_cast<void*>(address + 1);
  if (reinterpret_cast<std::uintptr_t>(_Unwind_FindEnclosingFunction(inside)) == address) return true;
  Dl_info symbol{};
  return dladdr(reinterpret_cast<void*>(address), &symbol) != 0 &&
         reinterpret_cast<std::uintptr_t>(symbol.dli_saddr) == address;
}

std::uint64_t checksum(const WireFunction& wire, const std::type_info& type) {
  return mix(mix(wire.module, wire.offset), hash_of(type));
}

std::uint64_t checksum(const WireMember& wire, const std::type_info& type) {
  return mix(mix(mix(checksum(wire.function, type), wire.function.check), wire.virtual_place), wire.adjustment);
}

[[noreturn]] void throw_damaged_function(const std::type_info& type) {
  throw UnknownFunction("a function of type " + demangle(type.name()) +
                        " was expected, but the message is damaged or holds a function of another type");
}

// Where the ABI keeps the mark of a virtual function.
#if defined(__aarch64__) || defined(__arm__)
constexpr bool mark_in_adjustment = true;
#else
constexpr bool mark_in_adjustment = false;
#endif

}  // namespace

WireFunction encode_function(std::uintptr_t address, const std::type_info& type) {
  WireFunction wire;
  if (address != 0) {
    const std::optional<Module> module = shipping::module_at(address);
    const auto describe = [&] { return "the pointer " + hexadecimal(address) + " of type " + demangle(type.name()); };
    if (!module) {
      throw UnknownFunction(describe() + " is in no module of this process, so it is no function that can be sent");
    }
    if (!is_function_start(address)) {
      throw UnknownFunction(describe() + " is not the start of a function of " + module->name);
    }
    wire.module = module->id;
    wire.offset = address - module->base;
  }
  wire.check = checksum(wire, type);
  return wire;
}

std::uintptr_t decode_function(const WireFunction& wire, const std::type_info& type) {
  if (wire.check != checksum(wire, type)) throw_damaged_function(type);
  if (wire.module == 0 && wire.offset == 0) return 0;
  const std::optional<Module> module = shipping::module_with_id(wire.module);
  if (!module) {
    throw BinaryMismatch(
        "a function of type " + demangle(type.name()) +
        " is in a library that this process has not loaded, or has in another build (id " + hexadecimal(wire.module) +
        "): link the library instead of loading it with dlopen, and install the same one on every host");
  }
  const std::uintptr_t address = module->base + wire.offset;
  if (address < module->code_begin || address >= module->code_end || !is_function_start(address)) {
    throw UnknownFunction("a message names " + module->name + "+" + hexadecimal(wire.offset) +
                          ", which is not the start of a function");
  }
  return address;
}

WireMember encode_member(const MemberWords& words, const std::type_info& type) {
  WireMember wire;
  wire.adjustment = words.adjustment;
  const bool is_virtual = ((mark_in_adjustment ? words.adjustment : words.function) & 1) != 0;
  if (is_virtual) {
    wire.virtual_place = words.function + (mark_in_adjustment ? 1 : 0);
  } else {
    wire.function = encode_function(words.function, type);
  }
  wire.check = checksum(wire, type);
  return wire;
}

MemberWords decode_member(const WireMember& wire, const std::type_info& type) {
  if (wire.check != checksum(wire, type)) throw_damaged_function(type);
  MemberWords words;
  words.adjustment = wire.adjustment;
  if (wire.virtual_place != 0) {
    words.function = wire.virtual_place - (mark_in_adjustment ? 1 : 0);
  } else {
    words.function = decode_function(wire.function, type);
  }
  return words;
}

void require_callable_pointer(bool is_null, const std::type_info& type) {
  if (is_null) throw UnknownFunction("a null pointer of type " + demangle(type.name()) + " cannot be called");
}

}  // namespace rankpool::detail
