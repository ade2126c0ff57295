#include "client/words.hpp"

#include <rankpool/detail/words.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/sleep.hpp"
#include "client/window_map.hpp"
#include "link/bell.hpp"
#include "wire/messages.hpp"
#include "wire/one_sided.hpp"

namespace rankpool::client {

using link::SharedLock;

namespace {

constexpr std::size_t word_bytes = sizeof(std::uint64_t);
constexpr std::uint32_t writers_lock = 1;  // the cell behind the one for users

// Copies of memory that others write meanwhile. The rest of a last word is copied as well: there is room.
void copy_out(void* to, std::byte* from, std::size_t size) noexcept {
  for (std::size_t at = 0; at < size; at += word_bytes) {
    const std::uint64_t word =
        std::atomic_ref(*reinterpret_cast<std::uint64_t*>(from + at)).load(std::memory_order_relaxed);
    std::memcpy(static_cast<std::byte*>(to) + at, &word, std::min(word_bytes, size - at));
  }
}
void copy_in(std::byte* to, const void* from, std::size_t size) noexcept {
  for (std::size_t at = 0; at < size; at += word_bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(from) + at, std::min(word_bytes, size - at));
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(to + at)).store(word, std::memory_order_relaxed);
  }
}

}  // namespace

void copy_answer(const Reply& reply, std::span<std::byte> to) {
  const auto from = reply.bytes();
  if (from.size() != to.size()) throw wire::BadFrame("a home answered with another number of bytes");
  if (!to.empty()) std::memcpy(to.data(), from.data(), to.size());
}

WordsObject::WordsObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id,
                         detail::Reader* saved)
    : LockObject(std::move(client), type, id, saved) {
  if (saved != nullptr) saved->read(&bytes_, sizeof bytes_);
}

void WordsObject::save(detail::Buffer& out) const {
  LockObject::save(out);
  out.append(&bytes_, sizeof bytes_);
}

void WordsObject::locate(std::uint64_t bytes) {
  bytes_ = bytes;
  LockObject::locate();
}

std::byte* WordsObject::map_data() const {
  require_home();
  const link::Window& window = window_of(client(), id().rank);
  if (!window.holds_data(place().data, bytes_)) throw_damaged();
  std::byte* const own = window.at(place().data);
  data_.store(own, std::memory_order_release);
  if (lost()) {
    data_.store(nullptr, std::memory_order_release);
    require_home();
  }
  return own;
}

Reply WordsObject::ask_word(const wire::WordRequest& request) {
  if (one_sided()) {
    wire::WindowWord there{.rank = id().rank, .word = request};
    there.word.offset += place().data;
    return ask_engine(wire::Kind::window_word, wire::bytes_of(there));
  }
  return ask(static_cast<std::uint32_t>(wire::WordsOp::word), wire::bytes_of(request));
}

Reply WordsObject::ask_bytes(wire::WordsOp operation, std::uint64_t offset, std::uint64_t length,
                             std::span<const std::byte> first, std::span<const std::byte> second) {
  detail::Buffer payload;
  payload.append(first.data(), first.size());
  payload.append(second.data(), second.size());
  const wire::WordsRange range{offset, length};
  return ask(static_cast<std::uint32_t>(operation), wire::bytes_of(range), payload.empty() ? nullptr : &payload);
}

void WordsObject::read(std::uint64_t offset, std::span<std::byte> to) {
  if (!one_sided()) return copy_answer(ask_bytes(wire::WordsOp::read, offset, to.size()), to);
  const wire::WindowRange range{.rank = id().rank, .offset = place().data + offset, .length = to.size()};
  copy_answer(ask_engine(wire::Kind::window_read, wire::bytes_of(range)), to);
}

void WordsObject::write(std::uint64_t offset, std::span<const std::byte> from) {
  if (!one_sided()) {
    ask_bytes(wire::WordsOp::write, offset, from.size(), from);
    return;
  }
  const wire::WindowRange range{.rank = id().rank, .offset = place().data + offset, .length = from.size()};
  detail::Buffer payload;
  payload.append(from.data(), from.size());
  ask_engine(wire::Kind::window_write, wire::bytes_of(range), &payload);
}

void WordsObject::load_record(std::span<std::byte> to) {
  const std::atomic_ref version(*reinterpret_cast<std::uint64_t*>(data()));
  constexpr int attempts = 100;
  for (int i = 0; i < attempts; ++i) {
    const std::uint64_t before = version.load(std::memory_order_acquire);
    copy_out(to.data(), copy_of(before, to.size()), to.size());
    link::full_fence();
    if (version.load(std::memory_order_relaxed) == before) return;
  }
  change_record(to.size(), [&](std::span<const std::byte> before) {  // they write all the time: wait for a turn
    std::copy(before.begin(), before.end(), to.begin());
    return std::span<const std::byte>();
  });
}

