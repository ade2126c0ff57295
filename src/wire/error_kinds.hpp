// The types of exceptions that are known by name: standard ones, rankpool's, and those the user has registered.
#pragma once

#include <optional>
#include <string_view>

#include <rankpool/detail/remote_exception.hpp>

namespace rankpool::wire {

/// By the mangled name of the type, or of the type that stands for it after a journey. Any thread may call.
std::optional<detail::ErrorKind> find_error_kind(std::string_view mangled);

}  // namespace rankpool::wire
