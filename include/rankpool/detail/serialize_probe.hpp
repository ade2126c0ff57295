// Does a type have a Boost `serialize`? Asked without touching Boost's internals.
#pragma once

#include <boost/archive/archive_exception.hpp>
#include <boost/serialization/access.hpp>
#include <boost/serialization/serialization.hpp>
#include <type_traits>

namespace rankpool::detail {

class MemoryOArchive;

namespace probe {

struct Fallback {
  int serialize;
};
template <class T>
struct Both : T, Fallback {};
template <class T>
concept Unambiguous = requires {
  &Both<T>::serialize;
};

template <class T>
concept PublicMember = requires(T& t, MemoryOArchive& archive) {
  t.serialize(archive, 0u);
};
// A public function of that name that takes other arguments (a JSON writer, say).
template <class T>
concept UnrelatedMember = !PublicMember<T> && requires {
  &T::serialize;
};

// A name that T and another base both have is ambiguous, whether T's is private or not.
template <class T>
struct HasMember : std::bool_constant<PublicMember<T>> {};
template <class T>
requires(std::is_class_v<T> && !std::is_final_v<T>) struct HasMember<T>
    : std::bool_constant<!Unambiguous<T> && !UnrelatedMember<T>> {
};

// Boost's own catch-all template is exactly as specialised as this one: the call is ambiguous unless somebody wrote a
// better overload.
namespace overload {
template <class Archive, class T>
void serialize(Archive&, T&, const unsigned int);
template <class T>
concept Exists = requires(MemoryOArchive& archive, T& t, boost::serialization::version_type version) {
  serialize(archive, t, version);
};
}  // namespace overload

}  // namespace probe

/// A member (private ones too) or free function `serialize` in the way of Boost.Serialization.
template <class T>
concept HasBoostSerialize = (std::is_class_v<T> || std::is_union_v<T> ||
                             std::is_enum_v<T>)&&(probe::HasMember<T>::value || probe::overload::Exists<T>);

}  // namespace rankpool::detail
