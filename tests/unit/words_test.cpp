// Values and arrays at their home.
#include "objects/words.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../support/fake_home.hpp"
#include "wire/bad_frame.hpp"

namespace {

using rankpool::link::Slice;
using rankpool::objects::Caller;
using rankpool::objects::perform;
using rankpool::objects::Words;
using rankpool::wire::BadFrame;
using rankpool::wire::bytes_of;
using rankpool::wire::LockOp;
using rankpool::wire::Place;
using rankpool::wire::Status;
using rankpool::wire::WordOp;
using rankpool::wire::WordRequest;
using rankpool::wire::WordResult;
using rankpool::wire::WordsMake;
using rankpool::wire::WordsOp;
using rankpool::wire::WordsRange;
using rankpool::wire::WordType;
using support::FakeHome;
using Bytes = std::vector<std::byte>;

template <class T>
std::uint64_t bits(T value) {
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}

template <class T>
void check_word(WordType type, T first, T second, T sum) {
  EXPECT_EQ(rankpool::wire::size_of(type), sizeof(T));
  alignas(8) std::byte memory[16];
  std::memset(memory, 0x5a, sizeof memory);
  const auto ask = [&](WordOp op, T operand, T expected = {}) {
    return perform(memory, {.offset = 0, .type = type, .op = op, .operand = bits(operand), .expected = bits(expected)});
  };
  ask(WordOp::store, first);
  EXPECT_EQ(ask(WordOp::load, {}).before, bits(first));
  EXPECT_EQ(ask(WordOp::exchange, second).before, bits(first));
  EXPECT_FALSE(ask(WordOp::compare_exchange, first, first).equal);
  EXPECT_EQ(ask(WordOp::load, {}).before, bits(second));
  EXPECT_TRUE(ask(WordOp::compare_exchange, first, second).equal);
  EXPECT_EQ(ask(WordOp::fetch_add, second).before, bits(first));
  EXPECT_EQ(ask(WordOp::load, {}).before, bits(sum));
  EXPECT_EQ(memory[sizeof(T)], std::byte{0x5a});  // nothing behind it
}

TEST(WordsAtHome, KnowEveryTypeOfWord) {
  check_word<std::int8_t>(WordType::i8, 100, 101, -55);
  check_word<std::uint8_t>(WordType::u8, 200, 100, 44);
  check_word<std::int16_t>(WordType::i16, -1, -2, -3);
  check_word<std::uint16_t>(WordType::u16, 65535, 2, 1);
  check_word<std::int32_t>(WordType::i32, std::numeric_limits<int>::max(), 1, std::numeric_limits<int>::min());
  check_word<std::uint32_t>(WordType::u32, 5, 6, 11);
  check_word<std::int64_t>(WordType::i64, -5, 6, 1);
  check_word<std::uint64_t>(WordType::u64, ~std::uint64_t{0}, 3, 2);
  check_word<float>(WordType::f32, 0.5f, 0.25f, 0.75f);
  check_word<double>(WordType::f64, -1.5, 1e10, 1e10 - 1.5);
}

class World {
 public:
  explicit World(std::uint64_t bytes, std::uint32_t cells = 0) : words_(1, bytes_of(WordsMake{bytes, cells, 0}), home_) {}

  FakeHome::Answer ask(std::uint32_t operation, const Bytes& body, Slice slice = {}) {
    const Caller caller{{1, 2}, 1, ++requests_};
    words_.request(caller, operation, body, std::move(slice), home_);
    auto answer = home_.take(caller);
    EXPECT_TRUE(answer);
    return answer ? *answer : FakeHome::Answer{};
  }
  FakeHome::Answer ask(WordsOp operation, std::uint64_t offset, std::uint64_t length, const Bytes& more = {}) {
    const WordsRange range{offset, length};
    Bytes body(bytes_of(range).begin(), bytes_of(range).end());
    body.insert(body.end(), more.begin(), more.end());
    return ask(static_cast<std::uint32_t>(operation), body);
  }
  FakeHome::Answer ask(const WordRequest& request) {
    return ask(static_cast<std::uint32_t>(WordsOp::word), Bytes(bytes_of(request).begin(), bytes_of(request).end()));
  }
  FakeHome& home() { return home_; }
  Words& words() { return words_; }

