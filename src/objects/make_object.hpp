// From the type of an object to its state machine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "objects/object.hpp"

namespace rankpool::objects {

/// A new object of this type; `body` is what its maker says about it. @throws wire::BadFrame for a type that no user
/// process may make
std::unique_ptr<Object> make_object(wire::ObjectType type, std::uint64_t number, std::span<const std::byte> body,
                                    Home& home);

}  // namespace rankpool::objects
