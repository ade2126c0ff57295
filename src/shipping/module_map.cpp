#include "shipping/module_map.hpp"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "shipping/hash.hpp"

namespace rankpool::shipping {
namespace {

std::string hexadecimal(std::span<const unsigned char> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

/// The build-id among the notes of one segment; empty if it is not there.
std::span<const unsigned char> find_build_id(const unsigned char* at, std::size_t size, std::size_t alignment) {
  const auto padded = [alignment](std::size_t n) { return (n + alignment - 1) & ~(alignment - 1); };
  const unsigned char* const end = at + size;
  while (static_cast<std::size_t>(end - at) >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof note);
    const std::size_t whole = sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
    if (whole > static_cast<std::size_t>(end - at)) break;
    const unsigned char* name = at + sizeof note;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
      return {name + padded(note.n_namesz), note.n_descsz};
    }
    at += whole;
  }
  return {};
}

/// All modules, as they were when the dynamic linker last loaded or unloaded one.
class ModuleMap {
 public:
  using Modules = std::vector<Module>;

  std::shared_ptr<const Modules> current() {
    Changes changes;
    dl_iterate_phdr(&read_changes, &changes);
    const std::lock_guard lock(mutex_);
    if (modules_ == nullptr || changes != changes_) {
      Scan scan{.known = modules_.get(), .found = {}};
      dl_iterate_phdr(&add_module, &scan);
      modules_ = std::make_shared<const Modules>(std::move(scan.found));
      changes_ = changes;
    }
    return modules_;
  }

 private:
  using Changes = std::pair<unsigned long long, unsigned long long>;
  struct Scan {
    const Modules* known;
    Modules found;
  };

  static int read_changes(dl_phdr_info* info, std::size_t, void* changes) {
    *static_cast<Changes*>(changes) = {info->dlpi_adds, info->dlpi_subs};
    return 1;
  }

  static int add_module(dl_phdr_info* info, std::size_t, void* into) {
    auto& scan = *static_cast<Scan*>(into);
    Module module;
    const bool named = info->dlpi_name != nullptr && *info->dlpi_name != '\0';
    module.name = named ? info->dlpi_name : "the main program";
    module.base = info->dlpi_addr;
    module.code_begin = UINTPTR_MAX;
    std::span<const unsigned char> id;
    for (const auto& segment : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
      const std::uintptr_t begin = module.base + segment.p_vaddr;
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0) {
        module.code_begin = std::min(module.code_begin, begin);
        module.code_end = std::max(module.code_end, begin + segment.p_memsz);
      } else if (segment.p_type == PT_NOTE && id.empty()) {
        id =
            find_build_id(reinterpret_cast<const unsigned char*>(begin), segment.p_memsz, segment.p_align == 8 ? 8 : 4);
      }
    }
    if (module.code_end == 0) return 0;
    if (!id.empty()) {
      module.id = hash_bytes(id.data(), id.size());
      module.build_id = hexadecimal(id);
    } else {
      hash_code(module, scan.known);
    }
    scan.found.push_back(std::move(module));
    return 0;
  }

  /// Stands in for a build-id. The code may be large, so it is read once only.
  static void hash_code(Module& module, const Modules* known) {
    if (known != nullptr) {
      const auto same = [&](const Module& other) {
        return other.name == module.name && other.code_begin == module.code_begin && other.code_end == module.code_end;
      };
      if (const auto at = std::find_if(known->begin(), known->end(), same); at != known->end()) {
        module.id = at->id;
        module.build_id = at->build_id;
        return;
      }
    }
    module.id = hash_bytes(reinterpret_cast<const void*>(module.code_begin), module.code_end - module.code_begin);
    module.build_id = hexadecimal({reinterpret_cast<const unsigned char*>(&module.id), sizeof module.id});
  }

  std::mutex mutex_;
  std::shared_ptr<const Modules> modules_;
  Changes changes_;
};

std::shared_ptr<const ModuleMap::Modules> modules() {
  // Never destroyed: functions may be sent until the very end of the process.
  static ModuleMap& map = *new ModuleMap;
  return map.current();
}

template <class Predicate>
std::optional<Module> find_module(Predicate predicate) {
  const auto all = modules();
  const auto at = std::find_if(all->begin(), all->end(), predicate);
  if (at == all->end()) return std::nullopt;
  return *at;
}

}  // namespace

std::optional<Module> module_at(std::uintptr_t address) {
  return find_module([=](const Module& module) { return module.code_begin <= address && address < module.code_end; });
}

std::optional<Module> module_with_id(std::uint64_t id) {
  return find_module([=](const Module& module) { return module.id == id; });
}

// The dynamic linker lists the main program first.
std::uint64_t program_build_id() { return modules()->front().id; }

std::string program_build_id_text() { return modules()->front().build_id; }

}  // namespace rankpool::shipping