template <class Change>
void WordsObject::change_record(std::size_t size, Change&& change) {
  const std::atomic_ref version(*reinterpret_cast<std::uint64_t*>(data()));
  link::Cell& lock = cell(writers_lock);
  const link::Owner myself = me();
  if (!SharedLock::try_lock(lock, myself))
    sleep_until(*this, {}, [&](auto until) { return SharedLock::sleep_and_lock(lock, myself, until); });
  const std::uint64_t now = version.load(std::memory_order_relaxed);
  if (const std::span<const std::byte> wanted = change(std::span<const std::byte>(copy_of(now, size), size));
      !wanted.empty()) {
    link::full_fence();  // who sees any of these bytes sees the version before, too
    copy_in(copy_of(now + 1, wanted.size()), wanted.data(), wanted.size());
    version.store(now + 1, std::memory_order_release);
  }
  SharedLock::unlock(lock, myself);
}

}  // namespace rankpool::client

namespace rankpool::detail {
namespace {

using client::Client;
using client::copy_answer;
using client::WordsObject;
using wire::WindowMode;
using wire::WordOp;
using wire::WordsOp;
using wire::WordType;

constexpr std::size_t bytes_at_once = 4 * 1024 * 1024;  // the home serves others in between

WordsObject& words_of(const ObjectPtr& object) { return static_cast<WordsObject&>(*object); }

ObjectPtr make_words(ObjectType type, std::uint64_t bytes, bool record) {
  const WindowMode window = Client::get()->identity().window;
  const bool direct = window == WindowMode::direct;
  const wire::WordsMake make{.bytes = direct && record ? WordsObject::record_bytes(bytes) : bytes,
                             .cells = window == WindowMode::messages ? 0u : (direct && record ? 2u : 1u)};
  ObjectPtr object = client::make_object(type, wire::bytes_of(make));
  words_of(object).locate(bytes);
  return object;
}

/// Calls `operation` with the word at an offset of memory that this process has mapped.
template <class Operation>
Word with_word(const WordsObject& object, std::size_t offset, std::size_t size, Operation&& operation) {
  std::byte* const at = object.data() + offset;
  switch (size) {
    case 1:
      return operation(std::atomic_ref(*reinterpret_cast<std::uint8_t*>(at)));
    case 2:
      return operation(std::atomic_ref(*reinterpret_cast<std::uint16_t*>(at)));
    case 4:
      return operation(std::atomic_ref(*reinterpret_cast<std::uint32_t*>(at)));
    default:
      return operation(std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)));
  }
}

template <class Ref>
using WordIn = typename std::decay_t<Ref>::value_type;

template <class Floating, class Ref>
Word add_floating(Ref word, Word value) {
  auto before = word.load(std::memory_order_relaxed);
  Floating more;
  std::memcpy(&more, &value, sizeof more);
  for (;;) {
    const Floating sum = std::bit_cast<Floating>(before) + more;
    if (word.compare_exchange_weak(before, std::bit_cast<WordIn<Ref>>(sum))) return before;
  }
}

WordType type_of(std::size_t size, bool floating) {
  switch (size) {
    case 1:
      return WordType::u8;
    case 2:
      return WordType::u16;
    case 4:
      return floating ? WordType::f32 : WordType::u32;
    default:
      return floating ? WordType::f64 : WordType::u64;
  }
}

struct Asked {
  Word before;
  bool equal;
};
Asked ask_word(WordsObject& object, std::size_t offset, WordType type, WordOp op, Word operand, Word expected = 0) {
  const client::Reply reply =
      object.ask_word({.offset = offset, .type = type, .op = op, .operand = operand, .expected = expected});
  auto bytes = reply.bytes();
  return {wire::take<wire::WordResult>(bytes).before, reply.status == wire::Status::ok};
}

}  // namespace

ObjectPtr make_value(std::size_t bytes) { return make_words(ObjectType::value, bytes, !is_word(bytes)); }

ObjectPtr make_array(std::size_t count, std::size_t element) {
  if (count > std::numeric_limits<std::size_t>::max() / 2 / element)
    throw Error("an Array of " + std::to_string(count) + " elements of " + std::to_string(element) +
                " bytes is larger than any memory");
  return make_words(ObjectType::array, count * element, false);
}

std::size_t bytes_of_array(const ObjectPtr& object) noexcept { return words_of(object).bytes(); }

Word load_word(const ObjectPtr& object, std::size_t offset, std::size_t size) {
  WordsObject& words = words_of(object);
  if (!words.direct()) return ask_word(words, offset, type_of(size, false), WordOp::load, 0).before;
  return with_word(words, offset, size, [](auto word) { return Word{word.load()}; });
}

void store_word(const ObjectPtr& object, std::size_t offset, std::size_t size, Word value) {
  WordsObject& words = words_of(object);
  if (!words.direct()) {
    ask_word(words, offset, type_of(size, false), WordOp::store, value);
    return;
  }
  words.client().settle(Client::nowhere);
  with_word(words, offset, size, [value](auto word) {
    word.store(static_cast<WordIn<decltype(word)>>(value));
    return Word{0};
  });
}

Word exchange_word(const ObjectPtr& object, std::size_t offset, std::size_t size, Word value) {
  WordsObject& words = words_of(object);
  if (!words.direct()) return ask_word(words, offset, type_of(size, false), WordOp::exchange, value).before;
  words.client().settle(Client::nowhere);
  return with_word(words, offset, size,
                   [value](auto word) { return Word{word.exchange(static_cast<WordIn<decltype(word)>>(value))}; });
}

