// The requests of containers, as their handles write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recording_home.hpp"
#include "wire/containers.hpp"

namespace support {

using Bytes = std::vector<std::byte>;

inline void append(Bytes& out, const void* from, std::size_t count) {
  const auto* const bytes = static_cast<const std::byte*>(from);
  out.insert(out.end(), bytes, bytes + count);
}
/// One item; `handles` are the numbers of the objects in it.
inline void append_item(Bytes& out, std::string_view key, std::string_view type, std::string_view value,
                        const std::vector<std::uint64_t>& handles = {}) {
  const rankpool::wire::ItemHead head{key.size(), type.size(), value.size(), handles.size()};
  append(out, &head, sizeof head);
  for (const std::string_view part : {key, type, value}) append(out, part.data(), part.size());
  for (const std::uint64_t number : handles) {
    const rankpool::wire::Pin id{{.rank = 3, .number = number}, number + 100};
    append(out, &id, sizeof id);
  }
}
inline Bytes item(std::string_view key, std::string_view value = {}, const std::vector<std::uint64_t>& handles = {}) {
  Bytes out;
  append_item(out, key, {}, value, handles);
  return out;
}
inline Bytes at_index(std::int64_t index, const Bytes& rest = {}) {
  Bytes out;
  append(out, &index, sizeof index);
  append(out, rest.data(), rest.size());
  return out;
}
/// The items of an answer.
inline std::vector<std::pair<std::string, std::string>> items_of(const Answered& answer) {
  std::vector<std::pair<std::string, std::string>> items;
  for (std::span<const std::byte> rest = answer.bytes; !rest.empty();) {
    const auto item = rankpool::wire::take_item(rest);
    items.emplace_back(item.key, std::string(reinterpret_cast<const char*>(item.value.data()), item.value.size()));
  }
  return items;
}

}  // namespace support
