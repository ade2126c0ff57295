#include "client/client.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/interrupted.hpp"

namespace rankpool::client {
namespace {

std::mutex current_mutex;
std::shared_ptr<Client> current;
thread_local bool is_reading = false;

}  // namespace

Client::Client(link::LinkEnd end, Identity identity, link::UserLink::Handler other)
    : identity_(std::move(identity)),
      link_(std::move(end), [this](link::Incoming& in) { on_frame(in); }),
      other_(std::move(other)),
      slots_(identity_.slots) {}

Client::~Client() {
  stopping_ = true;
  link_.wake();
  if (callback_thread_.joinable()) callback_thread_.join();
}

std::shared_ptr<Client> Client::get() {
  const std::lock_guard lock(current_mutex);
  if (!current)
    throw NotRunning(
        "rankpool is not running here: use its objects only inside the program that main() hands to rankpool::run(), "
        "on "
        "rank 0, or in its tasks");
  return current;
}

void Client::start(std::shared_ptr<Client> client) {
  const std::lock_guard lock(current_mutex);
  current = std::move(client);
}

void Client::stop() {
  std::shared_ptr<Client> last;
  {
    const std::lock_guard lock(current_mutex);
    last = current;
  }
  if (!last) return;
  std::thread callbacks;
  {
    const std::lock_guard lock(last->mutex_);  // another thread may be starting it; after this none does
    last->stopping_ = true;
    callbacks = std::move(last->callback_thread_);
  }
  last->link_.wake();
  if (callbacks.get_id() == std::this_thread::get_id()) {
    callbacks.detach();  // exit() in a callback: there is nobody to wait for
  } else if (callbacks.joinable()) {
    callbacks.join();
  }
  const std::lock_guard lock(current_mutex);
  current.reset();
}

wire::Who Client::who() const {
  return {.rank = identity_.rank,
          .link = identity_.link,
          .pid = ::getpid(),
          .reserved = 0,
          .host = wire::host_name(identity_.host),
          .name = wire::process_name(identity_.name)};
}

void Client::add(std::uint64_t token, std::shared_ptr<Receiver> receiver) {
  const std::lock_guard lock(mutex_);
  receivers_.emplace(token, std::move(receiver));
}

void Client::add_weak(std::uint64_t token, std::weak_ptr<Receiver> receiver) {
  const std::lock_guard lock(mutex_);
  weak_receivers_.emplace(token, std::move(receiver));
}

void Client::remove(std::uint64_t token) {
  std::shared_ptr<Receiver> last;  // its destructor must not run under the lock
  const std::lock_guard lock(mutex_);
  if (const auto found = receivers_.find(token); found != receivers_.end()) {
    last = std::move(found->second);
    receivers_.erase(found);
  } else {
    weak_receivers_.erase(token);
  }
}

void Client::send(wire::Kind kind, std::uint64_t token, std::span<const std::byte> fixed, detail::Buffer* payload,
                  bool ring) {
  settle(0);
  send({.to = {0, 0}, .token = token, .kind = kind}, fixed, payload, ring);
}

void Client::send(const wire::Header& head, std::span<const std::byte> fixed, detail::Buffer* payload, bool ring) {
  if (payload == nullptr) return link_.send(head, fixed, {}, {}, ring);
  if (link::Slice slice = link::take_slice(*payload)) return link_.send(head, fixed, {}, slice, ring);
  link_.send(head, fixed, {payload->data(), payload->size()}, {}, ring);
}

namespace {

constexpr int home_shift = 48;
int home_of(std::uint64_t state) noexcept { return static_cast<int>(state >> home_shift) - 1; }

/// Waits for any answer of a home: it has then taken in all that was sent before.
class Echo final : public Receiver {
 public:
  explicit Echo(int home) : home_(home) {}
  void on_frame(link::Incoming&) override { done = true; }
  void on_rank_lost(int rank) override {
    if (rank == home_) done = true;
  }
  std::atomic<bool> done{false};

