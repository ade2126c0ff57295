// An engine for the state machines of objects: keeps what they answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "objects/window_memory.hpp"
#include "objects/window_space.hpp"
#include "silent_home.hpp"
#include "wire/messages.hpp"

namespace support {

/// What was answered, by process and request; a second answer to one is counted.
class FakeHome final : public SilentHome, public rankpool::objects::WindowMemory {
 public:
  struct Answer {
    rankpool::wire::Status status{};
    std::vector<std::byte> bytes;

    template <class Message>
    Message as() const {
      std::span<const std::byte> rest(bytes);
      return rankpool::wire::take<Message>(rest);
    }
  };

  explicit FakeHome(std::size_t bytes = 64 * 1024) : memory_(bytes / 8), space_(64, bytes) {}

  /// Takes the answer to a request; none if there is none yet.
  std::optional<Answer> take(const rankpool::objects::Caller& caller) {
    const auto found = answers_.find(key(caller));
    if (found == answers_.end()) return std::nullopt;
    Answer answer = std::move(found->second);
    answers_.erase(found);
    return answer;
  }
  bool empty() const { return answers_.empty(); }
  int answered_twice() const { return twice_; }
  std::uint64_t taken() const { return taken_; }

  void reply(const rankpool::objects::Caller& to, rankpool::wire::Status status, std::span<const std::byte> fixed,
             const rankpool::link::PayloadView& payload) override {
    if (to.request == 0) return;
    if (!answered_.insert(key(to)).second) ++twice_;
    Answer answer{status, {fixed.begin(), fixed.end()}};
    const auto rest = payload.read();
    answer.bytes.insert(answer.bytes.end(), rest.begin(), rest.end());
    answers_[key(to)] = std::move(answer);
  }
  rankpool::objects::WindowMemory* window() override { return this; }

  std::optional<std::uint64_t> take_cells(std::uint32_t count) override { return take_data(count * 64); }
  void give_cells(std::uint64_t offset, std::uint32_t count) override { give_data(offset, count * 64); }
  std::optional<std::uint64_t> take_data(std::uint64_t bytes) override {
    const auto offset = space_.take(bytes);
    if (offset) taken_ += bytes;
    return offset;
  }
  void give_data(std::uint64_t offset, std::uint64_t bytes) override {
    std::memset(at(offset), 0, bytes);
    taken_ -= bytes;
    space_.give(offset, bytes);
  }
  std::byte* at(std::uint64_t offset) override { return reinterpret_cast<std::byte*>(memory_.data()) + offset; }

 private:
  using Key = std::tuple<int, std::uint32_t, std::uint64_t>;
  static Key key(const rankpool::objects::Caller& caller) {
    return {caller.process.rank, caller.process.link, caller.request};
  }

  std::map<Key, Answer> answers_;
  std::set<Key> answered_;
  int twice_ = 0;
  std::vector<std::uint64_t> memory_;
  rankpool::objects::WindowSpace space_;
  std::uint64_t taken_ = 0;
};

}  // namespace support
