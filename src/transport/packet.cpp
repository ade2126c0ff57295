#include "transport/packet.hpp"

#include <cstring>
#include <string>

#include <rankpool/errors.hpp>

namespace rankpool::transport {

namespace {

struct RecordHead {
  RecordKind kind;
  std::uint32_t bytes;  // with this head and the padding
};
static_assert(sizeof(RecordHead) == 8 && sizeof(SegmentReference) == 40);
static_assert(Packet::ack_bytes == sizeof(RecordHead) + sizeof(std::uint64_t));
static_assert(packet_bytes >= Packet::head_bytes + sizeof(RecordHead) + sizeof(wire::Header) +
                                  sizeof(SegmentReference) + wire::max_body);

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 7) & ~std::size_t{7}; }

}  // namespace

// Left uninitialized: clearing 66 KiB would cost more than a small packet does.
Packet::Packet() : data_(new std::byte[packet_bytes]) { set_number(0); }

void Packet::set_number(std::uint64_t number) noexcept { std::memcpy(data_.get(), &number, sizeof number); }

std::uint64_t packet_number(std::span<const std::byte> packet) noexcept {
  std::uint64_t number = 0;
  if (packet.size() >= sizeof number) std::memcpy(&number, packet.data(), sizeof number);
  return number;
}

std::size_t Packet::frame_bytes(RecordKind kind, std::size_t body) noexcept {
  const std::size_t reference = kind == RecordKind::frame_by_reference ? sizeof(SegmentReference) : 0;
  return sizeof(RecordHead) + sizeof(wire::Header) + reference + aligned(body);
}

void Packet::put(const void* from, std::size_t count) noexcept {
  if (count == 0) return;
  std::memcpy(data_.get() + size_, from, count);
  size_ += count;
}

void Packet::append_frame(RecordKind kind, const wire::Header& head, std::span<const std::byte> first,
                          std::span<const std::byte> second, const SegmentReference* reference) noexcept {
  const RecordHead record{kind, static_cast<std::uint32_t>(frame_bytes(kind, head.body))};
  const std::size_t end = size_ + record.bytes;
  put(&record, sizeof record);
  put(&head, sizeof head);
  if (reference != nullptr) put(reference, sizeof *reference);
  put(first.data(), first.size());
  put(second.data(), second.size());
  static constexpr std::byte padding[8] = {};
  put(padding, end - size_);
}

void Packet::append_ack(std::uint64_t token) noexcept {
  const RecordHead record{RecordKind::ack, ack_bytes};
  put(&record, sizeof record);
  put(&token, sizeof token);
}

PacketReader::PacketReader(std::span<const std::byte> packet, int source) : source_(source) {
  if (packet.size() < Packet::head_bytes) damaged("it has no number");
  rest_ = packet.subspan(Packet::head_bytes);
}

void PacketReader::damaged(const char* what) const {
  throw MpiError("a packet from rank " + std::to_string(source_) + " is damaged (" + what +
                 "); do all ranks run the same build of the program?");
}

bool PacketReader::next(Record& record) {
  if (rest_.empty()) return false;
  if (rest_.size() < sizeof(RecordHead)) damaged("it ends inside the head of a record");
  RecordHead head;
  std::memcpy(&head, rest_.data(), sizeof head);
  if (head.bytes < sizeof head || head.bytes % 8 != 0) damaged("a record has an impossible size");
  if (head.bytes > rest_.size()) damaged("it ends inside a record");
  const auto content = rest_.subspan(sizeof head, head.bytes - sizeof head);
  record.kind = head.kind;
  switch (head.kind) {
    case RecordKind::frame:
    case RecordKind::frame_by_reference:
    case RecordKind::frame_by_copy:
      read_frame(record, content);
      break;
    case RecordKind::ack:
      if (head.bytes != Packet::ack_bytes) damaged("an acknowledgement has the wrong size");
      std::memcpy(&record.ack, content.data(), sizeof record.ack);
      break;
    default:
      damaged("a record is of no known kind");
  }
  rest_ = rest_.subspan(head.bytes);
  return true;
}

void PacketReader::read_frame(Record& record, std::span<const std::byte> content) const {
  if (content.size() < sizeof record.head) damaged("it ends inside the header of a frame");
  std::memcpy(&record.head, content.data(), sizeof record.head);
  content = content.subspan(sizeof record.head);
  if ((record.kind == RecordKind::frame) != (record.head.segment == 0)) {
    damaged("a frame and its header disagree on a segment");
  }
  if (record.kind == RecordKind::frame_by_reference) {
    SegmentReference& reference = record.reference;
    if (content.size() < sizeof reference) damaged("it ends inside the reference of a segment");
    std::memcpy(&reference, content.data(), sizeof reference);
    content = content.subspan(sizeof reference);
    const bool inside =
        reference.offset <= reference.segment_size && reference.length <= reference.segment_size - reference.offset;
    if (!inside || reference.length != record.head.segment || reference.fd < 0) {
      damaged("the reference of a segment contradicts itself");
    }
  }
  if (record.head.body > wire::max_body || aligned(record.head.body) != content.size()) {
    damaged("the body of a frame has the wrong size");
  }
  record.body = content.first(record.head.body);
}

}  // namespace rankpool::transport
