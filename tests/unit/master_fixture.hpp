// The pools of rank 0, as their clients and the ranks see them: frames in, frames out.
#pragma once

#include "engine/pool_master.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace rankpool::engine {

struct Frame {
  wire::Header head;
  std::vector<std::byte> body;

  template <class Message>
  Message as() const {
    std::span<const std::byte> rest = body;
    return wire::take<Message>(rest);
  }
};

/// Keeps what is sent to ranks that live.
class RecordingRouter final : public Router {
 public:
  RecordingRouter(std::vector<int> slots, bool recovery) {
    for (std::size_t rank = 0; rank < slots.size(); ++rank) layout_.hosts.push_back("h" + std::to_string(rank));
    layout_.slots = std::move(slots);
    layout_.recovery = recovery;
  }
  void send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView& payload = {}) override {
    if (!layout_.lives(head.to.rank)) return;
    Frame frame{head, {fixed.begin(), fixed.end()}};
    const auto more = payload.read();
    frame.body.insert(frame.body.end(), more.begin(), more.end());
    frames.push_back(std::move(frame));
  }
  const Layout& layout() const override { return layout_; }
  void lose(int rank) { layout_.lose(rank); }

  std::vector<Frame> frames;

 private:
  Layout layout_;
};

class MasterFixture : public testing::Test {
 protected:
  static constexpr wire::Address client{0, 1};
  static constexpr std::uint64_t pool = 1;

  explicit MasterFixture(std::vector<int> slots, bool recovery = false) : router_(std::move(slots), recovery) {}

  void from(wire::Address who, wire::Kind kind, std::uint64_t token, std::span<const std::byte> body = {},
            std::uint32_t flags = 0) {
    master_.on_frame({.from = who, .token = token, .kind = kind, .flags = flags}, body, {});
  }
  /// A job of so many tasks of a byte each, one in a chunk.
  void submit_job(std::uint64_t token, wire::JobOpen open, std::uint64_t tasks) {
    open.pool = pool;
    open.chunksize = 1;
    open.item_bytes = 1;
    from(client, wire::Kind::job_open, token, wire::bytes_of(open));
    std::vector<std::byte> items(sizeof(wire::JobItems) + tasks);
    std::memcpy(items.data(), &tasks, sizeof tasks);
    from(client, wire::Kind::job_items, token, items);
    from(client, wire::Kind::job_end, token);
  }
  std::vector<Frame> take() { return std::exchange(router_.frames, {}); }

  RecordingRouter router_;
  PoolMaster master_{router_};
};

}  // namespace rankpool::engine
