#include "engine/port.hpp"

#include <algorithm>

#include "wire/messages.hpp"

namespace rankpool::engine {
namespace {

/// A user who sleeps until all results of a job are there is not woken for a part. Large ones are worth taking in while
/// others are computed.
bool wakes(const wire::Header& head, const link::Slice& slice) {
  return head.kind != wire::Kind::job_results || slice ||
         head.flags == static_cast<std::uint32_t>(wire::Awaited::each);
}

}  // namespace

void Port::send(const wire::Header& head, std::span<const std::byte> first, std::span<const std::byte> second,
                const link::Slice& slice) {
  if (kept_.empty() && end_.try_send(head, first, second, slice)) {
    unrung_ |= wakes(head, slice);
    return;
  }
  Kept kept{head, {}, slice};
  kept.body.reserve(first.size() + second.size());
  kept.body.insert(kept.body.end(), first.begin(), first.end());
  kept.body.insert(kept.body.end(), second.begin(), second.end());
  kept_.push_back(std::move(kept));
}

link::LeaseStates Port::lease_states() noexcept {
  link::LeaseStates states;
  std::transform(leases().begin(), leases().end(), states.begin(), [](const auto& word) { return word.state(); });
  return states;
}

bool Port::flush() {
  while (!kept_.empty()) {
    const Kept& next = kept_.front();
    if (!end_.try_send(next.head, next.body, {}, next.slice)) {
      end_.want_room();
      if (!end_.try_send(next.head, next.body, {}, next.slice)) {
        end_.ring();  // it may sleep over a full ring; it rings back when it has made room
        break;
      }
    }
    unrung_ |= wakes(next.head, next.slice);
    kept_.pop_front();
  }
  if (!unrung_) return false;
  unrung_ = false;
  end_.ring();
  return true;
}

}  // namespace rankpool::engine
