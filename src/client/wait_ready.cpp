#include <rankpool/wait_ready.hpp>

#include <algorithm>

#include <rankpool/detail/deadline.hpp>

#include "client/client.hpp"

namespace rankpool {
namespace {

/// Ends what was begun, whatever happens.
class Watch {
 public:
  explicit Watch(std::span<const Waitable> things) : things_(things) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() {
    for (const Waitable& thing : things_.first(begun_)) thing.source().end();
  }
  void begin() {
    for (const Waitable& thing : things_) {
      thing.source().begin();
      ++begun_;
    }
  }

 private:
  std::span<const Waitable> things_;
  std::size_t begun_ = 0;
};

template <class Test>
std::vector<std::size_t> indices_of(std::span<const Waitable> things, Test test) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < things.size(); ++i)
    if (test(things[i].source())) found.push_back(i);
  return found;
}

}  // namespace

std::vector<std::size_t> wait_ready(std::span<const Waitable> things, std::optional<std::chrono::nanoseconds> limit) {
  const detail::Deadline deadline = limit ? detail::deadline_after(*limit) : detail::Deadline{};
  const auto client = client::Client::get();
  client->settle(client::Client::nowhere);  // what this process has sent to itself counts as ready
  Watch watch(things);
  watch.begin();
  const auto is_ready = [](const Waitable& thing) { return thing.source().ready(); };
  if (things.empty() && !deadline) return {};
  const bool any = client->link().wait([&] { return std::any_of(things.begin(), things.end(), is_ready); }, deadline);
  if (any) return indices_of(things, [](detail::WaitSource& source) { return source.ready(); });
  return indices_of(things, [](detail::WaitSource& source) { return source.confirm(); });
}

}  // namespace rankpool
