// The shared values that this rank has, or waits for.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/router.hpp"
#include "link/payload.hpp"
#include "objects/object.hpp"
#include "wire/objects.hpp"

namespace rankpool::engine {

/// A value travels along a binary tree over the ranks whose root is its home. A rank asks the one above it once, when
/// the first of its processes or of the ranks below it asks for the value, and keeps it until the one above says that
/// it has gone; so a value comes to a rank once at most, and each rank knows which of those below it to tell. A value
/// that has gone never comes again, since numbers of objects are used once: a question that meets the news of its end
/// goes on to the home, which says so. The processes of this rank that have a value are told of its end too.
class Replicas {
 public:
  explicit Replicas(Router& router) : router_(router) {}

  /// At its home: the value has come.
  void keep(std::uint64_t number, const link::PayloadView& value);
  /// At its home: nobody has a handle any more.
  void drop(std::uint64_t number);
  /// A question of a process of this rank, or a frame from another engine. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

  /// A process of this rank has ended.
  void client_gone(wire::Address client);
  /// Another rank is lost. Of a value whose home it was there is what has come before; another one is asked for at the
  /// next rank above.
  void rank_lost(int rank);

  /// How many there are, with those that are waited for.
  std::size_t size() const noexcept { return replicas_.size(); }

 private:
  using Key = std::pair<int, std::uint64_t>;  // home, number
  struct Process {
    objects::Caller caller;
    std::uint64_t note_token = 0;
  };
  struct Replica {
    bool here = false;
    int above = -1;  // the rank that was asked for it
    link::Payload value;
    std::vector<Process> processes;  // that wait; that have it, if it is here
    std::vector<int> ranks;          // below this one: the same
  };
  using Entry = std::map<Key, Replica>::iterator;

  Replica& find_or_ask(const Key& key);
  void withdraw(const Key& key, const objects::Caller& caller);
  void arrived(Entry entry, const link::PayloadView& value);
  void gone(Entry entry, wire::Status why = wire::Status::gone);
  void tell(int rank, wire::Kind kind, const Key& key, wire::Status status = {}, const link::PayloadView& value = {});
  void give(const Process& process, Replica& replica);
  void answer(const objects::Caller& caller, wire::Status status, const link::PayloadView& value = {});
  void ask_above(const Key& key, bool is_here);

  Router& router_;
  std::map<Key, Replica> replicas_;
};

}  // namespace rankpool::engine
