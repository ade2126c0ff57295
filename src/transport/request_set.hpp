// Open requests of MPI, each with what must be known when it completes.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "transport/mpi_check.hpp"

namespace rankpool::transport {

/// Tested all at once, so that a look at many costs one turn of MPI's progress and not one each.
template <class Payload>
class RequestSet {
 public:
  bool empty() const noexcept { return requests_.empty(); }

  void add(MPI_Request request, Payload payload) {
    requests_.push_back(request);
    payloads_.push_back(std::move(payload));
  }

  /// Calls `done(payload, status)` for each request that has completed. True if there was one. @throws MpiError
  template <class Done>
  bool collect(Done&& done) {
    if (requests_.empty()) return false;
    indices_.resize(requests_.size());
    statuses_.resize(requests_.size());
    int count = 0;
    const int code =
        MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, indices_.data(), statuses_.data());
    check_some(code, count, statuses_.data());
    if (count == 0) return false;
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      done(payloads_[static_cast<std::size_t>(indices_[at])], statuses_[at]);
    }
    forget_completed();
    return true;
  }

  /// Takes out the requests for whose payload `lost` is true, without waiting for them. MPI may go on with their memory
  /// at any time, so the payloads that are returned must never be freed.
  template <class Lost>
  [[nodiscard]] std::vector<Payload> abandon(Lost&& lost) {
    std::vector<Payload> taken;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (!lost(payloads_[i])) continue;
      taken.push_back(std::move(payloads_[i]));
      requests_[i] = MPI_REQUEST_NULL;
    }
    forget_completed();
    return taken;
  }

 private:
  void forget_completed() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i] == MPI_REQUEST_NULL) continue;
      if (kept != i) {
        requests_[kept] = requests_[i];
        payloads_[kept] = std::move(payloads_[i]);
      }
      ++kept;
    }
    requests_.resize(kept);
    payloads_.erase(payloads_.begin() + static_cast<std::ptrdiff_t>(kept), payloads_.end());
  }

  std::vector<MPI_Request> requests_;
  std::vector<Payload> payloads_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

}  // namespace rankpool::transport
