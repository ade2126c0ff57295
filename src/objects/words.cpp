#include "objects/words.hpp"

#include <cstring>
#include <type_traits>
#include <vector>

#include "objects/window_memory.hpp"
#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {

using wire::Status;
using wire::WordOp;
using wire::WordsOp;
using wire::WordType;

namespace {

constexpr std::size_t largest_in_line = 32 * 1024;

template <class T>
T value_of(std::uint64_t bits) noexcept {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
std::uint64_t bits_of(T value) noexcept {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T sum(T a, T b) noexcept {
  return static_cast<T>(a + b);
}

template <class T>
WordOutcome perform_as(std::byte* at, const wire::WordRequest& request) noexcept {
  T before;
  std::memcpy(&before, at, sizeof before);
  const T operand = value_of<T>(request.operand);
  const auto put = [&](T value) { std::memcpy(at, &value, sizeof value); };
  WordOutcome outcome{.before = bits_of(before)};
  switch (request.op) {
    case WordOp::load:
      break;
    case WordOp::store:
    case WordOp::exchange:
      put(operand);
      break;
    case WordOp::compare_exchange:
      outcome.equal = outcome.before == bits_of(value_of<T>(request.expected));
      if (outcome.equal) put(operand);
      break;
    case WordOp::fetch_add:
      put(sum(before, operand));
      break;
  }
  return outcome;
}

/// Bytes of any number as an answer.
void reply_bytes(const Caller& caller, Status status, std::span<const std::byte> bytes, Home& home) {
  if (bytes.size() <= largest_in_line) return home.reply(caller, status, {}, {bytes, {}});
  auto segment = link::Segment::create(bytes.size());
  std::memcpy(segment->writable_data(), bytes.data(), bytes.size());
  home.reply(caller, status, {}, {{}, {std::move(segment), 0, bytes.size()}});
}

}  // namespace

WordOutcome perform(std::byte* at, const wire::WordRequest& request) noexcept {
  switch (request.type) {
    case WordType::i8:
    case WordType::u8:
      return perform_as<std::uint8_t>(at, request);
    case WordType::i16:
    case WordType::u16:
      return perform_as<std::uint16_t>(at, request);
    case WordType::i32:
    case WordType::u32:
      return perform_as<std::uint32_t>(at, request);
    case WordType::i64:
    case WordType::u64:
      return perform_as<std::uint64_t>(at, request);
    case WordType::f32:
      return perform_as<float>(at, request);
    case WordType::f64:
      break;
  }
  return perform_as<double>(at, request);
}

Words::Words(std::uint64_t number, std::span<const std::byte> body, Home& home)
    : made_(wire::take<wire::WordsMake>(body)), lock_(number, made_.cells) {
  if (home.window() != nullptr) data_ = home.window()->take_data(made_.bytes);
}

void Words::released(Home& home) {
  lock_.released(home);
  if (data_) home.window()->give_data(*data_, made_.bytes);
}

void Words::request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
                    Home& home) {
  if (operation == static_cast<std::uint32_t>(wire::LockOp::where)) return where(caller, home);
  if (operation < static_cast<std::uint32_t>(wire::LockOp::end))
    return lock_.request(caller, operation, body, std::move(slice), home);
  if (!data_) throw wire::BadFrame("a process uses memory that was refused to it");
  const auto what = static_cast<WordsOp>(operation);
  if (what == WordsOp::word) return on_word(caller, wire::take<wire::WordRequest>(body), home);
  on_bytes(caller, what, body, slice, home);
}

void Words::where(const Caller& caller, Home& home) {
  wire::Place place;
  if (made_.cells != 0) {
    const auto cell = lock_.cell(home);
    if (!cell) return home.reply(caller, Status::full);
    place.cell = *cell;
  }
  if (!data_) return home.reply(caller, Status::full);
  place.data = *data_;
  home.reply(caller, Status::ok, wire::bytes_of(place));
}

std::span<std::byte> Words::range(std::uint64_t offset, std::uint64_t length, Home& home) const {
  if (length > made_.bytes || offset > made_.bytes - length)
    throw wire::BadFrame("a process asked for bytes that are not in its value or array");
  return {home.window()->at(*data_ + offset), length};
}

void Words::on_word(const Caller& caller, const wire::WordRequest& request, Home& home) {
  if (wire::size_of(request.type) == 0) throw wire::BadFrame("a word of a value or array has no known type");
  const WordOutcome outcome = perform(range(request.offset, wire::size_of(request.type), home).data(), request);
  home.reply(caller, outcome.equal ? Status::ok : Status::no, wire::bytes_of(wire::WordResult{outcome.before}));
}

void Words::on_bytes(const Caller& caller, WordsOp operation, std::span<const std::byte> body, const link::Slice& slice,
                     Home& home) {
  const auto asked = wire::take<wire::WordsRange>(body);
  const std::span<std::byte> here = range(asked.offset, asked.length, home);
  if (operation == WordsOp::read) return reply_bytes(caller, Status::ok, here, home);

  const std::span<const std::byte> given = slice ? slice.bytes() : body;
  const std::size_t pieces = operation == WordsOp::compare_exchange ? 2 : 1;
  if (given.size() != pieces * here.size()) throw wire::BadFrame("a process sent fewer bytes than it said");
  const auto put = [&](std::span<const std::byte> bytes) {
    if (!bytes.empty()) std::memcpy(here.data(), bytes.data(), bytes.size());
  };
  switch (operation) {
    case WordsOp::write:
      put(given);
      return home.reply(caller, Status::ok);
    case WordsOp::exchange: {
      const std::vector<std::byte> before(here.begin(), here.end());
      put(given);
      return reply_bytes(caller, Status::ok, before, home);
    }
    case WordsOp::compare_exchange:
      if (std::memcmp(here.data(), given.data(), here.size()) != 0) return reply_bytes(caller, Status::no, here, home);
      put(given.subspan(here.size()));
      return home.reply(caller, Status::ok);
    default:
      throw wire::BadFrame("a value or array was asked for an unknown operation");
  }
}

}  // namespace rankpool::objects
