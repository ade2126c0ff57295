#include "objects/lifetime.hpp"

#include <algorithm>

namespace rankpool::objects {

bool Lifetime::drop(wire::Address process) {
  const auto found =
      std::find_if(holders_.begin(), holders_.end(), [&](const Holder& holder) { return holder.process == process; });
  if (found == holders_.end()) return false;
  holders_.erase(found);
  return !holds(process);
}

void Lifetime::pin(std::uint64_t number, std::int32_t change) {
  const auto [found, added] = pins_.try_emplace(number, 0);
  found->second += change;
  if (found->second == 0) pins_.erase(found);
}

std::vector<wire::Address> Lifetime::holders() const {
  std::vector<wire::Address> processes;
  for (const Holder& holder : holders_)
    if (std::find(processes.begin(), processes.end(), holder.process) == processes.end())
      processes.push_back(holder.process);
  return processes;
}

const Lifetime::Holder* Lifetime::find(wire::Address process) const noexcept {
  // the newest: an older one of the same process is about to be dropped
  const auto found =
      std::find_if(holders_.rbegin(), holders_.rend(), [&](const Holder& holder) { return holder.process == process; });
  return found == holders_.rend() ? nullptr : &*found;
}

}  // namespace rankpool::objects
