#include "client/process_child.hpp"

#include <unistd.h>

#include <exception>
#include <string>
#include <string_view>

#include <rankpool/detail/dispatch.hpp>
#include <rankpool/detail/process_call.hpp>

#include "client/child_end.hpp"
#include "client/client.hpp"
#include "client/describe.hpp"
#include "worker/one_task.hpp"

namespace rankpool {
namespace {

using client::Client;

/// In one write, so that the lines of several processes do not mix.
void print_error(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

namespace client {

int run_process(std::span<const std::byte> call) {
  worker::OneTask task;
  try {
    detail::Reader in(call);
    const detail::Entry& entry = detail::find_entry(in.get<std::uint64_t>());
    task.at = worker::OneTask::Stage::decode_arguments;
    void* const callable = entry.load(in);
    task.at = worker::OneTask::Stage::call;
    entry.run(callable, in, 1, task);
    entry.destroy(callable);
  } catch (...) {
    task.failure = std::current_exception();
  }
  if (!task.failure) return 0;
  flush_streams();
  const Identity& self = Client::get()->identity();
  print_error("Process " + self.name + " (pid " + std::to_string(::getpid()) + ", rank " + std::to_string(self.rank) +
              " on " + self.host + "): uncaught exception" +
              (task.at == worker::OneTask::Stage::decode_arguments ? ", while its arguments were decoded" : "") + "\n  " +
              describe(task.failure) + "\n");
  return 1;
}

}  // namespace client

namespace detail {

void process_begins() {
  const auto client = Client::get();
  client->link().send({.to = {client->identity().rank, 0}, .kind = wire::Kind::child_ready}, {});
}

}  // namespace detail
}  // namespace rankpool
