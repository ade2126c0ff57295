// What a process has of a Value or Array.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "client/lock.hpp"
#include "wire/window.hpp"
#include "wire/words.hpp"

namespace rankpool::client {

/// Where windows are mapped it is memory in the window of its home, else the home is asked; but words and arrays are
/// reached through this process's engine alone where that can do one-sided operations.
class WordsObject final : public LockObject {
 public:
  WordsObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id, detail::Reader* saved);

  /// When it was made. @throws Error if there is no room for it
  void locate(std::uint64_t bytes);

  std::uint64_t bytes() const noexcept { return bytes_; }
  using LockObject::direct;
  using LockObject::one_sided;
  std::byte* data() const {
    std::byte* const own = data_.load(std::memory_order_acquire);
    return own != nullptr ? own : map_data();
  }

  // Where windows are not mapped.

  Reply ask_word(const wire::WordRequest& request);
  Reply ask_bytes(wire::WordsOp operation, std::uint64_t offset, std::uint64_t length,
                  std::span<const std::byte> first = {}, std::span<const std::byte> second = {});

  /// Any of these bytes, as those of an array.
  void read(std::uint64_t offset, std::span<std::byte> to);
  void write(std::uint64_t offset, std::span<const std::byte> from);

  // Where they are: a value as a record. Two copies, of which the version says which one counts: readers never wait for
  // a writer, and one that dies has changed nothing. Writers have a lock of their own.

  static std::uint64_t record_bytes(std::size_t size) noexcept { return record_head + 2 * copy_bytes(size); }
  void load_record(std::span<std::byte> to);
  /// Changes the record in one step: `change(before)` gets the bytes now and returns those wanted; none: no change. It
  /// must not throw.
  template <class Change>
  void change_record(std::size_t size, Change&& change);

 protected:
  void save(detail::Buffer& out) const override;
  void on_home_lost() override {
    LockObject::on_home_lost();
    data_.store(nullptr, std::memory_order_release);
  }

 private:
  static constexpr std::size_t record_head = 64;
  static std::size_t copy_bytes(std::size_t size) noexcept { return (size + 63) / 64 * 64; }
  std::byte* map_data() const;
  std::byte* copy_of(std::uint64_t version, std::size_t size) const {
    return data() + record_head + version % 2 * copy_bytes(size);
  }

  std::uint64_t bytes_ = 0;  // as the user counts
  mutable std::atomic<std::byte*> data_{nullptr};
};

/// The bytes of an answer, which must be as many. @throws wire::BadFrame
void copy_answer(const Reply& reply, std::span<std::byte> to);

}  // namespace rankpool::client
