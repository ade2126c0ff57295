// Where the outcomes of a try_map are put together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/detail/copyable.hpp>
#include <rankpool/detail/result_state.hpp>
#include <rankpool/outcome.hpp>

namespace rankpool::detail {

/// Of every task, in the order of the input.
template <class R>
class ManyOutcomes final : public ResultState<std::vector<Outcome<R>>> {
 public:
  explicit ManyOutcomes(std::size_t expected) { places_.reserve(expected); }

  void store(std::uint64_t first, std::uint64_t count, Reader& results) override {
    for (std::uint64_t task = first; task < first + count; ++task) {
      if constexpr (std::is_void_v<R>) {
        place(task).emplace();
      } else {
        try {
          place(task).emplace(decode_item<R>(results));
        } catch (...) {
          this->decoding_failed(task);
        }
      }
    }
  }
  void failed(std::uint64_t task, std::exception_ptr error) override { place(task).emplace(std::move(error)); }

  std::vector<Outcome<R>> take() override {
    std::vector<Outcome<R>> all;
    all.reserve(places_.size());
    for (auto& place : places_) all.push_back(std::move(*place));
    return all;
  }
  std::vector<Outcome<R>> copy() const override {
    if constexpr (std::is_void_v<R> || IsCopyable<R>::value) {
      std::vector<Outcome<R>> all;
      all.reserve(places_.size());
      for (const auto& place : places_) all.push_back(*place);
      return all;
    } else {
      return const_cast<ManyOutcomes*>(this)->take();
    }
  }

 private:
  std::optional<Outcome<R>>& place(std::uint64_t task) {
    if (task == ~std::uint64_t{0}) throw_damaged("an outcome is of no task");  // of a reduction, which has no outcomes
    if (places_.size() <= task) places_.resize(task + 1);
    return places_[task];
  }

  std::vector<std::optional<Outcome<R>>> places_;
};

}  // namespace rankpool::detail
