// What every stand-in for an engine has in common, in tests of the state machines of objects.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "objects/object.hpp"

namespace support {

/// Says nothing, finds nothing, and counts the pins of handles by their numbers.
class SilentHome : public rankpool::objects::Home {
 public:
  void note(std::uint64_t, rankpool::wire::Address, std::uint32_t, std::span<const std::byte>,
            const rankpool::link::PayloadView&) override {}
  void note_all(std::uint64_t, std::uint32_t, std::span<const std::byte>) override {}
  void pin(const rankpool::wire::Pin& pin) override { ++pins[pin.number]; }
  void unpin(const rankpool::wire::Pin& pin) override { --pins[pin.number]; }
  rankpool::objects::Object* find(std::uint64_t) override { return nullptr; }

  std::map<std::uint64_t, std::int64_t> pins;

 protected:
  ~SilentHome() = default;
};

}  // namespace support