bool compare_exchange_word(const ObjectPtr& object, std::size_t offset, std::size_t size, Word& expected, Word value) {
  WordsObject& words = words_of(object);
  if (!words.direct()) {
    const Asked answer = ask_word(words, offset, type_of(size, false), WordOp::compare_exchange, value, expected);
    expected = answer.before;
    return answer.equal;
  }
  words.client().settle(Client::nowhere);
  bool equal = false;
  expected = with_word(words, offset, size, [&](auto word) {
    using Bits = WordIn<decltype(word)>;
    Bits found = static_cast<Bits>(expected);
    equal = word.compare_exchange_strong(found, static_cast<Bits>(value));
    return Word{found};
  });
  return equal;
}

Word add_to_word(const ObjectPtr& object, std::size_t offset, std::size_t size, bool floating, Word value) {
  WordsObject& words = words_of(object);
  if (!words.direct()) return ask_word(words, offset, type_of(size, floating), WordOp::fetch_add, value).before;
  words.client().settle(Client::nowhere);
  return with_word(words, offset, size, [&](auto word) {
    using Bits = WordIn<decltype(word)>;
    if constexpr (sizeof(Bits) == sizeof(double)) {
      if (floating) return add_floating<double>(word, value);
    } else if constexpr (sizeof(Bits) == sizeof(float)) {
      if (floating) return add_floating<float>(word, value);
    }
    return Word{word.fetch_add(static_cast<Bits>(value))};
  });
}

void load_record(const ObjectPtr& object, std::span<std::byte> to) {
  WordsObject& words = words_of(object);
  if (words.direct()) return words.load_record(to);
  copy_answer(words.ask_bytes(WordsOp::read, 0, to.size()), to);
}

void store_record(const ObjectPtr& object, std::span<const std::byte> from) {
  WordsObject& words = words_of(object);
  if (!words.direct()) {
    words.ask_bytes(WordsOp::write, 0, from.size(), from);
    return;
  }
  words.client().settle(Client::nowhere);
  words.change_record(from.size(), [&](auto) { return from; });
}

void exchange_record(const ObjectPtr& object, std::span<std::byte> bytes) {
  WordsObject& words = words_of(object);
  if (!words.direct()) return copy_answer(words.ask_bytes(WordsOp::exchange, 0, bytes.size(), bytes), bytes);
  words.client().settle(Client::nowhere);
  const std::vector<std::byte> wanted(bytes.begin(), bytes.end());
  words.change_record(bytes.size(), [&](std::span<const std::byte> before) {
    std::copy(before.begin(), before.end(), bytes.begin());
    return std::span<const std::byte>(wanted);
  });
}

bool compare_exchange_record(const ObjectPtr& object, std::span<std::byte> expected, std::span<const std::byte> value) {
  WordsObject& words = words_of(object);
  if (!words.direct()) {
    const client::Reply reply = words.ask_bytes(WordsOp::compare_exchange, 0, value.size(), expected, value);
    if (reply.status == wire::Status::ok) return true;
    copy_answer(reply, expected);
    return false;
  }
  words.client().settle(Client::nowhere);
  bool equal = false;
  words.change_record(expected.size(), [&](std::span<const std::byte> before) {
    equal = std::equal(before.begin(), before.end(), expected.begin());
    if (equal) return value;
    std::copy(before.begin(), before.end(), expected.begin());
    return std::span<const std::byte>();
  });
  return equal;
}

void read_bytes(const ObjectPtr& object, std::size_t offset, std::span<std::byte> to) {
  WordsObject& words = words_of(object);
  if (words.direct()) {
    if (!to.empty()) std::memcpy(to.data(), words.data() + offset, to.size());
    return;
  }
  for (std::size_t at = 0; at < to.size(); at += bytes_at_once) {
    const auto piece = to.subspan(at, std::min(bytes_at_once, to.size() - at));
    words.read(offset + at, piece);
  }
}

void write_bytes(const ObjectPtr& object, std::size_t offset, std::span<const std::byte> from) {
  WordsObject& words = words_of(object);
  if (words.direct()) {
    words.client().settle(Client::nowhere);
    if (!from.empty()) std::memcpy(words.data() + offset, from.data(), from.size());
    return;
  }
  for (std::size_t at = 0; at < from.size(); at += bytes_at_once) {
    const auto piece = from.subspan(at, std::min(bytes_at_once, from.size() - at));
    words.write(offset + at, piece);
  }
}

void check_range(const ObjectPtr& object, std::size_t first, std::size_t count, std::size_t size) {
  if (count <= size && first <= size - count) return;
  const std::string what = count == 1 ? "index " + std::to_string(first)
                                      : std::to_string(count) + " elements from index " + std::to_string(first) + " on";
  throw std::out_of_range(words_of(object).name() + ": " + what + ": it has " + std::to_string(size) + " elements");
}

}  // namespace rankpool::detail