 private:
  FakeHome home_{256 * 1024};
  Words words_;
  std::uint64_t requests_ = 0;
};

TEST(WordsAtHome, RefuseWhatIsNotInside) {
  World world(10);
  const auto word_at = [](std::uint64_t offset) {
    return WordRequest{.offset = offset, .type = WordType::u32, .op = WordOp::load, .operand = 0, .expected = 0};
  };
  EXPECT_EQ(world.ask(word_at(6)).status, Status::ok);
  EXPECT_THROW(world.ask(word_at(7)), BadFrame);
  EXPECT_THROW(world.ask(word_at(~std::uint64_t{0})), BadFrame);
  EXPECT_THROW(world.ask(WordsOp::read, 5, 6), BadFrame);
  EXPECT_THROW(world.ask(WordsOp::read, ~std::uint64_t{0}, 2), BadFrame);
  EXPECT_THROW(world.ask(WordsOp::write, 0, 5, Bytes(4)), BadFrame);
  EXPECT_THROW(world.ask(99, Bytes(16)), BadFrame);
}

TEST(WordsAtHome, SayWhenThereIsNoRoom) {
  World world(std::uint64_t{1} << 40);
  EXPECT_EQ(world.ask(static_cast<std::uint32_t>(LockOp::where), {}).status, Status::full);
}

TEST(WordsAtHome, HaveALockAndGiveEverythingBack) {
  World world(100, 2);
  EXPECT_EQ(world.ask(static_cast<std::uint32_t>(LockOp::where), {}).status, Status::ok);
  EXPECT_EQ(world.home().taken(), 100u + 2 * 64);
  EXPECT_EQ(world.ask(static_cast<std::uint32_t>(LockOp::lock), {}).status, Status::ok);
  EXPECT_EQ(world.ask(static_cast<std::uint32_t>(LockOp::try_lock), {}).status, Status::no);
  world.words().left({1, 2}, world.home());
  EXPECT_EQ(world.ask(static_cast<std::uint32_t>(LockOp::try_lock), {}).status, Status::ok);
  world.words().released(world.home());
  EXPECT_EQ(world.home().taken(), 0u);
}

TEST(WordsAtHome, AnswerLargeReadsBySlice) {
  World world(100'000);
  Bytes bytes(100'000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  EXPECT_EQ(world.ask(WordsOp::write, 0, bytes.size(), bytes).status, Status::ok);
  EXPECT_EQ(world.ask(WordsOp::read, 0, bytes.size()).bytes, bytes);
}

TEST(WordsAtHome, AgreeWithPlainMemoryInAnyOrder) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::size_t size = 200;
  World world(size);
  Bytes model(size);
  for (int step = 0; step < 10'000; ++step) {
    const std::size_t offset = random() % size;
    const std::size_t length = random() % (size - offset + 1);
    const auto at = model.begin() + static_cast<std::ptrdiff_t>(offset);
    const Bytes here(at, at + static_cast<std::ptrdiff_t>(length));
    Bytes other(length);
    for (std::byte& byte : other) byte = static_cast<std::byte>(random());
    switch (random() % 4) {
      case 0:
        ASSERT_EQ(world.ask(WordsOp::read, offset, length).bytes, here);
        break;
      case 1:
        ASSERT_EQ(world.ask(WordsOp::write, offset, length, other).status, Status::ok);
        std::copy(other.begin(), other.end(), at);
        break;
      case 2:
        ASSERT_EQ(world.ask(WordsOp::exchange, offset, length, other).bytes, here);
        std::copy(other.begin(), other.end(), at);
        break;
      default: {
        const bool right = random() % 2 == 0 || length == 0;
        Bytes both = here;
        if (!right) both[random() % length] ^= std::byte{1};
        both.insert(both.end(), other.begin(), other.end());
        const auto answer = world.ask(WordsOp::compare_exchange, offset, length, both);
        ASSERT_EQ(answer.status, right ? Status::ok : Status::no);
        if (right) {
          std::copy(other.begin(), other.end(), at);
        } else {
          ASSERT_EQ(answer.bytes, here);
        }
      }
    }
  }
}

}  // namespace
