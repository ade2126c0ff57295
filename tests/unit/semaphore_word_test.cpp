// The home of a semaphore whose value is a word on which engines act by themselves: nothing is lost or doubled,
// whatever overtakes what.
#include "objects/semaphore.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <span>
#include <utility>

#include "../support/fake_home.hpp"
#include "../support/silent_home.hpp"
#include "wire/messages.hpp"

namespace {

using rankpool::objects::Caller;
using rankpool::objects::Home;
using rankpool::objects::Semaphore;
using rankpool::wire::bytes_of;
using rankpool::wire::SemaphoreMake;
using rankpool::wire::SemaphoreOp;
using rankpool::wire::SemaphoreReceived;
using rankpool::wire::SemaphoreRelease;
using rankpool::wire::Status;

constexpr std::uint32_t first_value = 2;
constexpr int clients = 5;

/// Clients, each with an engine that acts on the word at once and tells the home the rest, later but in order.
class World final : public support::SilentHome {
 public:
  explicit World(unsigned seed) : random_(seed), semaphore_(1, bytes_of(SemaphoreMake{.value = first_value})) {
    semaphore_.request({{0, 99}, 1, 1}, static_cast<std::uint32_t>(SemaphoreOp::where), {}, {}, *this);
  }

  void step() {
    const int number = static_cast<int>(pick(clients));
    Client& client = clients_[static_cast<std::size_t>(number)];
    switch (pick(6)) {
      case 0:
        if (client.state == State::idle) acquire(number);
        break;
      case 1:
        if (client.state == State::holding) release(number);
        break;
      case 2:
        if (client.state == State::waiting && !client.gave_up) give_up(number);
        break;
      case 3:
        if (pick(8) == 0) die(number);
        break;
      case 4:
        add_next();
        break;
      default:
        hear(number);
    }
  }

  /// Everybody gives up or back what there is, and everything arrives.
  void end() {
    for (int round = 0; round < 3; ++round) {
      for (int number = 0; number < clients; ++number) {
        Client& client = clients_[static_cast<std::size_t>(number)];
        if (client.state == State::holding) release(number);
        if (client.state == State::waiting && !client.gave_up) give_up(number);
      }
      for (int number = 0; number < clients; ++number)
        while (!clients_[static_cast<std::size_t>(number)].said.empty()) hear(number);
      while (!adding_.empty()) add_next();
    }
    for (const Client& client : clients_) EXPECT_EQ(client.state, State::idle);
    EXPECT_EQ(word_, static_cast<std::int64_t>(first_value) - lost_);
  }

  void reply(const Caller& to, Status status, std::span<const std::byte>, const rankpool::link::PayloadView&) override {
    if (to.process.link == 99 || to.request == 0) return;
    const int number = static_cast<int>(to.process.link % clients);
    Client& client = clients_[static_cast<std::size_t>(number)];
    if (client.link != to.process.link || client.request != to.request) return;  // it has died
    ASSERT_EQ(client.state, State::waiting);
    client.state = status == Status::ok ? State::holding : State::idle;
    client.gave_up = false;
    client.knows = status != Status::ok || pick(3) != 0;
    if (status == Status::ok && client.knows) say_received(number);
  }
  rankpool::objects::WindowMemory* window() override { return &memory_; }
  bool one_sided() const override { return true; }
  void add_word(std::uint64_t, std::uint64_t, std::uint64_t addend) override {
    adding_.push_back(static_cast<std::int64_t>(addend));
  }

 private:
  enum class State { idle, waiting, holding };
  struct Client {
    std::uint32_t link = 0;
    State state = State::idle;
    bool gave_up = false;
    bool knows = true;  // that it holds a token it has waited for
    std::uint64_t request = 0;
    std::deque<std::function<void()>> said;
  };

  std::size_t pick(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_); }
  Client& client(int number) {
    Client& one = clients_[static_cast<std::size_t>(number)];
    if (one.link == 0) one.link = static_cast<std::uint32_t>(number + clients);
    return one;
  }
  Caller caller(int number) { return {{0, client(number).link}, 1, client(number).request}; }

  template <class Body>
  void say(int number, SemaphoreOp operation, Body body) {
    Caller who = caller(number);
    if (operation != SemaphoreOp::acquire) who.request = 0;
    client(number).said.push_back([this, who, operation, message = body()] {
      semaphore_.request(who, static_cast<std::uint32_t>(operation), bytes_of(message), {}, *this);
    });
  }
  void acquire(int number) {
    Client& one = client(number);
    one.request = ++requests_;
    if (word_-- > 0) {
      one.state = State::holding;
      return;
    }
    one.state = State::waiting;
    say(number, SemaphoreOp::acquire, [] { return SemaphoreRelease{}; });
  }
  void say_received(int number) {
    say(number, SemaphoreOp::received, [request = client(number).request] { return SemaphoreReceived{request}; });
  }
  void release(int number) {
    if (!std::exchange(client(number).knows, true)) say_received(number);
    client(number).state = State::idle;
    if (word_++ < 0) say(number, SemaphoreOp::grant, [] { return SemaphoreRelease{1}; });
  }
  void give_up(int number) {
    client(number).gave_up = true;
    client(number).said.push_back([this, who = caller(number)] { semaphore_.withdraw(who, *this); });
  }
  /// What it held is lost, unless it did not know; a new process takes its place.
  void die(int number) {
    Client& one = client(number);
    if (one.state == State::holding && one.knows) ++lost_;
    one.knows = true;
    one.said.push_back([this, who = caller(number)] { semaphore_.left(who.process, *this); });
    one.link += clients;
    one.state = State::idle;
    one.gave_up = false;
    one.request = 0;
  }
  void hear(int number) {
    Client& one = client(number);
    if (one.said.empty()) return;
    const auto next = std::move(one.said.front());
    one.said.pop_front();
    next();
  }
  void add_next() {
    if (adding_.empty()) return;
    const std::int64_t before = std::exchange(word_, word_ + adding_.front());
    adding_.pop_front();
    semaphore_.word_swapped(static_cast<std::uint64_t>(before), *this);
  }

  std::mt19937 random_;
  support::FakeHome memory_;
  std::int64_t word_ = first_value;
  std::int64_t lost_ = 0;
  std::uint64_t requests_ = 0;
  std::array<Client, clients> clients_;
  std::deque<std::int64_t> adding_;
  Semaphore semaphore_;
};

TEST(SemaphoreWord, loses_and_doubles_nothing) {
  for (unsigned seed = 1; seed <= 2'000; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (int i = 0; i < 150; ++i) world.step();
    world.end();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
