// The exit code of the job, for whoever started it and cannot see it otherwise.
#pragma once

namespace rankpool::client {

/// Where rank 0 notes its exit code: the file that RANKPOOL_EXIT_FILE names. Called once, before `note_exit`.
void prepare_exit_note() noexcept;
/// Writes the code to that file, if there is one; the last call counts. Async-signal-safe.
void note_exit(int code) noexcept;

}  // namespace rankpool::client