 private:
  const int home_;
};

}  // namespace

void Client::unsettle(int home) {
  const std::uint64_t count =
      (tells_.fetch_add(1, std::memory_order_relaxed) + 1) & ((std::uint64_t{1} << home_shift) - 1);
  const std::uint64_t mine = static_cast<std::uint64_t>(home + 1) << home_shift | count;
  for (std::uint64_t state = unsettled_.load();;) {
    if (state != 0 && home_of(state) != home) {
      settle_slowly(state, nowhere);
      state = unsettled_.load();
    } else if (unsettled_.compare_exchange_weak(state, mine)) {
      return;
    }
  }
}

void Client::settle_slowly(std::uint64_t state, int to) {
  const int home = home_of(state);
  // Handles in results are decoded, and dropped, while frames are taken in: what that sends needs no order.
  if (reading()) return;
  // Through one's own engine nothing overtakes what that engine itself was sent.
  if (home == to || (to != nowhere && home == identity_.rank)) return;
  const auto echo = std::make_shared<Echo>(home);
  const std::uint64_t token = new_token();
  add(token, echo);
  if (is_lost(home)) echo->done = true;
  // number 0 is no object's: the home says so
  const wire::ObjectRequest nothing{.request = token, .operation = 0, .thread = 0};
  send({.to = {home, 0}, .token = 0, .kind = wire::Kind::object_request}, wire::bytes_of(nothing));
  link_.wait([&] { return echo->done.load(); }, {});
  remove(token);
  settled(home, state);
}

void Client::settled(int home, std::uint64_t state) noexcept {
  if (state != 0 && home_of(state) == home) unsettled_.compare_exchange_strong(state, 0);
}

bool Client::reading() noexcept { return is_reading; }

void Client::on_frame(link::Incoming& in) {
  const struct Reading {
    Reading() noexcept { is_reading = true; }
    ~Reading() { is_reading = false; }
  } reading;
  if (in.head.kind >= wire::Kind::child_start) return other_(in);
  if (in.head.kind == wire::Kind::interrupted && in.head.token == 0) return link_.fail(interrupted_by(in.head.flags));
  if (in.head.kind == wire::Kind::rank_lost) return rank_lost(in.body);
  std::shared_ptr<Receiver> receiver;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = receivers_.find(in.head.token); found != receivers_.end()) {
      receiver = found->second;
    } else if (const auto weak = weak_receivers_.find(in.head.token); weak != weak_receivers_.end()) {
      receiver = weak->second.lock();
    }
  }
  if (receiver) receiver->on_frame(in);
}

void Client::rank_lost(std::span<const std::byte> body) {
  const auto lost = wire::take<wire::RankLost>(body);
  slots_.store(lost.slots, std::memory_order_relaxed);
  {
    const std::lock_guard lock(lost_mutex_);
    lost_.emplace(lost.rank, wire::text_of(lost.host));
  }
  any_lost_.store(true, std::memory_order_release);
  std::vector<std::shared_ptr<Receiver>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [token, receiver] : receivers_) all.push_back(receiver);
    for (const auto& [token, weak] : weak_receivers_)
      if (auto receiver = weak.lock()) all.push_back(std::move(receiver));
  }
  for (const auto& receiver : all) receiver->on_rank_lost(lost.rank);
}

bool Client::is_among_lost(int rank) const noexcept {
  const std::lock_guard lock(lost_mutex_);
  return lost_.contains(rank);
}

std::string Client::host_of_lost(int rank) const {
  const std::lock_guard lock(lost_mutex_);
  const auto found = lost_.find(rank);
  return found == lost_.end() ? std::string() : " (host " + found->second + ")";
}

void Client::call_back(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    callbacks_.push_back(std::move(callback));
    callbacks_due_ = true;
  }
  need_callback_thread();
  link_.wake();
}

void Client::need_callback_thread() {
  const std::lock_guard lock(mutex_);
  if (!callback_thread_.joinable() && !stopping_) callback_thread_ = std::thread([this] { run_callbacks(); });
}

bool Client::take_callback(std::function<void()>& callback) {
  const std::lock_guard lock(mutex_);
  if (callbacks_.empty()) return false;
  callback = std::move(callbacks_.front());
  callbacks_.pop_front();
  callbacks_due_ = !callbacks_.empty();
  return true;
}

void Client::run_callbacks() {
  try {
    for (;;) {
      link_.wait([this] { return callbacks_due_.load() || stopping_.load(); }, {});
      std::function<void()> callback;
      if (!take_callback(callback)) {
        if (stopping_) return;
        continue;
      }
      try {
        callback();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "rankpool: a callback threw (nothing else is affected): %s\n", error.what());
      } catch (...) {
        std::fprintf(stderr,
                     "rankpool: a callback threw something that is no std::exception (nothing else is affected)\n");
      }
    }
  } catch (...) {
    // the engine is gone; every thread that waits for something is told by its own wait
  }
}

}  // namespace rankpool::client
