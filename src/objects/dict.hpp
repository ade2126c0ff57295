// The home side of a dict, and of a space.
#pragma once

#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "objects/container.hpp"
#include "objects/kept_value.hpp"

namespace rankpool::objects {

/// Keys and values, in the order in which the keys were first set. A key is its bytes. In a space each value has a type
/// of its own, whose name is kept beside it.
class Dict final : public Container {
 private:
  struct Entry {
    std::string key;
    std::string type;
    KeptValue value;
  };
  using Entries = std::list<Entry>;

  void serve(const Request& request, Home& home) override;
  bool begin_update(const Request& request, Home& home) override;
  std::span<const std::byte> items_of(std::span<const std::byte> body) const override { return body; }
  void clear(Home& home) override;

  Entries::iterator find(std::span<const std::byte> body);
  void get(const Request& request, Home& home);
  void put(const Request& request, Home& home);
  void erase(Entries::iterator entry, Home& home);
  void answer_no(const Caller& to, std::string_view type, Home& home) const;
  void list(const Caller& to, bool keys, bool values, Home& home) const;

  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> index_;  // into the keys of entries_
};

}  // namespace rankpool::objects
