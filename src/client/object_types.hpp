// From the type of an object to what a process keeps of it.
#pragma once

#include <memory>

#include <rankpool/detail/reader.hpp>

#include "client/remote_object.hpp"

namespace rankpool::client {

/// `saved`: what RemoteObject::save wrote in another process; null: this process has just made the object.
std::shared_ptr<RemoteObject> new_remote_object(std::shared_ptr<Client> client, wire::ObjectType type,
                                                wire::ObjectId id, detail::Reader* saved);
/// "Queue", "Lock", ...
const char* type_name(wire::ObjectType type) noexcept;

}  // namespace rankpool::client
