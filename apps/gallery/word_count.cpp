// Counts the words of a text, over every core of the job.
//
// word_count [file]
//
// The text is cut at white space; each worker adds up the words of the blocks it gets, then the ranks add up theirs, so
// that only the counts travel back. Words are of letters (A to Z) and all small.
#include <rankpool/rankpool.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rp = rankpool;

using Counts = std::unordered_map<std::string, std::size_t>;

/// The small letter; 0 if it is none. Whatever the locale is.
char small_letter(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  return c >= 'a' && c <= 'z' ? c : '\0';
}

Counts count_words(const std::string& text) {
  Counts counts;
  std::string word;
  for (const char c : text) {
    if (const char letter = small_letter(c)) {
      word += letter;
    } else if (!word.empty()) {
      ++counts[std::exchange(word, {})];
    }
  }
  if (!word.empty()) ++counts[word];
  return counts;
}

void add(Counts& all, Counts some) {
  if (all.size() < some.size()) all.swap(some);
  for (const auto& [word, count] : some) all[word] += count;
}

/// Blocks of about this size that end where a word does.
std::vector<std::string> cut(std::string_view text, std::size_t size) {
  std::vector<std::string> blocks;
  while (!text.empty()) {
    const std::size_t space = text.find_first_of(" \n\t\r\f\v", std::min(size, text.size()));
    const std::size_t end = std::min(space, text.size());
    blocks.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return blocks;
}

std::string content_of(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) throw std::system_error(errno, std::generic_category(), name);
  return {std::istreambuf_iterator<char>(file), {}};
}

int program(int argc, char** argv) {
  const std::string text = content_of(argc > 1 ? argv[1] : "/usr/share/common-licenses/GPL-3");
  constexpr std::size_t smallest = 2 * 1024;
  constexpr std::size_t largest = 1024 * 1024;

  rp::Pool pool;
  const std::size_t wanted = text.size() / (8 * static_cast<std::size_t>(pool.processes()));
  const std::vector<std::string> blocks = cut(text, std::clamp(wanted, smallest, largest));
  const Counts counts = pool.map_reduce(count_words, add, blocks, Counts());

  std::vector<std::pair<std::string, std::size_t>> words(counts.begin(), counts.end());
  std::sort(words.begin(), words.end(), [](const auto& one, const auto& other) {
    return one.second != other.second ? one.second > other.second : one.first < other.first;
  });
  std::size_t total = 0;
  for (const auto& [word, count] : words) total += count;
  for (std::size_t i = 0; i < std::min<std::size_t>(words.size(), 10); ++i)
    std::printf("%7zu %s\n", words[i].second, words[i].first.c_str());
  std::printf("%7zu words in all, %zu different\n", total, words.size());
  return 0;
}

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
