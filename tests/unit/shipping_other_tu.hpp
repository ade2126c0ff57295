// What shipping_other_tu.cpp and shipping_library.cpp offer to the shipping test.
#pragma once

#include <string>

#include <rankpool/detail/buffer.hpp>

// Calls that were encoded in the other translation unit, of things named like those in the test itself.
void encode_other_function(rankpool::detail::Buffer& callable);
void encode_other_lambda(rankpool::detail::Buffer& callable);
std::string other_lambda_type_name();

// In a library with hidden visibility.
__attribute__((visibility("default"))) void encode_library_lambda(rankpool::detail::Buffer& callable);
__attribute__((visibility("default"))) double library_square(double x);
