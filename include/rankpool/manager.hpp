// Containers that many processes share.
#pragma once

#include <rankpool/detail/key_bytes.hpp>
#include <rankpool/detail/refusals.hpp>
#include <rankpool/dict.hpp>
#include <rankpool/list.hpp>
#include <rankpool/space.hpp>

namespace rankpool {

/// Makes containers whose home is the rank of this process; no process of their own is needed. A container goes with
/// its last handle: those that are left when the Manager goes keep working. Other shared objects (Queue, Lock, ...) are
/// made by their constructors, and their handles can be values here. Mirrors `multiprocessing.Manager`.
class Manager {
 public:
  /// @throws NotRunning
  Manager();

  /// A new, empty dict.
  template <class K, class V>
  Dict<K, V> dict() const {
    detail::require_key<K>();
    detail::require_sendable<V>();
    return Dict<K, V>(detail::make_container(Dict<K, V>::type));
  }
  /// A new, empty list.
  template <class T>
  List<T> list() const {
    detail::require_sendable<T>();
    return List<T>(detail::make_container(List<T>::type));
  }
  /// A new, empty space.
  Space space() const { return Space(detail::make_container(Space::type)); }
};

}  // namespace rankpool
