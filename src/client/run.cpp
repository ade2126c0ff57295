#include <rankpool/run.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "client/child.hpp"
#include "client/client.hpp"
#include "client/describe.hpp"
#include "client/launch.hpp"
#include "client/process.hpp"
#include "engine/start.hpp"
#include "link/link.hpp"
#include "wire/messages.hpp"
#include "worker/cores.hpp"

namespace rankpool {
namespace {

using client::Client;
using client::describe;

/// The engine of rank 0 on a thread of its own, and the main program's link to it.
class MasterEngine {
 public:
  MasterEngine(const engine::StartOptions& options, link::RankPage& page, worker::Zygote zygote) : page_(page) {
    auto [engine_end, descriptors] = link::LinkEnd::create();
    user_end_ = link::LinkEnd::open(descriptors, *page);
    std::promise<client::Identity> started;
    auto identity = started.get_future();
    thread_ = std::thread(
        [this, options, end = std::move(engine_end), zygote = std::move(zygote),
         started = std::move(started)]() mutable { serve(options, std::move(end), std::move(zygote), started); });
    try {
      Client::start(std::make_shared<Client>(std::move(user_end_), identity.get(), [](link::Incoming&) {
        throw wire::BadFrame("the main program was sent a frame that is not for it");
      }));
    } catch (...) {
      thread_.join();
      throw;
    }
  }
  MasterEngine(const MasterEngine&) = delete;
  MasterEngine& operator=(const MasterEngine&) = delete;

  /// Ends every process of the job but this one. Once; later calls do nothing.
  void stop() {
    if (!thread_.joinable()) return;
    const auto client = Client::get();
    Client::stop();
    if (!failed_) client->link().send({.to = {0, 0}, .kind = wire::Kind::shutdown}, {});
    thread_.join();
    // what still waits, in a thread or a static object, would wait for ever
    client->link().fail(
        std::make_exception_ptr(NotRunning("rankpool has stopped: its objects end with rankpool::run()")));
  }
  bool failed() const noexcept { return failed_; }

 private:
  void serve(const engine::StartOptions& options, link::LinkEnd end, worker::Zygote zygote,
             std::promise<client::Identity>& started) {
    std::unique_ptr<engine::Engine> engine;
    try {
      engine = engine::start(options, page_, std::move(zygote));
      engine->add_main(std::move(end));
      const engine::Layout& layout = engine->layout();
      started.set_value({.rank = 0,
                         .link = engine::Children::main_link,
                         .ranks = layout.ranks(),
                         .slots = layout.all_slots(),
                         .host = layout.host(),
                         .name = "MainProcess",
                         .window = layout.window});
    } catch (...) {
      started.set_exception(std::current_exception());
      return;
    }
    try {
      engine->run();
    } catch (...) {
      failed_ = true;
      const std::exception_ptr error = std::current_exception();
      std::fprintf(stderr, "rankpool: the engine of rank 0 has failed: %s\n", describe(error).c_str());
      if (const auto client = Client::get()) client->link().fail(error);
    }
  }

  link::RankPage& page_;
  link::LinkEnd user_end_;
  std::thread thread_;
  std::atomic<bool> failed_{false};
};

MasterEngine* master = nullptr;  // for exit() in the middle of the program
pid_t master_pid = 0;

/// Waits for what the program has started, but for daemons. Not if the program has failed: then everything ends at
/// once.
void end_processes() {
  try {
    client::end_processes();
  } catch (...) {
    // the engine has failed, and has said so
  }
}

void stop_at_exit() {
  if (master == nullptr || ::getpid() != master_pid) return;
  end_processes();
  std::exchange(master, nullptr)->stop();
}

int run_program(const std::function<int(int, char**)>& program, int argc, char** argv, MasterEngine& engine) {
  int status = 1;
  try {
    status = program(argc, argv);
    end_processes();
  } catch (...) {
    std::fflush(stdout);
    std::fprintf(stderr, "rankpool: the program ended with an exception\n  %s\n",
                 describe(std::current_exception()).c_str());
  }
  master = nullptr;
  engine.stop();
  return status;
}

/// Each child costs its engine two descriptors, and each large payload under way one.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

[[noreturn]] void leave_job(const std::exception_ptr& error) {
  std::fprintf(stderr, "rankpool: the engine of this rank has failed, so the job ends: %s\n", describe(error).c_str());
  std::_Exit(1);  // mpirun ends the other ranks; MPI_Finalize would wait for them
}

}  // namespace

namespace detail {

int run(int argc, char** argv, const std::function<int(int, char**)>& program, const RunOptions& options) {
  static bool ran = false;
  if (std::exchange(ran, true))
    throw std::logic_error("rankpool::run was called twice: it may be called once in a process, from main()");
  try {
    const engine::StartOptions start = client::read_launch(options);
    allow_many_descriptors();
    link::RankPage page = link::RankPage::create();
    worker::Zygote zygote = worker::Zygote::start(*page, &client::child_main, client::affinity_holder());
    if (client::is_worker_rank()) {
      const std::unique_ptr<engine::Engine> engine = engine::start(start, page, std::move(zygote));
      try {
        engine->run();
      } catch (...) {
        leave_job(std::current_exception());
      }
      return 0;
    }
    MasterEngine engine(start, page, std::move(zygote));
    master = &engine;
    master_pid = ::getpid();
    std::atexit(stop_at_exit);
    const int status = run_program(program, argc, argv, engine);
    if (engine.failed()) std::_Exit(status == 0 ? 1 : status);  // MPI is in no state to be finalized
    return status;
  } catch (...) {
    if (!client::is_worker_rank())
      std::fprintf(stderr, "rankpool: cannot start\n  %s\n", describe(std::current_exception()).c_str());
    return 1;
  }
}

}  // namespace detail

int cpu_count() { return worker::granted_cores(0); }
int slot_count() { return Client::get()->identity().slots; }
int rank_count() { return Client::get()->identity().ranks; }
int rank() { return Client::get()->identity().rank; }

}  // namespace rankpool
