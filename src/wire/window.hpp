// Operations on single words of a window.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rankpool::wire {

enum class WordType : std::uint32_t { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };
enum class WordOp : std::uint32_t { load, store, exchange, compare_exchange, fetch_add };

/// What to do with the word at `offset`, a multiple of its size. Values lie in the low bytes; compare_exchange compares
/// bits, also those of f32 and f64.
struct WordRequest {
  std::uint64_t offset = 0;
  WordType type = WordType::i32;
  WordOp op = WordOp::load;
  std::uint64_t operand = 0;   ///< what to store or to add
  std::uint64_t expected = 0;  ///< for compare_exchange
};
static_assert(sizeof(WordRequest) == 32);

constexpr std::size_t size_of(WordType type) noexcept {
  switch (type) {
    case WordType::i8:
    case WordType::u8:
      return 1;
    case WordType::i16:
    case WordType::u16:
      return 2;
    case WordType::i32:
    case WordType::u32:
    case WordType::f32:
      return 4;
    case WordType::i64:
    case WordType::u64:
    case WordType::f64:
      return 8;
  }
  return 0;  // no such type
}

}  // namespace rankpool::wire
