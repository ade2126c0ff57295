// The program and the libraries that this process has loaded, by address and by build.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rankpool::shipping {

/// The main program or a shared library.
struct Module {
  std::string name;
  std::uintptr_t base = 0;  ///< what its addresses are relative to
  std::uintptr_t code_begin = 0;
  std::uintptr_t code_end = 0;
  std::uint64_t id = 0;  ///< equal in all processes for the same build, and only for that
  std::string build_id;  ///< hexadecimal; of the linker, or of the code itself where the linker gave none
};

/// The module whose code holds an address, also if it was loaded just now. Any thread may call.
std::optional<Module> module_at(std::uintptr_t address);
/// The module with this id, if this process has loaded it. Any thread may call.
std::optional<Module> module_with_id(std::uint64_t id);

/// Equal on two ranks only if they run the same build of the main program: compared at start-up.
std::uint64_t program_build_id();
/// The same for messages: hexadecimal, as `file` and `readelf -n` print it.
std::string program_build_id_text();

}  // namespace rankpool::shipping
