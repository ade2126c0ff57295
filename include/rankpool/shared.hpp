// A constant that many processes read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>
#include <rankpool/detail/reader.hpp>
#include <rankpool/detail/refusals.hpp>

namespace rankpool {

class Pool;

namespace detail {

/// What a process makes of the bytes of a shared value; `keeper` keeps the bytes, and may be kept.
using DecodeShared = std::shared_ptr<const void> (*)(std::span<const std::byte> bytes,
                                                     const std::shared_ptr<const void>& keeper);

/// The value itself where it can be read as it lies in the segment, else a copy.
template <class T>
std::shared_ptr<const void> decode_shared(std::span<const std::byte> bytes, const std::shared_ptr<const void>& keeper) {
  if constexpr (Codec<T>::raw && !std::is_same_v<T, bool>) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) == 0;
    if (bytes.size() == sizeof(T) && aligned) return {keeper, bytes.data()};
  }
  Reader in(bytes);
  auto value = std::make_shared<const T>(Codec<T>::decode(in));
  if (in.remaining() != 0) throw_left_over(typeid(T), in.remaining());
  return value;
}

/// A new shared value, kept by the engine of this process's rank. Does not wait. @throws NotRunning; std::logic_error
/// if a Connection is in it
ObjectPtr share_value(Buffer value);
/// The value as this process has it; it lives as long as the object. @throws as Shared::get
const void* shared_value(const ObjectPtr& object, DecodeShared decode, const std::type_info& type, Deadline deadline);

}  // namespace detail

/// A value that was given to Pool::share: copies are handles of one value, which nobody can change. A handle can be
/// sent anywhere, costs a few bytes there however large the value is, and outlives its pool. Any thread may use it.
///
///     rp::Shared<Table> table = pool.share(read_table());
///     auto rows = pool.map(rp::partial(look_up, table), keys);   // long look_up(rp::Shared<Table> t, Key k)
///
/// The value is encoded once, when it is shared, and passed on from rank to rank along a tree, once to each rank where
/// a process asks for it (and to those between it and the maker); the processes of a rank map the same memory. One that
/// can be sent as it lies in memory (a struct or array of numbers) is read right there; any other is decoded once in
/// each process that asks, which keeps it until the last handle of the job has gone. Whoever shares a value keeps no
/// copy of it, beside the encoded one.
template <class T>
class Shared : public detail::Handle {
 public:
  using value_type = T;
  static constexpr detail::ObjectType type = detail::ObjectType::shared;

  /// An empty handle, to be assigned to: for members of types with a `serialize`. Its `get` throws Closed, and it
  /// cannot be sent.
  Shared() noexcept : Handle(nullptr) {}

  /// The value; the reference holds while this process has a handle of it. Waits, the first time in each process, until
  /// the value has come; in a loop, keep the reference.
  /// @throws Closed if the value has gone, or the handle is empty; SerializationError, or what a `serialize` of the
  /// user's throws
  const T& get() const { return value({}); }
  /// As `get`, but waits at most `limit` (zero or negative: not at all). It may be called again.
  /// @throws TimeoutError if the value has not come by then
  template <class Rep, class Period>
  const T& get(std::chrono::duration<Rep, Period> limit) const {
    return value(detail::deadline_after(limit));
  }
  const T& operator*() const { return get(); }
  const T* operator->() const { return &get(); }

 private:
  friend class Pool;
  template <class U>
  friend struct detail::Codec;
  explicit Shared(detail::ObjectPtr object) noexcept : Handle(std::move(object)) {}

  static Shared make(const T& value) {
    detail::Buffer bytes;
    bytes.set_comparable();
    detail::Codec<T>::encode(bytes, value);
    return Shared(detail::share_value(std::move(bytes)));
  }
  const T& value(detail::Deadline deadline) const {
    return *static_cast<const T*>(detail::shared_value(object(), &detail::decode_shared<T>, typeid(T), deadline));
  }
};

}  // namespace rankpool
