// A value of a container at its home.
#pragma once

#include <span>
#include <vector>

#include <rankpool/detail/buffer.hpp>

#include "link/payload.hpp"
#include "objects/object.hpp"
#include "wire/containers.hpp"

namespace rankpool::objects {

/// The bytes of a value. The objects whose handles are among them are held as long as it is kept, and each copy that is
/// handed out is pinned once more, since whoever decodes it takes a pin off.
class KeptValue {
 public:
  /// Takes a value over from a message: `item` lies in `slice`, or in line if that is empty.
  KeptValue(const wire::ItemView& item, const link::Slice& slice, Home& home);
  KeptValue(KeptValue&&) noexcept = default;
  KeptValue& operator=(KeptValue&&) noexcept = default;

  std::span<const std::byte> bytes() const { return bytes_.view().read(); }
  /// Answers with a copy.
  void give(const Caller& to, Home& home) const;
  /// A copy is about to be handed out.
  void pin(Home& home) const;
  /// To be called once before it goes.
  void let_go(Home& home) const;
  /// A message with this item is not taken over.
  static void refuse(const wire::ItemView& item, Home& home);

 private:
  link::Payload bytes_;
  std::vector<wire::Pin> handles_;
};

/// Answers with what the buffer holds, and empties it.
void reply_buffer(const Caller& to, detail::Buffer& buffer, Home& home);
/// Appends an item, without the handles in it.
void append_item(detail::Buffer& out, std::string_view key, std::span<const std::byte> value);

}  // namespace rankpool::objects
