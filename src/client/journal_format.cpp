#include "client/journal_format.hpp"

#include <algorithm>
#include <boost/container_hash/hash.hpp>
#include <boost/crc.hpp>
#include <boost/endian/conversion.hpp>
#include <cstdio>
#include <cstring>

#include <rankpool/errors.hpp>

namespace rankpool::client {
namespace {

using Bytes = std::span<const std::byte>;

// The first byte is in no text, the last ones do not survive a transfer as text.
constexpr std::array<unsigned char, 8> magic{0x89, 'R', 'P', 'J', '\r', '\n', 0x1a, '\n'};
constexpr std::uint32_t version = 1;
constexpr std::uint64_t any_size = ~std::uint64_t{0};
constexpr std::uint64_t most_tasks = std::uint64_t{1} << 62;  // additions of indexes do not overflow

constexpr const char* advice = ": delete the file to compute everything again, or give another one";

template <class Number>
Number load(Bytes bytes, std::size_t at) noexcept {
  return boost::endian::endian_load<Number, sizeof(Number), boost::endian::order::little>(
      reinterpret_cast<const unsigned char*>(bytes.data() + at));
}
template <class Number>
void save(std::byte* at, Number number) noexcept {
  boost::endian::endian_store<Number, sizeof(Number), boost::endian::order::little>(
      reinterpret_cast<unsigned char*>(at), number);
}

std::uint32_t checksum(Bytes first, Bytes second = {}) noexcept {
  boost::crc_32_type crc;
  crc.process_bytes(first.data(), first.size());
  crc.process_bytes(second.data(), second.size());
  return crc.checksum();
}

// Places in the header; it is checked from `identity_at` on.
constexpr std::size_t version_at = 8, header_checksum_at = 12, identity_at = 16;
// Places in the head of a record; it is checked from `body_checksum_at` on.
constexpr std::size_t head_checksum_at = 0, body_checksum_at = 4, first_at = 8, count_at = 16, bytes_at = 24;

std::string hexadecimal(std::uint64_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

class JournalReader {
 public:
  JournalReader(Bytes file, const JournalIdentity& identity, const std::string& name)
      : file_(file), identity_(identity), name_(name) {}

  Journal read() {
    if (!read_header()) return {};
    journal_.good = journal_header_bytes;
    while (read_record()) {
    }
    put_in_order();
    return std::move(journal_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const { throw CheckpointError("checkpoint " + name_ + ": " + why); }
  [[noreturn]] void refuse_damage(const std::string& where) const { refuse("it is damaged: " + where + advice); }

  /// False if the program was killed before there was one.
  bool read_header() const {
    const std::size_t here = std::min(file_.size(), magic.size());
    if (!std::equal(magic.begin(), magic.begin() + static_cast<std::ptrdiff_t>(here), file_.begin(),
                    [](unsigned char a, std::byte b) { return std::byte{a} == b; }))
      refuse("this is no checkpoint of rankpool, and is left alone: give the name of another file");
    if (file_.size() < journal_header_bytes) return false;
    const auto written = load<std::uint32_t>(file_, version_at);
    if (written > version)
      refuse("it was written by a newer rankpool (format " + std::to_string(written) + "; this one knows " +
             std::to_string(version) + "): use that one, or give another file");
    if (written != version || load<std::uint32_t>(file_, header_checksum_at) != checksum(header().subspan(identity_at)))
      refuse_damage("its header is not as it was written");
    const auto program = load<std::uint64_t>(file_, identity_at);
    if (program != identity_.program)
      refuse("it was written by another build of the program (" + hexadecimal(program) + ", this is " +
             hexadecimal(identity_.program) + ")" + advice);
    const auto seed = load<std::uint64_t>(file_, identity_at + 16);
    if (seed != identity_.seed)
      refuse("it was written with RANKPOOL_SEED=" + std::to_string(seed) + ", and it is " +
             std::to_string(identity_.seed) + " now: set it back," + (advice + 1));
    if (load<std::uint64_t>(file_, identity_at + 8) != identity_.function ||
        load<std::uint64_t>(file_, identity_at + 24) != identity_.result_bytes.value_or(any_size))
      refuse(std::string("it has the results of another function, or of this one with other data bound to it") +
             advice);
    return true;
  }
  Bytes header() const { return file_.first(journal_header_bytes); }

  /// False at the end of what is complete.
  bool read_record() {
    const std::uint64_t at = journal_.good;
    const Bytes left = file_.subspan(at);
    if (left.size() < journal_head_bytes) return false;
    const auto where = [&] { return "the record at byte " + std::to_string(at); };
    const Bytes head = left.first(journal_head_bytes);
    if (load<std::uint32_t>(head, head_checksum_at) != checksum(head.subspan(body_checksum_at))) {
      // what a machine that has lost its power may leave: it knew how long the file was to be, and no more
      if (std::all_of(left.begin(), left.end(), [](std::byte byte) { return byte == std::byte{0}; })) return false;
      refuse_damage(where() + " is not as it was written");
    }
    const JournalRun run{load<std::uint64_t>(head, first_at), load<std::uint64_t>(head, count_at),
                         at + journal_head_bytes, load<std::uint64_t>(head, bytes_at)};
    const std::uint64_t room = left.size() - journal_head_bytes;
    if (run.bytes > room) return false;
    const Bytes body = left.subspan(journal_head_bytes, run.bytes);
    if (load<std::uint32_t>(head, body_checksum_at) != checksum(body)) {
      if (run.bytes == room) return false;
      refuse_damage(where() + ", of task " + std::to_string(run.first) +
                    ", is not as it was written, and more comes behind it");
    }
    if (!fits(run, body)) refuse_damage(where() + " makes no sense");
    journal_.runs.push_back(run);
    journal_.tasks += run.count;
    journal_.good = run.at + run.bytes;
    return true;
  }

  bool fits(const JournalRun& run, Bytes body) const {
    if (run.count == 0 || run.first > most_tasks || run.count > run.bytes / journal_hash_bytes) return false;
    const Bytes results = body.subspan(run.count * journal_hash_bytes);
    return bytes_of_items(results, run.count, identity_.result_bytes) == results.size();
  }

  void put_in_order() {
    auto& runs = journal_.runs;
    std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const auto twice =
        std::adjacent_find(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return b.first < a.end(); });
    if (twice != runs.end()) refuse_damage("task " + std::to_string(std::next(twice)->first) + " is in it twice");
  }

  Bytes file_;
  const JournalIdentity& identity_;
  const std::string& name_;
  Journal journal_;
};

}  // namespace

Journal read_journal(std::span<const std::byte> file, const JournalIdentity& identity, const std::string& name) {
  return JournalReader(file, identity, name).read();
}

std::array<std::byte, journal_header_bytes> journal_header(const JournalIdentity& identity) {
  std::array<std::byte, journal_header_bytes> header{};
  std::transform(magic.begin(), magic.end(), header.begin(), [](unsigned char byte) { return std::byte{byte}; });
  save(header.data() + version_at, version);
  save(header.data() + identity_at, identity.program);
  save(header.data() + identity_at + 8, identity.function);
  save(header.data() + identity_at + 16, identity.seed);
  save(header.data() + identity_at + 24, identity.result_bytes.value_or(any_size));
  save(header.data() + header_checksum_at, checksum(Bytes(header).subspan(identity_at)));
  return header;
}

std::vector<std::byte> journal_record(std::uint64_t first, std::span<const std::uint64_t> hashes, Bytes results) {
  std::vector<std::byte> record(journal_head_bytes + hashes.size() * journal_hash_bytes);
  std::byte* at = record.data() + journal_head_bytes;
  for (const std::uint64_t hash : hashes) {
    save(at, hash);
    at += journal_hash_bytes;
  }
  std::byte* const head = record.data();
  save(head + first_at, first);
  save(head + count_at, static_cast<std::uint64_t>(hashes.size()));
  save(head + bytes_at, static_cast<std::uint64_t>(record.size() - journal_head_bytes + results.size()));
  save(head + body_checksum_at, checksum(Bytes(record).subspan(journal_head_bytes), results));
  save(head + head_checksum_at, checksum(Bytes(record).first(journal_head_bytes).subspan(body_checksum_at)));
  return record;
}

std::uint64_t journal_hash(Bytes bytes) noexcept {
  // Eight bytes at a time, as items may be large. Whether another Boost hashes in the same way does not matter: a
  // program that was built with it is another build.
  std::size_t hash = bytes.size();
  for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t)))
    boost::hash_combine(hash, load<std::uint64_t>(bytes, 0));
  for (const std::byte byte : bytes) boost::hash_combine(hash, std::to_integer<unsigned char>(byte));
  return hash;
}

std::uint64_t hash_in(Bytes run, std::uint64_t i) noexcept {
  return load<std::uint64_t>(run, static_cast<std::size_t>(i * journal_hash_bytes));
}

std::optional<std::size_t> bytes_of_items(Bytes bytes, std::uint64_t count,
                                          std::optional<std::uint64_t> each) noexcept {
  if (each) {
    if (*each != 0 && count > bytes.size() / *each) return std::nullopt;
    return static_cast<std::size_t>(count * *each);
  }
  std::size_t at = 0;
  for (; count > 0; --count) {
    std::uint64_t length = 0;
    if (bytes.size() - at < sizeof length) return std::nullopt;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    at += sizeof length;
    if (length > bytes.size() - at) return std::nullopt;
    at += static_cast<std::size_t>(length);
  }
  return at;
}

}  // namespace rankpool::client
