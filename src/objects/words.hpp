// The home side of Value and Array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "objects/lock.hpp"
#include "objects/object.hpp"
#include "wire/window.hpp"
#include "wire/words.hpp"

namespace rankpool::objects {

/// What a word operation finds: the value before, and whether a comparison was equal.
struct WordOutcome {
  std::uint64_t before = 0;
  bool equal = true;
};
/// Does it at this place, where nobody else does anything meanwhile. Integers wrap.
WordOutcome perform(std::byte* at, const wire::WordRequest& request) noexcept;

/// Bytes in the window of the home, and a lock. Where user processes map the windows, or engines reach them by
/// one-sided operations, it only keeps their places; else it does what they ask, one request after the other. Values
/// that are no words are reached by requests also where there are one-sided operations.
class Words final : public Object {
 public:
  /// `body`: a wire::WordsMake. @throws wire::BadFrame
  Words(std::uint64_t number, std::span<const std::byte> body, Home& home);

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override { lock_.withdraw(caller, home); }
  void left(wire::Address process, Home& home) override { lock_.left(process, home); }
  void died(wire::Address process, const link::LeaseStates& leases, Home& home) override {
    lock_.died(process, leases, home);
  }
  void word_swapped(std::uint64_t before, Home& home) override { lock_.word_swapped(before, home); }
  void released(Home& home) override;

 private:
  void where(const Caller& caller, Home& home);
  /// The bytes that the request is about. @throws wire::BadFrame if they are not all inside
  std::span<std::byte> range(std::uint64_t offset, std::uint64_t length, Home& home) const;
  void on_word(const Caller& caller, const wire::WordRequest& request, Home& home);
  void on_bytes(const Caller& caller, wire::WordsOp operation, std::span<const std::byte> body,
                const link::Slice& slice, Home& home);

  wire::WordsMake made_;
  Lock lock_;
  std::optional<std::uint64_t> data_;  // none: there was no room
};

}  // namespace rankpool::objects
