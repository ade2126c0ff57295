// What tests need to know of the sanitizers they may be built with.
#pragma once

namespace support {

/// Everything is several times slower then, and larger.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

}  // namespace support
