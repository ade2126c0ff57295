// The shared objects whose home is this rank.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "engine/replicas.hpp"
#include "engine/router.hpp"
#include "engine/window_service.hpp"
#include "objects/lifetime.hpp"
#include "objects/object.hpp"
#include "objects/window_memory.hpp"
#include "wire/objects.hpp"

namespace rankpool::engine {

/// Hands frames to the objects and sends what they answer; an object goes when nobody has a handle of it any more.
class ObjectHost final : private objects::Home {
 public:
  ObjectHost(Router& router, objects::WindowMemory& window, WindowService& service, Replicas& replicas)
      : router_(router), window_(window), service_(service), replicas_(replicas) {}

  /// A frame from a user process, or a pin from another engine. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  /// A user process that has spoken to this engine has ended; `leases`: its lease words.
  void client_gone(wire::Address client, const link::LeaseStates& leases);
  /// So have all processes of that rank.
  void rank_lost(int rank);
  /// The window service has done what an object has asked it for.
  void word_swapped(const WindowService::Swapped& swapped);

 private:
  struct Entry {
    std::unique_ptr<objects::Object> object;
    objects::Lifetime lifetime;
  };

  void make(const wire::Header& head, std::span<const std::byte> body);
  void send_pin(const wire::Pin& pin, std::int32_t change);
  void release_if_over(std::uint64_t number);

  void reply(const objects::Caller& to, wire::Status status, std::span<const std::byte> fixed,
             const link::PayloadView& payload) override;
  void note(std::uint64_t object, wire::Address to, std::uint32_t what, std::span<const std::byte> fixed,
            const link::PayloadView& payload) override;
  void note_all(std::uint64_t object, std::uint32_t what, std::span<const std::byte> fixed) override;
  void pin(const wire::Pin& pin) override { send_pin(pin, 1); }
  void unpin(const wire::Pin& pin) override { send_pin(pin, -1); }
  void hold(const wire::ObjectId& object) override;
  void drop(const wire::ObjectId& object) override;
  objects::Object* find(std::uint64_t number) override;
  void recall_lease(std::uint64_t object, wire::Address holder, std::uint32_t slot, std::uint64_t generation) override;
  void keep_value(std::uint64_t object, const link::PayloadView& value) override { replicas_.keep(object, value); }
  void drop_value(std::uint64_t object) override { replicas_.drop(object); }
  objects::WindowMemory* window() override { return &window_; }
  /// What a process of another rank had taken of a lease nobody could say if that rank were lost.
  bool may_lend(wire::Address process) const override {
    return !router_.layout().recovery || process.rank == router_.layout().rank;
  }
  bool one_sided() const override { return router_.layout().window == wire::WindowMode::one_sided; }
  void swap_word(std::uint64_t object, std::uint64_t offset, std::uint64_t expected, std::uint64_t desired) override {
    service_.swap(object, offset, expected, desired);
  }
  void add_word(std::uint64_t object, std::uint64_t offset, std::uint64_t addend) override {
    service_.add(object, offset, addend);
  }

  Router& router_;
  objects::WindowMemory& window_;
  WindowService& service_;
  Replicas& replicas_;
  std::unordered_map<std::uint64_t, Entry> objects_;
};

}  // namespace rankpool::engine
