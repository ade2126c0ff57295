// Hashes that are the same in every process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <typeinfo>

namespace rankpool::shipping {

/// Mixes a second number into a first; the order counts.
constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t z = a + 0x9e3779b97f4a7c15ULL * (b + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

inline std::uint64_t hash_bytes(const void* from, std::size_t count) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  const auto* bytes = static_cast<const unsigned char*>(from);
  for (std::size_t i = 0; i < count; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
  return hash;
}

inline std::uint64_t hash_of(const std::type_info& type) noexcept {
  return hash_bytes(type.name(), std::strlen(type.name()));
}

}  // namespace rankpool::shipping
