#include "objects/item_line.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rankpool::objects {
namespace {

constexpr std::size_t first_block = 1024;
constexpr std::size_t largest_block = 64 * 1024;

}  // namespace

ItemLine::Mark ItemLine::mark_at(std::span<const std::byte> at) noexcept {
  Mark mark;
  std::memcpy(&mark, at.data(), sizeof mark);
  return mark;
}

std::vector<std::byte>& ItemLine::block_with_room(std::size_t count) {
  if (!blocks_.empty() && blocks_.back().capacity() - blocks_.back().size() >= count) return blocks_.back();
  if (!blocks_.empty() && blocks_.back().empty()) {  // it stays the first
    blocks_.back().reserve(count);
    return blocks_.back();
  }
  const std::size_t last = blocks_.empty() ? 0 : blocks_.back().capacity();
  std::vector<std::byte> block;
  block.swap(spare_);
  block.reserve(std::max(count, std::clamp(2 * last, first_block, largest_block)));
  return blocks_.emplace_back(std::move(block));
}

void ItemLine::push(const link::PayloadView& item, Cargo cargo) {
  const std::size_t bytes = item.slice ? 0 : item.bytes.size();
  Mark mark{static_cast<wire::QueueLength>(bytes)};
  if (item.slice || !cargo.empty()) {
    mark.length |= special_bit;
    special_.push_back({item.slice, std::move(cargo)});
  }
  std::vector<std::byte>& block = block_with_room(sizeof mark + bytes);
  const std::size_t at = block.size();
  block.resize(at + sizeof mark + bytes);
  std::memcpy(block.data() + at, &mark, sizeof mark);
  if (bytes != 0) std::memcpy(block.data() + at + sizeof mark, item.bytes.data(), bytes);
  ++size_;
}

link::PayloadView ItemLine::front() const {
  const auto at = std::span(blocks_.front()).subspan(begin_);
  const Mark mark = mark_at(at);
  if (mark.special() && special_.front().slice) return {{}, special_.front().slice};
  return {at.subspan(sizeof mark, mark.bytes()), {}};
}

ItemLine::Cargo ItemLine::pop() {
  std::vector<std::byte>& block = blocks_.front();
  const Mark mark = mark_at(std::span(block).subspan(begin_));
  begin_ += sizeof mark + mark.bytes();
  --size_;
  if (begin_ == block.size()) {
    begin_ = 0;
    if (blocks_.size() == 1) {
      block.clear();  // an almost empty queue stays in one block
    } else {
      block.swap(spare_);
      spare_.clear();
      blocks_.pop_front();
    }
  }
  if (!mark.special()) return {};
  Cargo cargo = std::move(special_.front().cargo);
  special_.pop_front();
  return cargo;
}

std::size_t ItemLine::copy_front(std::vector<std::byte>& out, std::size_t most_items, std::size_t most_bytes) const {
  std::size_t count = 0;
  std::size_t begin = begin_;
  for (const std::vector<std::byte>& block : blocks_) {
    std::size_t end = begin;
    bool full = false;
    while (end < block.size()) {
      const Mark mark = mark_at(std::span(block).subspan(end));
      const std::size_t next = end + sizeof mark + mark.bytes();
      full = count == most_items || mark.special() || out.size() + (next - begin) > most_bytes;
      if (full) break;
      end = next;
      ++count;
    }
    out.insert(out.end(), block.begin() + static_cast<std::ptrdiff_t>(begin),
               block.begin() + static_cast<std::ptrdiff_t>(end));
    if (full) break;
    begin = 0;
  }
  return count;
}

}  // namespace rankpool::objects
