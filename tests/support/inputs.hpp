// Inputs that tell what was drawn from them.
#pragma once

#include <atomic>
#include <cstddef>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

namespace support {

struct SayWhenError : std::runtime_error {
  SayWhenError() : std::runtime_error("somebody said when") {}
};

/// 0, 1, 2, ... to be read once only, by an iterator that cannot be copied. Counts what was drawn; can throw in place
/// of number `when`, or before anything if that is negative.
class Generator {
 public:
  static constexpr long never = std::numeric_limits<long>::max();

  explicit Generator(long total = never, long when = never) : total_(total), when_(when) {}

  class Iterator {
   public:
    using value_type = long;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(const Generator& of) : drawn_(of.drawn_), total_(of.total_), when_(of.when_) { draw(); }
    Iterator(Iterator&&) = default;
    Iterator& operator=(Iterator&&) = default;
    long operator*() const { return at_; }
    Iterator& operator++() {
      ++at_;
      draw();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return at_ == total_; }

   private:
    void draw() {
      if (at_ == when_) throw SayWhenError();
      if (at_ != total_) ++*drawn_;
    }

    std::shared_ptr<std::atomic<long>> drawn_;
    long at_ = 0, total_, when_;
  };

  Iterator begin() const {
    if (when_ < 0) throw SayWhenError();
    return Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

  /// How many were drawn, also from copies of this.
  std::shared_ptr<const std::atomic<long>> drawn() const { return drawn_; }

 private:
  std::shared_ptr<std::atomic<long>> drawn_ = std::make_shared<std::atomic<long>>(0);
  long total_, when_;
};

}  // namespace support
