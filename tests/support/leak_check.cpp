// Which processes LeakSanitizer looks at, and when.
#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>

namespace {

const pid_t first_process = ::getpid();
const bool speaks_mpi = std::getenv("OMPI_COMM_WORLD_RANK") != nullptr;

bool has_threads = false;
bool lost_threads = false;
[[maybe_unused]] const int registered = ::pthread_atfork(
    [] { has_threads = std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}) > 1; }, nullptr,
    [] { lost_threads = lost_threads || has_threads; });

}  // namespace

extern "C" {

/// Left out are:
///   a process that speaks MPI, but not its children: Open MPI frees little of what it allocates, and unloads its
///   plugins, so that no suppression can name them;
///   a process forked from one with several threads: what only those had is not a leak.
int __lsan_is_turned_off() { return lost_threads || (speaks_mpi && ::getpid() == first_process) ? 1 : 0; }

[[noreturn]] void __real__exit(int status);
[[noreturn]] void __wrap__exit(int status);

/// Called instead of _exit, by which children end and which looks for no leaks.
void __wrap__exit(int status) {
  __lsan_do_recoverable_leak_check();
  __real__exit(status);
}
}
