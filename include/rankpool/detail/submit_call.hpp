// One call, sent to the workers of a pool.
#pragma once

#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/job_writer.hpp>
#include <rankpool/detail/pool_call.hpp>
#include <rankpool/detail/result_state.hpp>

namespace rankpool::detail {

/// Ends the job with the exception that is being handled, which came from encoding it.
void encoding_failed(JobState& job);

/// Does `encode`. With `keep_error` what it throws is the error of the job, and the result is false.
template <bool keep_error, class Encode>
bool encoded([[maybe_unused]] JobState& job, Encode&& encode) {
  if constexpr (keep_error) {
    try {
      encode();
    } catch (...) {
      encoding_failed(job);
      return false;
    }
  } else {
    encode();
  }
  return true;
}

/// Sends `f(args...)` as a job of one task, and returns its state: a ResultState. With `keep_error` a callable or an
/// argument that cannot be encoded is the error of that job. @throws PoolClosed, or the error of a failed initializer
template <bool keep_error, class F, class... Args>
auto submit_call(const std::shared_ptr<PoolClient>& pool, JobShape shape, F& f, Args&&... args) {
  using Item = std::tuple<Stored<Args>...>;
  using Call = PoolCall<std::decay_t<F>, Item, true>;
  auto result = make_one<typename Call::Result>();
  shape.item_bytes = Call::shape().item_bytes;
  shape.is_call = true;
  Buffer callable;
  if (!encoded<keep_error>(*result, [&] { callable = Call::encode(f); })) return result;
  JobWriter writer(pool, result, shape, std::move(callable));
  if (encoded<keep_error>(*result, [&] { writer.add(Item(std::forward<Args>(args)...)); })) writer.finish();
  return result;
}

}  // namespace rankpool::detail
