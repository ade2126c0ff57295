#include "session.hpp"

#include "work.hpp"

namespace bench {

rp::Pool& Session::pool() {
  if (!pool_) {
    pool_.emplace();
    in_use_ = &*pool_;
    const std::vector<int> warm_up(static_cast<std::size_t>(pool_->processes()) * 100);
    pool_->map(identity, warm_up, {.chunksize = 1});
  }
  return *pool_;
}

void Session::stop_pool() {
  stopped_ = true;
  if (rp::Pool* pool = in_use_) pool->terminate();
}

void Session::drop_pool() {
  in_use_ = nullptr;
  stopped_ = false;
  pool_.reset();
}

}  // namespace bench
