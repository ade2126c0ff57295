// Names of types for messages.
#pragma once

#include <string>
#include <typeinfo>

namespace rankpool::detail {

/// The name as a programmer writes it; for messages only, names are not unique (two lambdas may share one).
std::string demangle(const char* mangled);

template <class T>
std::string type_name() {
  return demangle(typeid(T).name());
}

}  // namespace rankpool::detail
