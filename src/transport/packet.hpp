// What travels in one MPI message: a number, and a row of records, each 8-byte aligned. No MPI here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "wire/header.hpp"

namespace rankpool::transport {

/// No packet is larger; the largest frame fits with all that belongs to it.
inline constexpr std::size_t packet_bytes = 66 * 1024;

enum class RecordKind : std::uint32_t {
  frame = 1,           // header, body
  frame_by_reference,  // header, where the segment is, body
  frame_by_copy,       // header, body; the bytes of the segment follow as bulk
  ack                  // a segment was opened at the receiver
};

/// Where the receiver finds the segment of a frame: a descriptor number of the sending process.
struct SegmentReference {
  std::uint64_t segment_size = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t token = 0;  ///< to be sent back once the segment is open
  std::int32_t fd = -1;
  std::uint32_t unused = 0;
};

/// A packet that is being filled.
class Packet {
 public:
  Packet();

  /// Bytes of a frame's record.
  static std::size_t frame_bytes(RecordKind kind, std::size_t body) noexcept;
  static constexpr std::size_t ack_bytes = 16;
  /// What all packets begin with: their number, which counts those of one rank to another from 0.
  static constexpr std::size_t head_bytes = 8;

  bool fits(std::size_t record) const noexcept { return packet_bytes - size_ >= record; }
  bool empty() const noexcept { return size_ == head_bytes; }
  std::span<const std::byte> bytes() const noexcept { return {data_.get(), size_}; }
  void clear() noexcept { size_ = head_bytes; }
  void set_number(std::uint64_t number) noexcept;

  /// The record must fit. `reference` goes with frame_by_reference only; head.body says how much `first` and `second`
  /// are together.
  void append_frame(RecordKind kind, const wire::Header& head, std::span<const std::byte> first,
                    std::span<const std::byte> second, const SegmentReference* reference = nullptr) noexcept;
  void append_ack(std::uint64_t token) noexcept;

 private:
  void put(const void* from, std::size_t count) noexcept;

  std::unique_ptr<std::byte[]> data_;
  std::size_t size_ = head_bytes;
};

/// The number of the packet, or 0 if it is too short for one, which PacketReader complains of.
std::uint64_t packet_number(std::span<const std::byte> packet) noexcept;

/// One record of a packet; `body` points into it. What does not belong to the kind is not set.
struct Record {
  RecordKind kind = RecordKind::frame;
  wire::Header head;
  std::span<const std::byte> body;
  SegmentReference reference;
  std::uint64_t ack = 0;
};

/// Takes a packet apart. Trusts nothing in it.
class PacketReader {
 public:
  /// `packet` is 8-byte aligned; `source` is the rank named in errors. @throws MpiError if it has no number
  PacketReader(std::span<const std::byte> packet, int source);
  /// The next record, or false at the end. @throws MpiError if the packet is damaged
  bool next(Record& record);

 private:
  void read_frame(Record& record, std::span<const std::byte> content) const;
  [[noreturn]] void damaged(const char* what) const;

  std::span<const std::byte> rest_;
  int source_;
};

}  // namespace rankpool::transport
