#include "objects/make_object.hpp"

#include "objects/event.hpp"
#include "wire/bad_frame.hpp"

namespace rankpool::objects {

std::unique_ptr<Object> make_object(wire::ObjectType type, [[maybe_unused]] std::uint64_t number,
                                    [[maybe_unused]] std::span<const std::byte> body, [[maybe_unused]] Home& home) {
  switch (type) {
    case wire::ObjectType::event:
      return std::make_unique<Event>();
    default:
      throw wire::BadFrame("a process asked for an object of an unknown type");
  }
}

}  // namespace rankpool::objects
