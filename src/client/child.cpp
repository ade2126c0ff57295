#include "client/child.hpp"

#include <sys/prctl.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "client/child_end.hpp"
#include "client/client.hpp"
#include "client/process_child.hpp"
#include "client/remote_object.hpp"
#include "wire/messages.hpp"
#include "wire/reduce.hpp"
#include "worker/running_task.hpp"
#include "worker/task_runner.hpp"

namespace rankpool::client {
namespace {

using wire::Kind;

/// A frame that has come while the child was busy.
struct Errand {
  wire::Header head;
  std::vector<std::byte> body;
  link::Slice slice;
};

class Worker {
 public:
  explicit Worker(const worker::ChildStart& start)
      : client_(std::make_shared<Client>(link::LinkEnd::open(start.descriptors, *start.page), Identity{},
                                         [this](link::Incoming& in) { put(in); })) {
    Client::start(client_);
  }

  int serve() {
    const Errand first = next();
    std::span<const std::byte> call = first.body;
    const auto start = wire::take<wire::ChildStart>(call);
    if (first.slice) call = first.slice.bytes();
    introduce(start);
    if (start.is_process != 0) return run_process(call);
    if (!begin(start, call)) return 1;
    for (;;) {
      const Errand errand = next();
      std::span<const std::byte> body = errand.body;
      const auto rest = [&] { return errand.slice ? errand.slice.bytes() : body; };
      switch (errand.head.kind) {
        case Kind::child_job: {
          const auto about = wire::take<wire::RankJob>(body);
          runner_->learn(errand.head.token, about, rest());
          break;
        }
        case Kind::child_run: {
          const auto run = wire::take<wire::RunItems>(body);
          runner_->run(errand.head.token, run, rest());
          if (runner_->spent()) return 0;  // another worker takes its place
          break;
        }
        case Kind::child_flush:
          runner_->flush(errand.head.token, wire::take<wire::ChildFlush>(body).keep != 0);
          break;
        case Kind::child_merge:
          runner_->merge(errand.head.token, rest());
          break;
        case Kind::child_job_end:
          runner_->forget(errand.head.token);
          break;
        case Kind::child_recalled:
          client_->link().tasks().passed_recall();
          break;
        case Kind::child_stop:
          return 0;
        default:
          throw wire::BadFrame("a child was sent a frame that is not for children");
      }
    }
  }

 private:
  /// Called by whichever thread reads the link; see UserLink.
  void put(link::Incoming& in) {
    const std::lock_guard lock(mutex_);
    errands_.push_back({in.head, {in.body.begin(), in.body.end()}, std::move(in.slice)});
    has_errand_ = true;
  }

  Errand next() {
    try {
      client_->link().wait([this] { return has_errand_.load(); }, {});
    } catch (...) {
      if (client_->link().intact()) throw;
      // a task has closed descriptors that were not its own: another worker takes the place of this one
      return {.head = {.kind = Kind::child_stop}, .body = {}, .slice = {}};
    }
    const std::lock_guard lock(mutex_);
    Errand errand = std::move(errands_.front());
    errands_.pop_front();
    has_errand_ = !errands_.empty();
    return errand;
  }

  /// Learns who this child is.
  void introduce(const wire::ChildStart& start) {
    client_->set_identity({.rank = start.rank,
                           .link = start.link,
                           .ranks = start.ranks,
                           .slots = start.slots,
                           .host = wire::text_of(start.host),
                           .name = wire::text_of(start.name),
                           .number = wire::text_of(start.number),
                           .daemon = start.is_daemon != 0,
                           .parent = start.parent,
                           .window = start.window,
                           .seed = start.seed});
    ::prctl(PR_SET_NAME, start.name.data());
  }

  /// Becomes a pool worker: runs the initializer. False if that failed.
  bool begin(const wire::ChildStart& start, std::span<const std::byte> initializer) {
    runner_ = std::make_unique<worker::TaskRunner>(client_->link(), start.rank, start.host,
                                                   [this](const auto& cargo) { before_end(cargo); });
    worker::RunningTask::here().open(client_->link().tasks(), start.seed);
    if (!runner_->limit_memory(start.memory_limit)) return false;
    if (start.has_initializer != 0 && !runner_->initialize(initializer)) return false;
    client_->link().send({.to = {start.rank, 0}, .kind = Kind::child_ready}, {});
    return true;
  }

  /// What a task did with objects must be seen before its result is.
  void before_end(const detail::Buffer::Cargo& cargo) {
    RemoteObject::announce(cargo);
    client_->settle(0);
  }

  std::mutex mutex_;
  std::deque<Errand> errands_;
  std::atomic<bool> has_errand_{false};
  std::shared_ptr<Client> client_;
  std::unique_ptr<worker::TaskRunner> runner_;
};

}  // namespace

int child_main(const worker::ChildStart& start) {
  catch_exit();
  // leaked on purpose: user threads may still use the client while the process ends
  auto* const worker = new Worker(start);
  std::exit(worker->serve());
}

}  // namespace rankpool::client
