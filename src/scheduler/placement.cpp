#include "scheduler/placement.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <queue>
#include <stdexcept>

namespace rankpool::scheduler {

namespace {

constexpr int master_only_above = 32;

// `ranks` in the order of dealing.
void deal_host(const std::vector<std::size_t>& ranks, int cores, std::vector<int>& slots) {
  const int count = static_cast<int>(ranks.size());
  for (int turn = 0; turn < count; ++turn) {
    const std::size_t rank = ranks[static_cast<std::size_t>(turn)];
    const int share = cores / count + (turn < cores % count ? 1 : 0);
    slots[rank] = rank == 0 ? share : std::max(1, share);
  }
}

void check_overrides(std::span<const RankPlace> ranks) {
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::optional<int>& wish = ranks[rank].slots_override;
    if (!wish || *wish > 0 || (*wish == 0 && rank == 0)) continue;
    throw std::invalid_argument("rank " + std::to_string(rank) + " on " + ranks[rank].host + " was told to have " +
                                std::to_string(*wish) +
                                " slots: set RANKPOOL_SLOTS to 1 or more (only RANKPOOL_MASTER_SLOTS may be 0)");
  }
}

}  // namespace

std::vector<int> deal_slots(std::span<const RankPlace> ranks) {
  check_overrides(ranks);
  struct Host {
    std::vector<std::size_t> ranks;
    int cores = 1;
  };
  std::map<std::string, Host> hosts;
  for (std::size_t turn = 0; turn < ranks.size(); ++turn) {
    const std::size_t rank = (turn + 1) % ranks.size();
    Host& host = hosts[ranks[rank].host];
    host.ranks.push_back(rank);
    host.cores = std::max(host.cores, ranks[rank].cores);
  }
  std::vector<int> slots(ranks.size());
  for (const auto& [name, host] : hosts) deal_host(host.ranks, host.cores, slots);

  const auto override_slots = [&] {
    std::vector<int> result = slots;
    for (std::size_t rank = 0; rank < ranks.size(); ++rank)
      result[rank] = ranks[rank].slots_override.value_or(slots[rank]);
    return result;
  };
  std::vector<int> result = override_slots();
  std::int64_t total = std::accumulate(result.begin(), result.end(), std::int64_t{0});
  if (ranks.size() > 1 && total > master_only_above) {
    Host& host = hosts[ranks[0].host];
    host.ranks.pop_back();
    slots[0] = 0;
    if (!host.ranks.empty()) deal_host(host.ranks, host.cores, slots);
    result = override_slots();
    total = std::accumulate(result.begin(), result.end(), std::int64_t{0});
  }
  if (total == 0 && !ranks.empty()) {
    throw std::invalid_argument(
        "the job has no slots: rank 0 is its only rank and was told to have 0; set RANKPOOL_SLOTS or "
        "RANKPOOL_MASTER_SLOTS to 1 or more");
  }
  return result;
}

std::vector<int> place_workers(std::span<const int> slots, std::optional<int> processes) {
  std::vector<int> workers(slots.begin(), slots.end());
  if (std::none_of(slots.begin(), slots.end(), [](int count) { return count > 0; })) {
    throw std::invalid_argument("no rank has a slot for a pool worker: set RANKPOOL_SLOTS to 1 or more");
  }
  if (!processes) return workers;
  if (*processes < 1) {
    throw std::invalid_argument("a pool needs at least one worker, not " + std::to_string(*processes) +
                                ": leave the number out to take every slot");
  }
  std::fill(workers.begin(), workers.end(), 0);
  // The next worker goes where there are fewest per slot.
  const auto worse = [&](std::size_t a, std::size_t b) {
    const std::int64_t load_a = std::int64_t{workers[a]} * slots[b];
    const std::int64_t load_b = std::int64_t{workers[b]} * slots[a];
    if (load_a != load_b) return load_a > load_b;
    return (a + slots.size() - 1) % slots.size() > (b + slots.size() - 1) % slots.size();
  };
  std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(worse)> ranks(worse);
  for (std::size_t rank = 0; rank < slots.size(); ++rank) {
    if (slots[rank] > 0) ranks.push(rank);
  }
  for (int placed = 0; placed < *processes; ++placed) {
    const std::size_t rank = ranks.top();
    ranks.pop();
    ++workers[rank];
    ranks.push(rank);
  }
  return workers;
}

}  // namespace rankpool::scheduler
