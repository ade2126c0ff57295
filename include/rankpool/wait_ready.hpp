// Waiting for several things at once.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <utility>
#include <vector>

#include <rankpool/detail/wait_source.hpp>

namespace rankpool {

/// Something that wait_ready can wait for, made from a pointer to it: a Connection (a message is there, or the other
/// end is closed), a Process (it has ended), a queue (`get` would not have to wait), an AsyncResult (the job has
/// ended). detail/wait_source.hpp says how to add one.
class Waitable {
 public:
  template <class T>
  requires requires(T& object) {
    { detail::WaitAccess::source(object) } -> std::convertible_to<std::shared_ptr<detail::WaitSource>>;
  }
  Waitable(T* object) : source_(detail::WaitAccess::source(*object)) {}  // NOLINT: converts on purpose

  detail::WaitSource& source() const noexcept { return *source_; }

 private:
  std::shared_ptr<detail::WaitSource> source_;
};

/// The indices of all that are ready, after waiting until one is, for at most `limit` (zero or negative: only looks);
/// none if the time was up first. Mirrors `multiprocessing.connection.wait`.
///
///     for (std::size_t i : rp::wait_ready({&from_left, &from_right, &result}, 1s)) ...
std::vector<std::size_t> wait_ready(std::span<const Waitable> things,
                                    std::optional<std::chrono::nanoseconds> limit = {});
inline std::vector<std::size_t> wait_ready(std::initializer_list<Waitable> things,
                                           std::optional<std::chrono::nanoseconds> limit = {}) {
  return wait_ready(std::span<const Waitable>(things.begin(), things.size()), limit);
}
/// The same for a range of pointers.
template <std::ranges::input_range Range>
requires std::convertible_to<std::ranges::range_reference_t<Range>, Waitable> &&
    (!std::convertible_to<Range, std::span<const Waitable>>)
        std::vector<std::size_t> wait_ready(Range&& range, std::optional<std::chrono::nanoseconds> limit = {}) {
  std::vector<Waitable> things;
  for (auto&& thing : range) things.emplace_back(std::forward<decltype(thing)>(thing));
  return wait_ready(std::span<const Waitable>(things), limit);
}

}  // namespace rankpool
