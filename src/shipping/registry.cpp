#include <cstdio>
#include <mutex>
#include <string>
#include <unordered_map>

#include <rankpool/detail/dispatch.hpp>
#include <rankpool/detail/type_name.hpp>
#include <rankpool/errors.hpp>

#include "shipping/hash.hpp"
#include "shipping/module_map.hpp"

namespace rankpool::detail {
namespace {

/// Every dispatcher of the process. One object, in the compiled library, so that lambdas in libraries with hidden
/// visibility are found too.
struct Registry {
  std::mutex mutex;
  Entry* first = nullptr;
  std::unordered_map<std::uint64_t, Entry*> by_handle;  ///< filled when something is not found
};

Registry& registry() {
  // Made by the first static initialiser that needs it, and never destroyed: others may still need it at exit.
  static Registry& only = *new Registry;
  return only;
}

std::uint64_t compute_handle(const Entry& entry) {
  const auto address = [](auto* function) { return reinterpret_cast<std::uintptr_t>(function); };
  const auto module = shipping::module_at(address(entry.run));
  if (!module) {
    throw UnknownFunction("the code that calls " + demangle(entry.callable->name()) +
                          " is in no module of this process");
  }
  // All three functions count: a linker may fold equal machine code, but what all three do alike is alike.
  std::uint64_t handle = module->id;
  for (const std::uintptr_t part : {address(entry.run), address(entry.load), address(entry.destroy)}) {
    handle = shipping::mix(handle, part - module->base);
  }
  return handle == 0 ? 1 : handle;
}

}  // namespace

void link_entry(Entry& entry) noexcept {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  entry.next = all.first;
  all.first = &entry;
}

void unlink_entry(Entry& entry) noexcept {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  for (Entry** at = &all.first; *at != nullptr; at = &(*at)->next) {
    if (*at == &entry) {
      *at = entry.next;
      break;
    }
  }
  std::erase_if(all.by_handle, [&](const auto& known) { return known.second == &entry; });
}

std::uint64_t handle_of(Entry& entry) {
  std::uint64_t handle = entry.handle.load(std::memory_order_relaxed);
  if (handle == 0) {
    handle = compute_handle(entry);
    entry.handle.store(handle, std::memory_order_relaxed);
  }
  return handle;
}

const Entry& find_entry(std::uint64_t handle) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto at = all.by_handle.find(handle);
  if (at == all.by_handle.end()) {
    for (Entry* entry = all.first; entry != nullptr; entry = entry->next) {
      all.by_handle.emplace(handle_of(*entry), entry);
    }
    at = all.by_handle.find(handle);
  }
  if (at == all.by_handle.end()) {
    char number[24];
    std::snprintf(number, sizeof number, "0x%llx", static_cast<unsigned long long>(handle));
    throw UnknownFunction(
        std::string("no callable has the handle ") + number + " in this process (" +
        std::to_string(all.by_handle.size()) +
        " are known): the message is damaged, or the code that sent it is in a library that this process "
        "has not loaded or has in another build; link the library instead of loading it with dlopen, and "
        "install the same one on every host");
  }
  return *at->second;
}

}  // namespace rankpool::detail
