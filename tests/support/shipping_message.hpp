// A job of one task as bytes, and how a receiver answers it: what the tests of shipping send around.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/callable.hpp>
#include <rankpool/detail/dispatch.hpp>

#include "wire/error_record.hpp"

namespace rankpool::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(const detail::Buffer& buffer) { return {buffer.data(), buffer.data() + buffer.size()}; }

/// The length of the callable, the callable, and one item: the arguments as a tuple.
template <class F, class... Args>
Bytes make_call(const F& f, const Args&... args) {
  using Item = std::tuple<detail::Stored<Args>...>;
  detail::Buffer callable;
  detail::encode_callable<std::decay_t<F>, Item, true>(callable, f);
  detail::Buffer out;
  const std::uint64_t length = callable.size();
  out.append(&length, sizeof length);
  out.append(callable.data(), callable.size());
  detail::encode_item<Item>(out, Item(args...));
  return bytes_of(out);
}

/// Collects results and errors.
class RecordingSink final : public detail::TaskSink {
 public:
  detail::Buffer* begin() override {
    mark_ = results.size();
    return &results;
  }
  void value() override { ++values; }
  void error(Stage stage, std::string arguments) override {
    EXPECT_EQ(results.size(), mark_);
    errors.push_back(wire::describe_current_exception());
    errors.back().stage = stage;
    errors.back().arguments = std::move(arguments);
  }

  detail::Buffer results;
  std::size_t values = 0;
  std::vector<wire::ErrorRecord> errors;

 private:
  std::size_t mark_ = 0;
};

/// Runs a call as a worker does. One byte (0: a value, 1: an error), then the result or the error.
inline Bytes answer(std::span<const std::byte> message) {
  detail::Buffer out;
  const auto fail = [&](const wire::ErrorRecord& record) {
    out.clear();
    *out.extend(1) = std::byte{1};
    record.encode(out);
  };
  try {
    detail::Reader in(message);
    detail::Reader callable(in.take(in.get<std::uint64_t>()));
    const detail::Entry& entry = detail::find_entry(callable.get<std::uint64_t>());
    struct Loaded {
      ~Loaded() { entry.destroy(callable); }
      const detail::Entry& entry;
      void* callable;
    } loaded{entry, entry.load(callable)};
    RecordingSink sink;
    entry.run(loaded.callable, in, 1, sink);
    if (sink.errors.empty()) {
      *out.extend(1) = std::byte{0};
      out.append(sink.results.data(), sink.results.size());
    } else {
      fail(sink.errors.front());
    }
  } catch (...) {
    fail(wire::describe_current_exception());
  }
  return bytes_of(out);
}

/// The result in an answer, or its error thrown.
template <class R>
R result_of(const Bytes& answer) {
  detail::Reader in(answer);
  if (in.get<std::uint8_t>() != 0) {
    std::rethrow_exception(wire::to_exception(wire::ErrorRecord::decode(in), {.rank = 1, .host = "here", .pid = 1}));
  }
  if constexpr (!std::is_void_v<R>) return detail::decode_item<R>(in);
}

}  // namespace rankpool::test
