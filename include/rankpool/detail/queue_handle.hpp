// What the queues have in common.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>
#include <rankpool/detail/wait_source.hpp>

namespace rankpool::detail {

/// A handle of a queue, whatever is in it.
class QueueHandle : public Handle {
 public:
  static constexpr ObjectType type = ObjectType::queue;

  /// How many items it has; exact when the answer leaves its home. @throws Closed
  std::size_t qsize() const;
  /// Is nothing in it? Agrees with `qsize`. @throws Closed
  bool empty() const;
  /// Has it as many items as it may? Never if it has no limit. @throws Closed
  bool full() const;
  /// This handle is not used any more: every later call throws Closed, also on copies that are made of it from now on.
  /// Other handles are not concerned; closing twice is fine.
  void close() noexcept { closed_.set(); }
  /// Ends the queue for all handles: `put` throws Closed, and so does `get` as soon as nothing is left; calls that wait
  /// are told. `immediate`: what is in it is dropped. Mirrors Python's `queue.Queue.shutdown`. @throws Closed
  void shutdown(bool immediate = false) const;

 protected:
  struct Item {
    std::shared_ptr<const void> keep;
    std::span<const std::byte> bytes;
  };

  explicit QueueHandle(std::size_t maxsize);
  explicit QueueHandle(ObjectPtr object) noexcept : Handle(std::move(object)) {}

  /// @throws Closed
  void check_open() const;
  /// False: no room until the deadline. Takes the bytes. @throws Closed
  bool put_item(Buffer& item, Deadline deadline) const;
  /// None: nothing came until the deadline. @throws Closed
  std::optional<Item> get_item(Deadline deadline) const;
  void finish_one() const;
  bool join_until(Deadline deadline) const;
  [[noreturn]] void throw_full() const;
  [[noreturn]] void throw_empty() const;

 private:
  template <class T>
  friend struct Codec;
  friend struct WaitAccess;

  std::shared_ptr<WaitSource> wait_source() const;

  /// Can be copied although other threads may set it.
  class Flag {
   public:
    Flag() noexcept = default;
    Flag(const Flag& other) noexcept : set_(other.is_set()) {}
    Flag& operator=(const Flag& other) noexcept {
      set_.store(other.is_set(), std::memory_order_relaxed);
      return *this;
    }
    void set() noexcept { set_.store(true, std::memory_order_relaxed); }
    bool is_set() const noexcept { return set_.load(std::memory_order_relaxed); }

   private:
    std::atomic<bool> set_{false};
  };
  bool is_closed() const noexcept { return closed_.is_set(); }

  Flag closed_;
};

template <class T>
concept QueueType = HandleType<T> && std::derived_from<T, QueueHandle>;

template <QueueType T>
struct Codec<T> {
  static constexpr bool raw = false;
  static void encode(Buffer& out, const T& queue) {
    encode_handle(out, static_cast<const Handle&>(queue).object_);
    const std::uint8_t closed = static_cast<const QueueHandle&>(queue).is_closed() ? 1 : 0;
    out.append(&closed, sizeof closed);
  }
  static T decode(Reader& in) {
    T queue(decode_handle(in, T::type));
    if (in.get_bool()) queue.close();
    return queue;
  }
};

/// A queue of T: everything but how it is made.
template <class T>
class QueueOf : public QueueHandle {
 public:
  using value_type = T;

  /// Puts a copy of `x` at the end, and waits for room first if the queue has a limit. It is in the queue when the call
  /// returns: whatever this process does or says next comes after it. Any thread; items of one thread stay in order.
  /// What the type's own `serialize` throws comes out here. @throws Closed after close() or shutdown()
  void put(const T& x) const { put_until(x, {}); }
  /// The same, waiting at most `limit` (zero or negative: not at all). @throws Full if there was no room in time
  template <class Rep, class Period>
  void put(const T& x, std::chrono::duration<Rep, Period> limit) const {
    if (!put_until(x, deadline_after(limit))) throw_full();
  }
  /// The same without waiting. @throws Full
  void put_nowait(const T& x) const {
    if (!try_put(x)) throw_full();
  }
  /// The same without waiting; false if there is no room.
  [[nodiscard]] bool try_put(const T& x) const { return put_until(x, no_wait()); }

  /// Takes the first item, waiting until there is one; those who wait are served in order. Any thread.
  /// @throws Closed after close(), or after shutdown() if nothing is left
  T get() const { return decode(*get_item({})); }
  /// The same, waiting at most `limit` (zero or negative: not at all). @throws Empty if nothing came in time
  template <class Rep, class Period>
  T get(std::chrono::duration<Rep, Period> limit) const {
    const auto item = get_item(deadline_after(limit));
    if (!item) throw_empty();
    return decode(*item);
  }
  /// The same without waiting. @throws Empty
  T get_nowait() const { return get(std::chrono::nanoseconds::zero()); }
  /// The same without waiting; none if nothing is there.
  std::optional<T> try_get() const {
    const auto item = get_item(no_wait());
    if (!item) return std::nullopt;
    return decode(*item);
  }

 protected:
  static_assert(!std::is_reference_v<T> && !std::is_const_v<T>, "a queue has values: use a plain type");

  using QueueHandle::QueueHandle;

 private:
  bool put_until(const T& x, Deadline deadline) const {
    static_assert(is_sendable<T>(), "a queue can only have items that can be sent: give the type a Boost serialize");
    check_open();
    Buffer item;
    item.set_decoded_once();
    Codec<T>::encode(item, x);
    return put_item(item, deadline);
  }
  static T decode(const Item& item) {
    Reader in(item.bytes);
    T value = Codec<T>::decode(in);
    if (in.remaining() != 0) throw_left_over(typeid(T), in.remaining());
    return value;
  }
};

}  // namespace rankpool::detail
