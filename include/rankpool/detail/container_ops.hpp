// What is said between the handles of containers and their homes.
#pragma once

#include <cstdint>

namespace rankpool::detail {

enum class ContainerOp : std::uint32_t {
  // These see the container as it is, also while somebody updates it.
  get,       ///< ok and the value, or no
  contains,  ///< ok or no
  keys,      ///< ok and the parts, each as an item
  values,
  items,
  size,  ///< ok and a ContainerSize
  // These wait while somebody updates it.
  put,     ///< items; in a list one, in place of another
  insert,  ///< items, before an index of a list
  erase,   ///< ok or no
  pop,     ///< ok and the value, or no
  clear,
  begin_update,  ///< ok and the value: other changes wait from now on. A dict also answers no, but begins; a list does
                 ///< not
  // Of whoever has begun.
  end_update,  ///< as put
  abandon,
};

/// Before every item. What follows: the key, the name of the value's type, the value, the Pin of every handle in
/// the value. The requests of lists have an index (std::int64_t) before the item.
struct ItemHead {
  std::uint64_t key = 0;      ///< bytes; 0 in lists
  std::uint64_t type = 0;     ///< bytes; 0 unless values of one container differ in their types
  std::uint64_t value = 0;    ///< bytes
  std::uint64_t handles = 0;  ///< how many
};
/// Follows `ok` of size, and `no`; after the latter comes the name of the type that the value has, if only that
/// differs.
struct ContainerSize {
  std::uint64_t size = 0;
};

}  // namespace rankpool::detail
