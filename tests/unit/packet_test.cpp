// Packets: what is put in comes out, and nothing that is damaged gets through.
#include "transport/packet.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <rankpool/errors.hpp>

namespace rankpool::transport {
namespace {

std::vector<std::byte> noise(std::size_t size, std::mt19937& random) {
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

wire::Header header(std::size_t body, std::uint64_t segment = 0) {
  wire::Header head;
  head.body = body;
  head.segment = segment;
  head.kind = wire::Kind::test;
  head.token = 77;
  return head;
}

SegmentReference reference(std::uint64_t size, std::uint64_t offset, std::uint64_t length) {
  SegmentReference made;
  made.segment_size = size;
  made.offset = offset;
  made.length = length;
  made.token = 5;
  made.fd = 9;
  return made;
}

/// A copy of a packet that a test may damage. 8-byte aligned.
class Bytes {
 public:
  explicit Bytes(const Packet& packet) : words_((packet.bytes().size() + 7) / 8) {
    std::memcpy(words_.data(), packet.bytes().data(), packet.bytes().size());
  }
  template <class T>
  void set(std::size_t offset, T value) {
    std::memcpy(bytes() + offset, &value, sizeof value);
  }
  std::byte* bytes() { return reinterpret_cast<std::byte*>(words_.data()); }
  std::span<const std::byte> first(std::size_t count) { return {bytes(), count}; }
  std::span<const std::byte> all() { return {bytes(), words_.size() * 8}; }

 private:
  std::vector<std::uint64_t> words_;
};

int read_all(std::span<const std::byte> packet) {
  PacketReader reader(packet, 3);
  Record record;
  int records = 0;
  while (reader.next(record)) ++records;
  return records;
}

constexpr std::size_t header_at = 8;  // behind the head of the first record
constexpr std::size_t reference_at = header_at + sizeof(wire::Header);

TEST(Packet, EmptyHasNoRecords) { EXPECT_EQ(read_all(Packet().bytes()), 0); }

TEST(Packet, HasANumber) {
  Packet packet;
  EXPECT_EQ(packet_number(packet.bytes()), 0u);
  packet.append_ack(1);
  packet.set_number(1ull << 40);
  EXPECT_EQ(packet_number(packet.bytes()), 1ull << 40);
  EXPECT_EQ(read_all(packet.bytes()), 1);
  EXPECT_EQ(packet_number({}), 0u) << "whose reader complains";
}

TEST(Packet, FramesOfEverySizeComeOutAsTheyWentIn) {
  std::mt19937 random(1);
  Packet packet;
  std::vector<std::vector<std::byte>> bodies;
  for (std::size_t size = 0; size < 200; ++size) {
    ASSERT_TRUE(packet.fits(Packet::frame_bytes(RecordKind::frame, size)));
    bodies.push_back(noise(size, random));
    const std::span<const std::byte> body = bodies.back();
    const std::size_t cut = size == 0 ? 0 : random() % size;
    packet.append_frame(RecordKind::frame, header(size), body.first(cut), body.subspan(cut));
  }
  PacketReader reader(packet.bytes(), 0);
  Record record;
  for (const auto& body : bodies) {
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.kind, RecordKind::frame);
    EXPECT_EQ(record.head.token, 77u);
    EXPECT_EQ(record.head.kind, wire::Kind::test);
    EXPECT_TRUE(std::equal(record.body.begin(), record.body.end(), body.begin(), body.end()));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(record.body.data()) % 8, 0u);
  }
  EXPECT_FALSE(reader.next(record));
}

TEST(Packet, TheLargestFrameFitsIntoAnEmptyPacketOnly) {
  std::mt19937 random(2);
  const auto body = noise(wire::max_body, random);
  const std::size_t bytes = Packet::frame_bytes(RecordKind::frame_by_reference, body.size());
  const auto whole = reference(1 << 20, 0, 1 << 20);
  Packet packet;
  ASSERT_TRUE(packet.fits(bytes));
  packet.append_frame(RecordKind::frame_by_reference, header(body.size(), 1 << 20), body, {}, &whole);
  EXPECT_EQ(packet.bytes().size(), Packet::head_bytes + bytes);
  EXPECT_FALSE(packet.fits(bytes));
  EXPECT_EQ(read_all(packet.bytes()), 1);
  packet.clear();
  EXPECT_TRUE(packet.empty());
  EXPECT_TRUE(packet.fits(bytes));
}

TEST(Packet, ReferencesCopiesAndAcknowledgementsKeepTheirPlaces) {
  std::mt19937 random(3);
  const auto body = noise(13, random);
  const auto part = reference(1000, 100, 900);
  Packet packet;
  packet.append_ack(42);
  packet.append_frame(RecordKind::frame_by_reference, header(13, 900), body, {}, &part);
  packet.append_frame(RecordKind::frame_by_copy, header(0, 1ull << 40), {}, {});
  packet.append_ack(43);

  PacketReader reader(packet.bytes(), 0);
  Record record;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.kind, RecordKind::ack);
  EXPECT_EQ(record.ack, 42u);
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.kind, RecordKind::frame_by_reference);
  EXPECT_EQ(record.reference.offset, 100u);
  EXPECT_EQ(record.reference.length, 900u);
  EXPECT_EQ(record.reference.segment_size, 1000u);
  EXPECT_EQ(record.reference.fd, 9);
  EXPECT_EQ(record.reference.token, 5u);
  EXPECT_TRUE(std::equal(record.body.begin(), record.body.end(), body.begin(), body.end()));
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.kind, RecordKind::frame_by_copy);
  EXPECT_EQ(record.head.segment, 1ull << 40);
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.ack, 43u);
  EXPECT_FALSE(reader.next(record));
}

