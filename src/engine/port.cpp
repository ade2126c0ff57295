#include "engine/port.hpp"

namespace rankpool::engine {

void Port::send(const wire::Header& head, std::span<const std::byte> first, std::span<const std::byte> second,
                const link::Slice& slice) {
  if (kept_.empty() && end_.try_send(head, first, second, slice)) {
    unrung_ = true;
    return;
  }
  Kept kept{head, {}, slice};
  kept.body.reserve(first.size() + second.size());
  kept.body.insert(kept.body.end(), first.begin(), first.end());
  kept.body.insert(kept.body.end(), second.begin(), second.end());
  kept_.push_back(std::move(kept));
}

bool Port::flush() {
  while (!kept_.empty()) {
    const Kept& next = kept_.front();
    if (!end_.try_send(next.head, next.body, {}, next.slice)) {
      end_.want_room();
      if (!end_.try_send(next.head, next.body, {}, next.slice)) break;
    }
    unrung_ = true;
    kept_.pop_front();
  }
  if (!unrung_) return false;
  unrung_ = false;
  end_.ring();
  return true;
}

}  // namespace rankpool::engine
