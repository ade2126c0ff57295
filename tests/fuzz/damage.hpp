// How valid bytes become invalid ones, and what every decoder must stand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace fuzz {

using Bytes = std::vector<std::byte>;
using Random = std::mt19937_64;

constexpr std::uint64_t seed = 20240229;

/// Set by allocation_guard.cpp: the largest piece of memory that was asked for.
std::size_t largest_allocation() noexcept;
constexpr std::size_t most_allocated = 64 * 1024 * 1024;

template <class T>
void append(Bytes& bytes, const T& value) {
  for (const std::byte byte : std::as_bytes(std::span(&value, 1))) bytes.push_back(byte);
}
inline void append(Bytes& bytes, const Bytes& more) {
  for (const std::byte byte : more) bytes.push_back(byte);
}

/// Takes numbers off the front; zeros behind the end.
class Source {
 public:
  explicit Source(std::span<const std::byte> bytes) : rest_(bytes) {}
  bool empty() const noexcept { return rest_.empty(); }
  template <class T>
  T get() {
    T value{};
    const std::size_t size = std::min(sizeof value, rest_.size());
    if (size != 0) std::memcpy(&value, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return value;
  }
  std::span<const std::byte> take(std::size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::span<const std::byte> rest() const noexcept { return rest_; }

 private:
  std::span<const std::byte> rest_;
};

/// Bits flipped, numbers made extreme, pieces cut out, doubled or cut off the end.
inline void damage(Bytes& bytes, Random& random) {
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  const auto at = [&](std::size_t index) { return bytes.begin() + static_cast<std::ptrdiff_t>(index); };
  for (std::size_t times = 1 + below(3); times > 0 && !bytes.empty(); --times) {
    const std::size_t where = below(bytes.size());
    switch (below(8)) {
      case 0:
      case 1:
        bytes[where] ^= static_cast<std::byte>(1u << below(8));
        break;
      case 2:
        bytes[where] = static_cast<std::byte>(random());
        break;
      case 3:
      case 4: {
        static constexpr std::uint64_t extreme[] = {0,
                                                    1,
                                                    2,
                                                    15,
                                                    16,
                                                    0x7f,
                                                    0xff,
                                                    0xffff,
                                                    0x10000,
                                                    0x7fffffff,
                                                    0x80000000,
                                                    0xffffffff,
                                                    0x100000000,
                                                    0x3fffffffffffffff,
                                                    1ull << 62,
                                                    0x7fffffffffffffff,
                                                    0x8000000000000000,
                                                    0xfffffffffffffff8,
                                                    0xffffffffffffffff};
        const std::uint64_t number = extreme[below(std::size(extreme))];
        const std::size_t size = std::size_t{1} << below(4);
        const std::size_t place = below(2) == 0 ? where : where / 8 * 8;
        if (place + size <= bytes.size()) std::memcpy(&bytes[place], &number, size);
        break;
      }
      case 5: {
        const std::size_t count = std::min(1 + below(24), bytes.size() - where);
        bytes.erase(at(where), at(where + count));
        break;
      }
      case 6: {
        const std::size_t count = std::min(1 + below(24), bytes.size() - where);
        const Bytes piece(at(where), at(where + count));
        bytes.insert(at(where), piece.begin(), piece.end());
        break;
      }
      default:
        if (below(4) == 0) bytes.resize(where);
    }
  }
}

/// Runs `decode` on `rounds` damaged copies of the seeds, each of which it must take undamaged.
template <class Decode>
void run_damaged(const std::vector<Bytes>& seeds, int rounds, Decode&& decode) {
  Random random(seed);
  for (const Bytes& whole : seeds) decode(std::span<const std::byte>(whole));
  for (int round = 0; round < rounds; ++round) {
    Bytes bytes = seeds[static_cast<std::size_t>(round) % seeds.size()];
    damage(bytes, random);
    decode(std::span<const std::byte>(bytes));
  }
}

}  // namespace fuzz
