#include "engine/start.hpp"

#include <unistd.h>

#include <algorithm>
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

transport::Hello make_hello(const StartOptions& options, const link::RankPage& page) {
  transport::Hello hello;
  hello.build_id = shipping::program_build_id();
  hello.page_magic = page->magic;
  hello.pid = ::getpid();
  hello.page_fd = page.fd();
  hello.cores = options.cores;
  hello.slots = options.slots.value_or(-1);
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
    transport.finish();
    throw BinaryMismatch(text);
  }
}

}  // namespace

std::unique_ptr<Engine> start(const StartOptions& options, link::RankPage& page, worker::Zygote zygote) {
  std::vector<transport::Hello> hellos{make_hello(options, page)};
  std::unique_ptr<transport::Transport> transport;
  Layout layout;
  if (options.launched) {
    transport = transport::Transport::start(hellos.front(), page);
    check_builds(*transport);
    hellos.clear();
    for (int r = 0; r < transport->size(); ++r) hellos.push_back(transport->hello(r));
    layout.rank = transport->rank();
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
  return std::make_unique<Engine>(std::move(layout), page, std::move(zygote), std::move(transport));
}

}  // namespace rankpool::engine
