#include "client/window_map.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include <rankpool/errors.hpp>

#include "wire/objects.hpp"

namespace rankpool::client {
namespace {

class Answer final : public Receiver {
 public:
  void on_frame(link::Incoming& in) override {
    slice = std::move(in.slice);
    done.store(true, std::memory_order_release);
  }
  std::atomic<bool> done{false};
  link::Slice slice;
};

struct Maps {
  std::mutex mutex;
  std::map<int, link::Window> windows;
};
Maps& maps() {
  static auto* const all = new Maps;  // handles in static objects outlive every other static object
  return *all;
}

}  // namespace

const link::Window& window_of(Client& client, int rank) {
  const std::lock_guard lock(maps().mutex);
  if (const auto found = maps().windows.find(rank); found != maps().windows.end()) return found->second;
  const auto answer = std::make_shared<Answer>();
  const std::uint64_t token = client.new_token();
  client.add(token, answer);
  const struct Forget {
    ~Forget() { client.remove(token); }
    Client& client;
    std::uint64_t token;
  } forget{client, token};
  client.send({.to = {client.identity().rank, 0}, .token = token, .kind = wire::Kind::window_map},
              wire::bytes_of(wire::WindowMap{rank}));
  client.link().wait([&] { return answer->done.load(std::memory_order_acquire); }, {});
  return maps().windows.emplace(rank, link::Window::open(answer->slice.segment->fd())).first->second;
}

}  // namespace rankpool::client
