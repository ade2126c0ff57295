// What the tests of the transport have in common: a rank, and bytes that are known.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "transport/transport.hpp"

namespace rankpool::transport {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Received {
  wire::Header head;
  std::vector<std::byte> body;
  link::Slice slice;
};

/// A rank as an engine would be one: polls for a while, then sleeps on its bell.
class Node final : public FrameSink {
  link::RankPage page_;  // goes last: the transport may ring it

 public:
  explicit Node(const char* segments = nullptr, bool recovery = false) {
    if (segments != nullptr) ::setenv("RANKPOOL_SEGMENTS", segments, 1);
    page_ = link::RankPage::create();
    Hello mine;
    mine.build_id = 12345;
    mine.pid = ::getpid();
    mine.page_fd = page_.fd();
    mine.page_magic = page_->magic;
    mine.recovery = recovery ? 1 : 0;
    mine.silence_ms = recovery ? 30'000 : 0;
    ::gethostname(mine.host.data(), mine.host.size() - 1);
    transport = Transport::start(mine, page_);
    ::unsetenv("RANKPOOL_SEGMENTS");
    frames.resize(ranks());
  }

  std::size_t ranks() const { return static_cast<std::size_t>(transport->size()); }
  int rank() const { return transport->rank(); }
  int next() const { return (rank() + 1) % transport->size(); }

  void send(int to, std::uint64_t token, std::span<const std::byte> body = {}, link::Slice slice = {}) {
    wire::Header head;
    head.kind = wire::Kind::test;
    head.token = token;
    head.from.rank = rank();
    head.to.rank = to;
    const std::size_t cut = body.size() / 3;
    transport->send(to, head, body.first(cut), body.subspan(cut), std::move(slice));
  }

  /// Serves until `done()`; false if that takes too long.
  bool serve_until(const std::function<bool()>& done) { return serve_until(done, *this); }
  bool serve_until(const std::function<bool()>& done, FrameSink& sink) {
    const auto deadline = Clock::now() + 20s;
    for (int idle = 0; !done();) {
      if (transport->progress(sink)) {
        idle = 0;
        continue;
      }
      if (Clock::now() > deadline) return false;
      if (++idle < 200 || !transport->quiet()) {
        ::sched_yield();
      } else {
        page_->bell.wait([this] { return transport->pending(); }, 20ms);
      }
    }
    return true;
  }

  std::size_t count() const {
    std::size_t sum = 0;
    for (const auto& from : frames) sum += from.size();
    return sum;
  }
  bool receive(std::size_t expected) {
    return serve_until([&] { return count() >= expected; });
  }
  void finish() { EXPECT_TRUE(transport->finish()); }

  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) override {
    if (reinterpret_cast<std::uintptr_t>(body.data()) % 8 != 0) ADD_FAILURE() << "a body is not aligned";
    if (on_each) {
      on_each(head);
      return;
    }
    frames.at(static_cast<std::size_t>(head.from.rank)).push_back({head, {body.begin(), body.end()}, std::move(slice)});
  }

  link::RankPage& page() { return page_; }

  std::unique_ptr<Transport> transport;
  std::vector<std::deque<Received>> frames;  // by source
  std::function<void(const wire::Header&)> on_each;
};

inline void fill(std::span<std::byte> bytes, std::uint64_t seed) {
  std::uint64_t state = seed;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t word = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    word ^= word >> 31;
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at));
  }
}

inline std::vector<std::byte> content(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  fill(bytes, seed);
  return bytes;
}

inline bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

}  // namespace rankpool::transport
