#include <rankpool/detail/preview.hpp>

#include <array>
#include <charconv>
#include <cstdio>

#include <rankpool/detail/type_name.hpp>

namespace rankpool::detail {
namespace {

constexpr std::size_t longest_line = 120;
constexpr std::size_t longest_text = 60;
constexpr std::size_t longest_type = 80;

template <class Number>
std::string digits_of(Number value) {
  std::array<char, 64> digits;  // the shortest that give the same number; enough for any
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() ? std::string(digits.data(), end) : std::string("a number");
}

/// Bytes of the UTF-8 character at the front; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  if (length == 2 && first == 0xC2 && byte(1) < 0xA0) return 0;  // control characters too
  const bool too_long = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool no_character = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return too_long || no_character ? 0 : length;
}

/// The character at the front of `rest`, which it is taken off, as it may stand between quotes.
std::string printable(std::string_view& rest, char quote) {
  const std::size_t length = utf8_length(rest);
  const std::string_view character = rest.substr(0, length == 0 ? 1 : length);
  rest.remove_prefix(character.size());
  if (length > 1) return std::string(character);
  const char c = character.front();
  if (c == '\n') return "\\n";
  if (c == '\t') return "\\t";
  if (c == '\r') return "\\r";
  if (c == '\\' || c == quote) return {'\\', c};
  if (length == 1 && c >= ' ' && c != '\x7f') return {c};
  std::array<char, 8> code;
  std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return code.data();
}

}  // namespace

void Preview::put(std::string_view piece) {
  if (full_) return;
  if (line_.size() + piece.size() <= longest_line) {
    line_ += piece;
  } else {
    line_ += "...";
    full_ = true;
  }
}

void Preview::number(std::int64_t value) { put(digits_of(value)); }
void Preview::number(std::uint64_t value) { put(digits_of(value)); }
void Preview::number(float value) { put(digits_of(value)); }
void Preview::number(double value) { put(digits_of(value)); }
void Preview::number(long double value) { put(digits_of(value)); }

void Preview::text(std::string_view value, char quote) {
  const std::string_view mark(&quote, 1);
  put(mark);
  std::size_t length = 0;
  std::string_view rest = value;
  while (!rest.empty() && length < longest_text && !full_) {
    const std::string next = printable(rest, quote);
    put(next);
    length += next.size();
  }
  if (rest.empty()) return put(mark);
  put("...");
  put(mark);
  put(" (" + std::to_string(value.size()) + " bytes)");
}

void Preview::type(const std::type_info& value) {
  std::string name = demangle(value.name());
  if (name.size() > longest_type) name = name.substr(0, longest_type) + "...";
  put(name);
}

void Preview::elements_left(std::size_t all) { put(", ... " + std::to_string(all) + " elements"); }

std::string Preview::take(std::size_t arguments) {
  if (arguments == 0) return {};
  return (arguments == 1 ? "argument: " : "arguments: ") + std::move(line_);
}

}  // namespace rankpool::detail
