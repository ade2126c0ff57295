#include "client/exit_note.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <iterator>

namespace rankpool::client {
namespace {

const char* file = nullptr;

}  // namespace

void prepare_exit_note() noexcept {
  if (const char* const name = std::getenv("RANKPOOL_EXIT_FILE"); name != nullptr && *name != '\0') file = name;
}

void note_exit(int code) noexcept {
  if (file == nullptr) return;
  const int error = errno;
  char text[16];
  char* end = std::to_chars(std::begin(text), std::end(text) - 1, code).ptr;
  *end++ = '\n';
  if (const int out = ::open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); out >= 0) {
    static_cast<void>(!::write(out, text, static_cast<std::size_t>(end - text)));
    ::close(out);
  }
  errno = error;
}

}  // namespace rankpool::client
