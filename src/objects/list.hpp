// The home side of a list.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "objects/container.hpp"
#include "objects/kept_value.hpp"

namespace rankpool::objects {

/// Values in order; a negative index counts from the end.
class List final : public Container {
 private:
  void serve(const Request& request, Home& home) override;
  bool begin_update(const Request& request, Home& home) override;
  std::span<const std::byte> items_of(std::span<const std::byte> body) const override;
  void clear(Home& home) override;

  /// None if there is no such element; that has been answered then.
  std::optional<std::size_t> find(const Request& request, Home& home) const;
  void put(const Request& request, Home& home);
  void insert(const Request& request, Home& home);
  void list(const Caller& to, Home& home) const;

  std::deque<KeptValue> values_;
};

}  // namespace rankpool::objects
