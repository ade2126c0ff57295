// What wait_ready knows of the things that it waits for.
#pragma once

#include <memory>

namespace rankpool::detail {

/// One thing that wait_ready waits for. A class of rankpool whose objects can be waited for has a member (private, with
/// WaitAccess as a friend)
///   std::shared_ptr<detail::WaitSource> wait_source() const;
/// whose result stays valid without the object. It is called by the thread that waits, which then calls `begin` once,
/// `end` once after that, and `confirm` in between; `ready` is called by it and by whichever thread reads the link.
class WaitSource {
 public:
  virtual ~WaitSource() = default;

  /// Is it ready, as far as this process knows? Must not block, nor look at the link. What makes it true must come as a
  /// frame, or be followed by UserLink::wake.
  virtual bool ready() const noexcept = 0;
  /// Sees to it that this process learns when it becomes ready, without waiting.
  virtual void begin() {}
  /// Nobody waits any more: leaves nothing behind.
  virtual void end() noexcept {}
  /// Time is up (or there was none), and it is not ready: may ask whoever knows better than this process.
  virtual bool confirm() { return ready(); }
};

struct WaitAccess {
  template <class T>
  static auto source(T& object) -> decltype(object.wait_source()) {
    return object.wait_source();
  }
};

}  // namespace rankpool::detail
