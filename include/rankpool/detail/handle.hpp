// What the handles of all shared objects have in common.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/object_type.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::client {
class RemoteObject;
}

namespace rankpool::detail {

using ObjectPtr = std::shared_ptr<client::RemoteObject>;

/// A copyable name for an object at some engine. Copies in one process share what the process knows of the object; the
/// object goes with its last handle in the job. A handle that was moved from may only be assigned to and destroyed.
class Handle {
 protected:
  explicit Handle(ObjectPtr object) noexcept : object_(std::move(object)) {}
  const ObjectPtr& object() const noexcept { return object_; }

 private:
  template <class T>
  friend struct Codec;
  ObjectPtr object_;
};

/// Writes which object it is, and lets the buffer keep it alive. @throws std::logic_error for an empty handle
void encode_handle(Buffer& out, const ObjectPtr& object);
/// The object as this process knows it, from now on. @throws SerializationError if it is of another type; NotRunning
ObjectPtr decode_handle(Reader& in, ObjectType type);

/// A type whose values are handles: has `static constexpr ObjectType type` and a constructor from an ObjectPtr, which
/// may be private if Codec is a friend.
template <class T>
concept HandleType = std::derived_from<T, Handle>;

template <HandleType T>
struct Codec<T> {
  static constexpr bool raw = false;
  static void encode(Buffer& out, const T& handle) { encode_handle(out, static_cast<const Handle&>(handle).object_); }
  static T decode(Reader& in) { return T(decode_handle(in, T::type)); }
};

}  // namespace rankpool::detail
