// A stream over a range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/pool_call.hpp>
#include <rankpool/detail/stored.hpp>
#include <rankpool/detail/stream_results.hpp>
#include <rankpool/result_iterator.hpp>

namespace rankpool::detail {

/// Draws its input from a view, an iterator step at a time: not even the step to the next item is made before that is
/// wanted.
template <class R, class Item, std::ranges::view View>
class Stream final : public StreamResults<R> {
  using Iterator = std::ranges::iterator_t<View>;
  using Sentinel = std::ranges::sentinel_t<View>;
  using typename StreamState::Drawn;

 public:
  Stream(View view, bool ordered)
      : StreamResults<R>(ordered, std::ranges::sized_range<View>), view_(std::in_place, std::move(view)) {}

 private:
  Drawn draw(Buffer& block) override {
    if (!step()) return Drawn::end;
    stepped_ = false;
    decltype(auto) element = **at_;
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(element)>, Item>) {
      return encode(block, element);
    } else {  // a proxy, as of std::vector<bool>, or an entry of a map
      return encode(block, Item(std::forward<decltype(element)>(element)));
    }
  }
  Drawn encode(Buffer& block, const Item& item) {
    const std::size_t before = block.size();
    try {
      encode_item(block, item);
      return Drawn::item;
    } catch (...) {
      block.truncate(before);
      this->refusal_ = std::current_exception();
      return Drawn::refused;
    }
  }
  bool has_more() override {
    if constexpr (std::ranges::forward_range<View>) {
      return step();
    } else {
      return true;
    }
  }
  void drop_input() noexcept override {
    at_.reset();
    end_.reset();
    view_.reset();
  }

  /// Goes to the next item; false if there is none.
  bool step() {
    if (stepped_) return *at_ != *end_;
    if (at_) {
      ++*at_;
    } else {
      at_.emplace(std::ranges::begin(*view_));
      end_.emplace(std::ranges::end(*view_));
    }
    stepped_ = true;
    return *at_ != *end_;
  }

  std::optional<View> view_;
  std::optional<Iterator> at_;
  std::optional<Sentinel> end_;
  bool stepped_ = false;  // to an item that was not drawn
};

/// The results of `f` over the range, which is drawn as they are taken; with `unpack` the elements of each item are the
/// arguments. An lvalue is referenced, everything else kept. @throws PoolClosed, std::invalid_argument
template <bool unpack, class F, class Range>
auto make_stream(const std::shared_ptr<PoolClient>& client, const F& f, Range&& range, const MapOptions& options,
                 bool ordered) {
  static_assert(std::ranges::viewable_range<Range>,
                "rankpool: the input is drawn later: give a range that can be moved, or an lvalue that lives as long");
  using View = std::views::all_t<Range>;
  using Item = ItemOf<Range>;
  using Call = PoolCall<F, Item, unpack>;
  using R = typename Call::Result;
  JobShape shape = Call::shape();
  shape.each_awaited = true;
  set_options(shape, options);
  auto stream = std::make_shared<Stream<R, Item, View>>(std::views::all(std::forward<Range>(range)), ordered);
  ResultIterator<R> results(stream);
  Buffer callable = Call::encode(f);
  auto checkpoint = open_checkpoint(options.checkpoint, Call::types(), callable);
  StreamState::start(stream, client, shape, std::move(callable), options.buffersize, std::move(checkpoint));
  return results;
}

}  // namespace rankpool::detail
