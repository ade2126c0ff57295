// The shared objects whose home is this rank.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "engine/router.hpp"
#include "objects/lifetime.hpp"
#include "objects/object.hpp"
#include "wire/objects.hpp"

namespace rankpool::engine {

/// Hands frames to the objects and sends what they answer; an object goes when nobody has a handle of it any more.
class ObjectHost final : private objects::Home {
 public:
  explicit ObjectHost(Router& router) : router_(router) {}

  /// A frame from a user process, or a pin from another engine. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  /// A user process that has spoken to this engine has ended.
  void client_gone(wire::Address client);

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
  wire::Pin pin(const wire::ObjectId& object) override;
  void unpin(const wire::Pin& pin) override;
  objects::Object* find(std::uint64_t number) override;

  Router& router_;
  std::unordered_map<std::uint64_t, Entry> objects_;
  std::uint64_t pins_ = 0;
};

}  // namespace rankpool::engine
