#include "engine/start.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

#include "scheduler/placement.hpp"
#include "shipping/module_map.hpp"
#include "transport/transport.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {
namespace {

transport::Hello make_hello(const StartOptions& options, const link::RankPage& page, const Windows& windows) {
  transport::Hello hello;
  hello.build_id = shipping::program_build_id();
  hello.page_magic = page->magic;
  hello.pid = ::getpid();
  hello.page_fd = page.fd();
  hello.window_fd = windows.fd();
  hello.window_bytes = windows.size();
  hello.cores = options.cores;
  hello.slots = options.slots.value_or(-1);
  hello.seed = options.seed;
  hello.recovery = options.recovery ? 1 : 0;
  hello.silence_ms = static_cast<std::int32_t>(options.silence.count());
  ::gethostname(hello.host.data(), hello.host.size() - 1);
  return hello;
}

void check_builds(transport::Transport& transport) {
  const transport::Hello& first = transport.hello(0);
  for (int r = 1; r < transport.size(); ++r) {
    const transport::Hello& other = transport.hello(r);
    if (other.build_id == first.build_id) continue;
    const std::string text = "rank " + std::to_string(r) + " on " + wire::text_of(other.host) +
                             " runs another build of the program than rank 0 on " + wire::text_of(first.host) +
                             ": start the same file on every rank, and copy it anew to hosts with disks of their own";
    static_cast<void>(transport.finish());
    throw BinaryMismatch(text);
  }
}

/// Direct if every rank can map every window, else one-sided if MPI can. Collective.
wire::WindowMode choose_window(const StartOptions& options, transport::Transport& transport, Windows& windows) {
  if (!transport.all(options.window != WindowChoice::messages)) return wire::WindowMode::messages;
  bool direct = options.window == WindowChoice::automatic;
  for (int r = 0; r < transport.size(); ++r) direct = direct && transport.same_host(r);
  for (int r = 0; direct && r < transport.size(); ++r) {
    const transport::Hello& peer = transport.hello(r);
    direct = r == transport.rank() || windows.open_peer(r, peer.pid, peer.window_fd, peer.page_magic);
  }
  if (transport.all(direct)) return wire::WindowMode::direct;
  windows.forget_peers();

  bool equal = true;
  for (int r = 0; r < transport.size(); ++r) equal = equal && transport.hello(r).window_bytes == windows.size();
  if (transport.all(equal)) {
    transport.open_window(windows.base(), windows.size());
    if (transport.has_window()) return wire::WindowMode::one_sided;
  } else if (transport.rank() == 0) {
    std::fprintf(stderr,
                 "rankpool: the ranks have limits of their own on memory (`ulimit -v`, `ulimit -f`), so locks and "
                 "shared values use messages: set the same limits on every host\n");
  }
  return wire::WindowMode::messages;
}

}  // namespace

std::unique_ptr<Engine> start(const StartOptions& options, link::RankPage& page, worker::Zygote zygote,
                              Signals& signals) {
  Windows windows(page->magic);
  std::vector<transport::Hello> hellos{make_hello(options, page, windows)};
  std::unique_ptr<transport::Transport> transport;
  Layout layout;
  if (options.launched) {
    transport = transport::Transport::start(hellos.front(), page);
    check_builds(*transport);
    hellos.clear();
    for (int r = 0; r < transport->size(); ++r) hellos.push_back(transport->hello(r));
    layout.rank = transport->rank();
    layout.recovery = hellos.front().recovery != 0;
    layout.window = choose_window(options, *transport, windows);
  } else if (options.window == WindowChoice::messages) {
    layout.window = wire::WindowMode::messages;
  }

  std::vector<scheduler::RankPlace> places;
  layout.hosts.clear();
  for (std::size_t r = 0; r < hellos.size(); ++r) {
    scheduler::RankPlace place{wire::text_of(hellos[r].host), hellos[r].cores, {}};
    if (hellos[r].slots >= 0) place.slots_override = hellos[r].slots;
    layout.hosts.push_back(place.host);
    places.push_back(std::move(place));
  }
  layout.slots = scheduler::deal_slots(places);
  layout.cores = options.cores;
  layout.seed = hellos.front().seed;
  return std::make_unique<Engine>(std::move(layout), page, std::move(zygote), std::move(transport), std::move(windows),
                                  signals);
}

}  // namespace rankpool::engine