TEST(Packet, AnErrorNamesTheRank) {
  Packet packet;
  packet.append_ack(1);
  try {
    read_all(packet.bytes().first(Packet::head_bytes + 12));
    FAIL() << "a truncated packet was accepted";
  } catch (const MpiError& error) {
    EXPECT_NE(std::string(error.what()).find("rank 3"), std::string::npos) << error.what();
  }
}

TEST(DamagedPacket, EveryTruncationIsFound) {
  std::mt19937 random(4);
  const auto body = noise(21, random);
  const auto part = reference(64, 0, 64);
  Packet packet;
  packet.append_frame(RecordKind::frame_by_reference, header(21, 64), body, {}, &part);
  Bytes bytes(packet);
  for (std::size_t size = 0; size < packet.bytes().size(); ++size) {
    if (size == Packet::head_bytes) continue;  // a packet without records
    EXPECT_THROW(read_all(bytes.first(size)), MpiError) << size;
  }
}

TEST(DamagedPacket, WrongFieldsAreFound) {
  std::mt19937 random(5);
  const auto body = noise(24, random);
  const auto part = reference(1000, 100, 900);
  Packet packet;
  packet.append_frame(RecordKind::frame_by_reference, header(24, 900), body, {}, &part);
  const auto with = [&](std::size_t offset, auto value) {
    Bytes bytes(packet);
    bytes.set(Packet::head_bytes + offset, value);
    return read_all(bytes.all());
  };
  EXPECT_EQ(with(0, RecordKind::frame_by_reference), 1);  // the control: nothing changed
  EXPECT_THROW(with(0, RecordKind{0}), MpiError);
  EXPECT_THROW(with(0, RecordKind{99}), MpiError);
  EXPECT_THROW(with(0, RecordKind::frame), MpiError);          // but the header speaks of a segment
  EXPECT_THROW(with(0, RecordKind::frame_by_copy), MpiError);  // then the body would be longer
  EXPECT_THROW(with(0, RecordKind::ack), MpiError);
  EXPECT_THROW(with(4, std::uint32_t{0}), MpiError);  // would never end
  EXPECT_THROW(with(4, std::uint32_t{7}), MpiError);
  EXPECT_THROW(with(4, std::uint32_t{0xfffffff8}), MpiError);
  EXPECT_THROW(with(header_at, std::uint64_t{16}), MpiError);
  EXPECT_THROW(with(header_at, std::uint64_t{32}), MpiError);
  EXPECT_THROW(with(header_at, ~std::uint64_t{0}), MpiError);
  EXPECT_THROW(with(header_at, ~std::uint64_t{0} - 6), MpiError);  // becomes 0 when rounded up
  EXPECT_THROW(with(header_at + 8, std::uint64_t{0}), MpiError);
  EXPECT_THROW(with(header_at + 8, std::uint64_t{901}), MpiError);
  EXPECT_THROW(with(reference_at, std::uint64_t{999}), MpiError);       // segment_size
  EXPECT_THROW(with(reference_at + 8, std::uint64_t{101}), MpiError);   // offset
  EXPECT_THROW(with(reference_at + 8, ~std::uint64_t{0}), MpiError);    // offset + length overflows
  EXPECT_THROW(with(reference_at + 16, std::uint64_t{899}), MpiError);  // length
  EXPECT_THROW(with(reference_at + 32, std::int32_t{-1}), MpiError);    // fd
}

TEST(DamagedPacket, RandomBytesNeverReachOutside) {
  std::mt19937 random(6);
  for (int round = 0; round < 20000; ++round) {
    Packet packet;
    for (int i = 0; i < 4; ++i) {
      const auto body = noise(random() % 40, random);
      packet.append_frame(RecordKind::frame, header(body.size()), body, {});
    }
    Bytes bytes(packet);
    for (int i = 0; i < 3; ++i) bytes.set(random() % packet.bytes().size(), static_cast<std::uint8_t>(random()));
    const auto all = bytes.all();
    try {
      PacketReader reader(all, 0);
      for (Record record; reader.next(record);) {
        if (record.kind == RecordKind::ack) continue;
        ASSERT_GE(record.body.data(), all.data());
        ASSERT_LE(record.body.data() + record.body.size(), all.data() + all.size());
      }
    } catch (const MpiError&) {
    }
  }
}

}  // namespace
}  // namespace rankpool::transport
