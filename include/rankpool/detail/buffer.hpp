// Bytes on their way into a frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace rankpool::client {
class RemoteObject;
}

namespace rankpool::detail {

/// Growable bytes that end up in a frame: on the heap while they are few, in a memfd once they are more than
/// `segment_threshold`, so that a large payload is written once and then travels by reference on its host.
class Buffer {
 public:
  static constexpr std::size_t segment_threshold = 32 * 1024;

  Buffer() noexcept = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) release();
  }

  /// Room for `count` more bytes at the end, not yet written. Throws std::bad_alloc or std::system_error.
  std::byte* extend(std::size_t count) {
    if (capacity_ - size_ < count) grow(count);
    std::byte* at = data_ + size_;
    size_ += count;
    return at;
  }
  void append(const void* from, std::size_t count) {
    if (count >= large_append) {
      append_large(from, count);
    } else if (count != 0) {
      std::memcpy(extend(count), from, count);
    }
  }
  /// Forgets everything after the first `size` bytes (a `serialize` that threw half-way).
  void truncate(std::size_t size) noexcept { size_ = size; }
  void clear() noexcept { size_ = 0; }

  /// An object whose handle is among the bytes.
  struct Carried {
    std::shared_ptr<client::RemoteObject> object;
    std::uint64_t pin = 0;  ///< the number of this handle if the bytes are decoded once
  };
  /// Whoever sends the bytes keeps these until they have been decoded.
  using Cargo = std::vector<Carried>;
  void carry(Carried carried) { cargo_.push_back(std::move(carried)); }
  const Cargo& cargo() const noexcept { return cargo_; }
  Cargo take_cargo() noexcept { return std::exchange(cargo_, {}); }
  /// The bytes are decoded at most once, by a process that is not known yet (an item of a queue): each handle in them
  /// stands for its object by itself, and the sender only has to announce the cargo. Else the cargo is kept alive by
  /// the sender, and the bytes may be decoded any number of times meanwhile.
  void set_decoded_once() noexcept { decoded_once_ = true; }
  bool decoded_once() const noexcept { return decoded_once_; }
  /// Equal values shall have equal bytes, also where some belong to no member of a struct.
  void set_comparable() noexcept { comparable_ = true; }
  bool comparable() const noexcept { return comparable_; }

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// The memfd that holds the bytes, or -1 while they are on the heap.
  int descriptor() const noexcept { return fd_; }
  /// Hands the memfd over to the caller, unmaps it here and leaves the buffer empty; -1 while on the heap.
  int release_descriptor() noexcept;
  /// A memfd and its mapping for writing; `map` is null if there is none.
  struct Memory {
    int fd = -1;
    std::byte* map = nullptr;
    std::size_t capacity = 0;
    std::size_t warm = 0;  ///< bytes from the start that have pages
  };
  /// Hands the memfd over with its mapping and leaves the buffer empty; nothing happens while the bytes are on the
  /// heap.
  Memory release_memory() noexcept;

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(warm_, other.warm_);
    std::swap(fd_, other.fd_);
    cargo_.swap(other.cargo_);
    std::swap(decoded_once_, other.decoded_once_);
    std::swap(comparable_, other.comparable_);
  }

 private:
  static constexpr std::size_t large_append = 64 * 1024;

  void grow(std::size_t count);
  void append_large(const void* from, std::size_t count);
  void release() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t warm_ = 0;  // of the memfd: bytes from the start that have had pages before this content
  int fd_ = -1;
  bool decoded_once_ = false;
  bool comparable_ = false;
  Cargo cargo_;
};

}  // namespace rankpool::detail
