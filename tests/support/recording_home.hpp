// The engine as shared objects see it: writes down what they do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "link/payload.hpp"
#include "objects/object.hpp"
#include "silent_home.hpp"
#include "wire/messages.hpp"

namespace support {

/// What was answered to a request.
struct Answered {
  rankpool::wire::Status status{};
  std::vector<std::byte> bytes;

  std::string text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  template <class T>
  T as() const {
    std::span<const std::byte> rest = bytes;
    return rankpool::wire::take<T>(rest);
  }
};

class RecordingHome final : public SilentHome {
 public:
  using Caller = rankpool::objects::Caller;

  void reply(const Caller& to, rankpool::wire::Status status, std::span<const std::byte> fixed,
             const rankpool::link::PayloadView& payload) override {
    if (to.request == 0) return;
    Answered answered{status, {fixed.begin(), fixed.end()}};
    const auto more = payload.read();
    answered.bytes.insert(answered.bytes.end(), more.begin(), more.end());
    EXPECT_TRUE(answers_.emplace(to.request, std::move(answered)).second) << "answered twice: " << to.request;
  }
  // by object: what matters here is how many keep it
  void pin(const rankpool::wire::Pin& pin) override { ++pins_[pin.object.number]; }
  void unpin(const rankpool::wire::Pin& pin) override { --pins_[pin.object.number]; }
  void hold(const rankpool::wire::ObjectId& object) override { ++holds_[object.number]; }
  void drop(const rankpool::wire::ObjectId& object) override { --holds_[object.number]; }

  /// The next request of a process and thread.
  Caller caller(std::uint32_t process, std::uint32_t thread = 1) { return {{0, process}, thread, ++requests_}; }
  bool answered(const Caller& caller) const { return answers_.contains(caller.request); }
  const std::map<std::uint64_t, Answered>& answers() const noexcept { return answers_; }
  /// Of a request that must have been answered.
  Answered answer(const Caller& caller) const {
    const auto found = answers_.find(caller.request);
    if (found != answers_.end()) return found->second;
    ADD_FAILURE() << "not answered: " << caller.request;
    return {};
  }
  std::int64_t pins(std::uint64_t object) const { return count(pins_, object); }
  std::int64_t holds(std::uint64_t object) const { return count(holds_, object); }

 private:
  using Counts = std::map<std::uint64_t, std::int64_t>;
  static std::int64_t count(const Counts& counts, std::uint64_t object) {
    const auto found = counts.find(object);
    return found == counts.end() ? 0 : found->second;
  }

  std::uint64_t requests_ = 0;
  std::map<std::uint64_t, Answered> answers_;
  Counts pins_;
  Counts holds_;
};

}  // namespace support
