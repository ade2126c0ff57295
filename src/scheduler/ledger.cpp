#include "scheduler/ledger.hpp"

#include <algorithm>
#include <tuple>

namespace rankpool::scheduler {

namespace {

std::uint64_t chunks_of(const Ledger::Piece& piece) noexcept {
  if (piece.chunk == 1) return piece.last - piece.first;
  return (piece.last - 1 - piece.base) / piece.chunk - (piece.first - piece.base) / piece.chunk + 1;
}

bool holds(const Ledger::Piece& piece, std::uint64_t job, TaskIndex task) noexcept {
  return piece.job == job && piece.first <= task && task < piece.last;
}

}  // namespace

void Ledger::add(std::uint64_t job, const Run& run) {
  const Piece piece{job, run.first, run.first + run.count, run.first, run.chunk};
  chunks_ += chunks_of(piece);
  tasks_ += run.count;
  const bool last = pieces_.empty() || std::tie(pieces_.back().job, pieces_.back().first) < std::tie(job, run.first);
  if (last) {
    pieces_.push_back(piece);
  } else {
    pieces_.insert(lower_bound(job, run.first), piece);
  }
}

std::optional<std::uint64_t> Ledger::take(std::uint64_t job, TaskIndex first, std::uint64_t count) {
  const TaskIndex last = first + count;
  if (last <= first) return std::nullopt;
  if (hint_ >= pieces_.size() || !holds(pieces_[hint_], job, first)) {
    hint_ = lower_bound(job, first + 1);
    if (hint_ == 0 || !holds(pieces_[hint_ - 1], job, first)) return std::nullopt;
    --hint_;
  }
  std::size_t end = hint_;
  while (pieces_[end].last < last) {
    const TaskIndex next = pieces_[end].last;
    if (++end == pieces_.size() || pieces_[end].first != next || pieces_[end].job != job) return std::nullopt;
  }
  const std::uint64_t chunk = pieces_[hint_].chunk;
  remove(hint_, end, first, last);
  tasks_ -= count;
  return chunk;
}

// [first, last) out of the pieces from `begin` to `end`, both included.
void Ledger::remove(std::size_t begin, std::size_t end, TaskIndex first, TaskIndex last) {
  for (std::size_t index = begin; index <= end; ++index) chunks_ -= chunks_of(pieces_[index]);
  Piece before = pieces_[begin];
  Piece behind = pieces_[end];
  before.last = first;
  behind.first = last;
  const bool keep_before = before.first < first;
  const bool keep_behind = last < behind.last;
  if (keep_before) chunks_ += chunks_of(before);
  if (keep_behind) chunks_ += chunks_of(behind);
  if (keep_before) pieces_[begin++] = before;
  if (keep_behind && begin > end) return pieces_.insert(begin, behind);
  if (keep_behind) {
    pieces_[end] = behind;
  } else {
    ++end;
  }
  if (begin < end) pieces_.erase(begin, end);
}

void Ledger::forget(std::uint64_t job) {
  const std::size_t first = lower_bound(job, 0);
  std::size_t last = first;
  for (; last < pieces_.size() && pieces_[last].job == job; ++last) {
    chunks_ -= chunks_of(pieces_[last]);
    tasks_ -= pieces_[last].last - pieces_[last].first;
  }
  if (last > first) pieces_.erase(first, last);
}

bool Ledger::has(std::uint64_t job) const noexcept {
  const std::size_t first = lower_bound(job, 0);
  return first < pieces_.size() && pieces_[first].job == job;
}

void Ledger::clear() noexcept {
  pieces_.clear();
  chunks_ = tasks_ = 0;
}

std::size_t Ledger::lower_bound(std::uint64_t job, TaskIndex first) const noexcept {
  const Piece* found =
      std::lower_bound(pieces_.begin(), pieces_.end(), std::tie(job, first),
                       [](const Piece& piece, const auto& key) { return std::tie(piece.job, piece.first) < key; });
  return static_cast<std::size_t>(found - pieces_.begin());
}

}  // namespace rankpool::scheduler
