// What the containers of a manager have in common at their home: whose turn it is to change them.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string_view>

#include "link/payload.hpp"
#include "objects/object.hpp"
#include "wire/containers.hpp"

namespace rankpool::objects {

/// Reads are answered at once. A change takes its turn: while a caller is between begin_update and end_update, running
/// a function of the user's in its own process, other changes wait in line. A caller that ends meanwhile has changed
/// nothing.
class Container : public Object {
 public:
  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) final;
  void withdraw(const Caller& caller, Home& home) final;
  void left(wire::Address process, Home& home) final;
  /// No request comes after it, and nobody waits: the values go.
  void released(Home& home) final { clear(home); }

 protected:
  /// A request in place.
  struct Request {
    Caller caller;
    wire::ContainerOp operation;
    std::span<const std::byte> body;
    link::Slice slice;  ///< `body` is its content; empty if it came in line
  };

  /// Answers it now. An end_update comes as `put`.
  virtual void serve(const Request& request, Home& home) = 0;
  /// Answers with the value. False if there can be no update.
  virtual bool begin_update(const Request& request, Home& home) = 0;
  /// The part of a request that has the items.
  virtual std::span<const std::byte> items_of(std::span<const std::byte> body) const = 0;
  virtual void clear(Home& home) = 0;

 private:
  struct Pending {
    Caller caller;
    wire::ContainerOp operation;
    link::Payload payload;
  };

  void change(const Request& request, Home& home);
  void end_update(Home& home);
  void drop(const Pending& pending, Home& home);
  void refuse_items(wire::ContainerOp operation, std::span<const std::byte> body, Home& home);

  std::optional<Caller> updating_;
  std::deque<Pending> pending_;  // empty unless somebody is updating
};

}  // namespace rankpool::objects
