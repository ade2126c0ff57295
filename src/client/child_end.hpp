// The end of a child process.
#pragma once

namespace rankpool::client {

/// To be called before any code of the user's: exit(), wherever it is called, then runs the handlers that were
/// registered after this, ends what this process has started, sees to it that all it did with objects has arrived,
/// flushes the streams and leaves with the status, without those handlers and destructors that were inherited.
void catch_exit();

/// Writes out the streams of the standard library. A stream that is broken fails nobody.
void flush_streams() noexcept;

}  // namespace rankpool::client
