#include "engine/replicas.hpp"

#include <algorithm>

#include "wire/bad_frame.hpp"
#include "wire/messages.hpp"
#include "wire/objects.hpp"
#include "wire/shared.hpp"

namespace rankpool::engine {

using objects::Caller;
using wire::Kind;
using wire::Status;

void Replicas::keep(std::uint64_t number, const link::PayloadView& value) {
  Replica& own = replicas_[{router_.layout().rank, number}];
  own.here = true;
  own.value = link::Payload(value);
}

void Replicas::drop(std::uint64_t number) {
  if (const auto found = replicas_.find({router_.layout().rank, number}); found != replicas_.end()) gone(found);
}

void Replicas::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  Process process;
  if (head.kind == Kind::shared_get || head.kind == Kind::shared_withdraw) {
    const auto asked = wire::take<wire::ObjectRequest>(body);
    process.caller = {head.from, asked.thread, asked.request};
  }
  const Key key{wire::take<wire::SharedHome>(body).rank, head.token};
  if (key.first < 0 || key.first >= router_.layout().ranks())
    throw wire::BadFrame("a shared value was asked for at a rank that does not exist");
  const bool is_home = key.first == router_.layout().rank;
  const Entry known = replicas_.find(key);

  switch (head.kind) {
    case Kind::shared_get:
      if (is_home && known == replicas_.end()) return answer(process.caller, Status::gone);
      if (known == replicas_.end() && !router_.layout().lives(key.first)) return answer(process.caller, Status::lost);
      process.note_token = wire::take<std::uint64_t>(body);
      if (Replica& replica = find_or_ask(key); replica.here) {
        give(process, replica);
      } else {
        replica.processes.push_back(process);
      }
      break;
    case Kind::shared_withdraw:
      withdraw(key, process.caller);
      break;
    case Kind::replica_ask:
      if (is_home && known == replicas_.end()) return tell(head.from.rank, Kind::replica, key, Status::gone);
      if (known == replicas_.end() && !router_.layout().lives(key.first)) return;  // who asks is told of that
      if (Replica& replica = find_or_ask(key);
          std::ranges::find(replica.ranks, head.from.rank) == replica.ranks.end()) {
        replica.ranks.push_back(head.from.rank);
        if (replica.here && head.flags == 0) tell(head.from.rank, Kind::replica, key, Status::ok, replica.value.view());
      }
      break;
    case Kind::replica:
      if (!router_.layout().whole() && !is_home) {  // who was above may have sent it before it was asked once more
        const bool is_news =
            known != replicas_.end() && (!known->second.here || static_cast<Status>(head.flags) == Status::gone);
        if (!is_news) break;
      } else if (is_home || known == replicas_.end() || known->second.here) {
        throw wire::BadFrame("an engine was sent a shared value that it has not asked for");
      }
      if (static_cast<Status>(head.flags) == Status::ok) return arrived(known, {body, std::move(slice)});
      gone(known, static_cast<Status>(head.flags));
      break;
    case Kind::replica_drop:
      if (!router_.layout().whole() && !is_home && known == replicas_.end()) break;
      if (is_home || known == replicas_.end() || !known->second.here)
        throw wire::BadFrame("an engine was told of the end of a shared value that it does not have");
      gone(known);
      break;
    default:
      throw wire::BadFrame("a frame that is not about shared values");
  }
}

/// At another rank than the home, it is there afterwards, or asked for.
Replicas::Replica& Replicas::find_or_ask(const Key& key) {
  const auto [entry, is_new] = replicas_.try_emplace(key);
  if (is_new) ask_above(key, false);
  return entry->second;
}

void Replicas::withdraw(const Key& key, const Caller& caller) {
  const Entry entry = replicas_.find(key);
  if (entry == replicas_.end() || entry->second.here) return;
  auto& waiting = entry->second.processes;
  if (std::erase_if(waiting, [&](const Process& one) { return objects::same_request(one.caller, caller); }) != 0)
    answer(caller, Status::withdrawn);  // else it has been answered
}

void Replicas::arrived(Entry entry, const link::PayloadView& value) {
  Replica& replica = entry->second;
  replica.here = true;
  replica.value = link::Payload(value);
  for (const int rank : replica.ranks) tell(rank, Kind::replica, entry->first, Status::ok, value);
  for (const Process& process : std::exchange(replica.processes, {})) give(process, replica);
}

/// Those who wait for it hear that, and those who have it from here.
void Replicas::gone(Entry entry, Status why) {
  const Replica last = std::move(entry->second);
  const Key key = entry->first;
  replicas_.erase(entry);
  for (const int rank : last.ranks) tell(rank, last.here ? Kind::replica_drop : Kind::replica, key, why);
  for (const Process& process : last.processes) {
    if (last.here) {
      router_.send({.to = process.caller.process, .token = process.note_token, .kind = Kind::object_note}, {});
    } else {
      answer(process.caller, why);
    }
  }
}

void Replicas::rank_lost(int rank) {
  for (auto next = replicas_.begin(); next != replicas_.end();) {
    const Entry entry = next++;
    auto& [key, replica] = *entry;
    std::erase(replica.ranks, rank);
    if (key.first == rank) {
      if (!replica.here) gone(entry, Status::lost);
    } else if (key.first != router_.layout().rank && replica.above == rank) {
      ask_above(key, replica.here);
    }
  }
}

void Replicas::client_gone(wire::Address client) {
  for (auto& [key, replica] : replicas_)
    std::erase_if(replica.processes, [&](const Process& one) { return one.caller.process == client; });
}

/// It is here. A process that asks again (in several threads, or after it could not decode it) is told of the end once.
void Replicas::give(const Process& process, Replica& replica) {
  const bool has_it = std::ranges::any_of(replica.processes, [&](const Process& one) {
    return one.caller.process == process.caller.process && one.note_token == process.note_token;
  });
  if (!has_it) replica.processes.push_back(process);
  answer(process.caller, Status::ok, replica.value.view());
}

void Replicas::tell(int rank, Kind kind, const Key& key, Status status, const link::PayloadView& value) {
  router_.send({.to = {rank, 0}, .token = key.second, .kind = kind, .flags = static_cast<std::uint32_t>(status)},
               wire::bytes_of(wire::SharedHome{key.first, 0}), value);
}

void Replicas::answer(const Caller& caller, Status status, const link::PayloadView& value) {
  router_.send({.to = caller.process,
                .token = caller.request,
                .kind = Kind::object_reply,
                .flags = static_cast<std::uint32_t>(status)},
               {}, value);
}

/// The next rank above that lives: in the end that is the home. `is_here`: only to hear of its end.
void Replicas::ask_above(const Key& key, bool is_here) {
  const Layout& layout = router_.layout();
  const int home = key.first;
  int position = (layout.rank - home + layout.ranks()) % layout.ranks();
  int above = home;
  do {
    position = (position - 1) / 2;
    above = (home + position) % layout.ranks();
  } while (!layout.lives(above) && position > 0);
  replicas_.at(key).above = above;
  router_.send({.to = {above, 0}, .token = key.second, .kind = Kind::replica_ask, .flags = is_here ? 1u : 0u},
               wire::bytes_of(wire::SharedHome{home, 0}));
}

}  // namespace rankpool::engine
