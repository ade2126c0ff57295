#include <rankpool/run.hpp>

#include <cxxabi.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "client/child.hpp"
#include "client/child_end.hpp"
#include "client/client.hpp"
#include "client/describe.hpp"
#include "client/exit_note.hpp"
#include "client/interrupted.hpp"
#include "client/launch.hpp"
#include "client/process.hpp"
#include "engine/signals.hpp"
#include "engine/start.hpp"
#include "link/link.hpp"
#include "link/thread.hpp"
#include "wire/messages.hpp"
#include "worker/cores.hpp"

namespace rankpool {
namespace {

using client::Client;
using client::describe;

constexpr auto time_after_failure = std::chrono::seconds(5);  // for the program, which may save something

/// What the waits of the program throw when its engine has failed, which has said so.
class EngineFailed final : public Error {
  using Error::Error;
};

std::string failure_text(const engine::Layout& layout, const std::exception_ptr& error) {
  return "the engine of rank " + std::to_string(layout.rank) + " on " + layout.host() + " (process " +
         std::to_string(::getpid()) + ") has failed, so the job ends: " + describe(error);
}

std::atomic<bool> mpi_left_open{false};
pid_t rank_pid = 0;

/// MPI cannot be finalized without a rank that is lost, or by an engine that has failed: the process just ends, after
/// all that exit() runs of the user's.
void end_without_mpi(int status, void*) {
  if (!mpi_left_open || ::getpid() != rank_pid) return;
  client::flush_streams();
  ::_exit(status);
}
/// Registered before anything of the user's, so that it is the last.
[[gnu::constructor(101)]] void await_exit() { ::on_exit(end_without_mpi, nullptr); }

/// The engine of rank 0 on a thread of its own, and the main program's link to it.
class MasterEngine {
 public:
  MasterEngine(const engine::StartOptions& options, link::RankPage& page, worker::Zygote zygote,
               engine::Signals& signals)
      : page_(page), signals_(signals) {
    auto [engine_end, descriptors] = link::LinkEnd::create();
    user_end_ = link::LinkEnd::open(descriptors, *page);
    std::promise<client::Identity> started;
    auto identity = started.get_future();
    try {
      thread_ = std::thread(
          [this, options, end = std::move(engine_end), zygote = std::move(zygote),
           started = std::move(started)]() mutable { serve(options, std::move(end), std::move(zygote), started); });
    } catch (const std::system_error& error) {
      throw std::system_error(error.code(),
                              "rankpool: the thread of the engine (raise the limit on processes: ulimit -u)");
    }
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
    client->link().send_last({.to = {0, 0}, .kind = wire::Kind::shutdown});  // the program may have been interrupted
    thread_.join();
    // what still waits, in a thread or a static object, would wait for ever
    client->link().fail(
        std::make_exception_ptr(NotRunning("rankpool has stopped: its objects end with rankpool::run()")));
    if (reader_.get_id() == std::this_thread::get_id()) {
      reader_.detach();  // exit() in what decodes a result: there is nobody to wait for
    } else if (reader_.joinable()) {
      reader_.join();
    }
  }
  bool failed() const noexcept { return failed_; }
  /// After `stop`.
  const engine::JobStop::Outcome& outcome() const noexcept { return outcome_; }

 private:
  void serve(const engine::StartOptions& options, link::LinkEnd end, worker::Zygote zygote,
             std::promise<client::Identity>& started) {
    std::unique_ptr<engine::Engine> engine;
    try {
      engine = engine::start(options, page_, std::move(zygote), signals_);
      engine->add_main(std::move(end));
      engine->on_stopping([this] { read_along(); });
      const engine::Layout& layout = engine->layout();
      started.set_value({.rank = 0,
                         .link = engine::Children::main_link,
                         .ranks = layout.ranks(),
                         .slots = layout.all_slots(),
                         .host = layout.host(),
                         .name = "MainProcess",
                         .window = layout.window,
                         .seed = layout.seed});
    } catch (...) {
      started.set_exception(std::current_exception());
      return;
    }
    try {
      mpi_left_open = !engine->run();
      outcome_ = engine->outcome();
    } catch (...) {
      failed_ = true;
      mpi_left_open = true;
      signals_.guard().arm(0, engine::EndGuard::Why::failed, engine::EndGuard::Clock::now() + time_after_failure);
      const std::string text = failure_text(engine->layout(), std::current_exception());
      std::fprintf(stderr, "rankpool: %s\n", text.c_str());
      try {
        Client::get()->link().fail(std::make_exception_ptr(EngineFailed(text)));
      } catch (const NotRunning&) {
        // the program has ended, and waits for nothing but this thread
      }
    }
  }

  /// The program may be at something else while its results come, and has no other time to take them in.
  void read_along() {
    std::shared_ptr<Client> client;
    try {
      client = Client::get();
    } catch (const NotRunning&) {
      return;  // it has not begun, or has ended
    }
    reader_ = link::start_thread("that takes in the last results", [client] {
      try {
        client->link().wait([] { return false; }, {});
      } catch (...) {
        // told, as is whoever else waits
      }
    });
  }

  link::RankPage& page_;
  engine::Signals& signals_;
  link::LinkEnd user_end_;
  std::thread thread_;
  std::thread reader_;
  std::atomic<bool> failed_{false};
  engine::JobStop::Outcome outcome_{};
};

MasterEngine* master = nullptr;  // for exit() in the middle of the program
pid_t master_pid = 0;

int death_signal = 0;  // by which the process ends if its exit code says so

/// Waits for what the program has started, but for daemons. Not if the program has failed: then everything ends at
/// once.
void end_processes() {
  try {
    client::end_processes();
  } catch (...) {
    // the engine has failed, and has said so
  }
}

/// At exit(), in the middle of the program or after it.
void leave(int status, void*) {
  if (::getpid() != master_pid) return;
  if (master != nullptr) {
    end_processes();
    std::exchange(master, nullptr)->stop();
  }
  client::note_exit(status);
  if (death_signal == 0 || status != 128 + death_signal) return;
  client::flush_streams();
  std::signal(death_signal, SIG_DFL);
  std::raise(death_signal);
}

void print_exception(const std::exception_ptr& error) {
  std::fflush(stdout);
  std::fprintf(stderr, "rankpool: the program ended with an exception\n  %s\n", describe(error).c_str());
}

/// Its exit code. Success is not what the program says if it was interrupted, whether it has noticed or not.
int run_program(const std::function<int(int, char**)>& program, int argc, char** argv, MasterEngine& engine,
                engine::EndGuard& guard) {
  int status = 0;
  std::exception_ptr interruption;
  try {
    status = program(argc, argv);
    end_processes();
  } catch (const Interrupted&) {
    interruption = std::current_exception();
  } catch (const EngineFailed&) {
    status = 1;
  } catch (const abi::__forced_unwind&) {
    std::fprintf(stderr,
                 "rankpool: the program has ended its main thread by pthread_exit(), so the job ends: return "
                 "from the function that was given to rankpool::run() instead\n");
    std::exchange(master, nullptr)->stop();
    std::exit(1);
  } catch (...) {
    print_exception(std::current_exception());
    status = 1;
  }
  guard.program_ended(status);
  master = nullptr;
  engine.stop();
  const engine::JobStop::Outcome& outcome = engine.outcome();
  if (engine.failed()) return status == 0 ? 1 : status;
  if (outcome.work_left) return client::work_left_code;  // whoever starts it again looks for nothing else
  if (status != 0) return status;
  if (outcome.signal != 0) return 128 + outcome.signal;
  if (!interruption) return 0;
  print_exception(interruption);  // it was the program's own
  return 1;
}

/// Each child costs its engine two descriptors, and each large payload under way one.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

[[noreturn]] void leave_job(const engine::Layout& layout, const std::exception_ptr& error) {
  std::fprintf(stderr, "rankpool: %s\n", failure_text(layout, error).c_str());
  std::_Exit(1);  // mpirun ends the other ranks; MPI_Finalize would wait for them
}

}  // namespace

namespace detail {

int run(int argc, char** argv, const std::function<int(int, char**)>& program, const RunOptions& options) {
  static bool ran = false;
  if (std::exchange(ran, true))
    throw std::logic_error("rankpool::run was called twice: it may be called once in a process, from main()");
  const bool serves = client::is_worker_rank();
  try {
    if (!serves) client::prepare_exit_note();
    const engine::StartOptions start = client::read_launch(options);
    allow_many_descriptors();
    link::RankPage page = link::RankPage::create();
    worker::Zygote zygote = worker::Zygote::start(*page, &client::child_main, client::affinity_holder());
    rank_pid = ::getpid();
    engine::Signals signals(*page, !serves,
                            {.zygote = zygote.pid(),
                             .by_signal = !client::is_launched(),
                             .speaks = !serves,
                             .note = serves ? nullptr : &client::note_exit});
    if (serves) {
      const std::unique_ptr<engine::Engine> engine = engine::start(start, page, std::move(zygote), signals);
      try {
        mpi_left_open = !engine->run();
      } catch (...) {
        leave_job(engine->layout(), std::current_exception());
      }
      return 0;
    }
    MasterEngine engine(start, page, std::move(zygote), signals);
    master = &engine;
    master_pid = ::getpid();
    ::on_exit(leave, nullptr);
    const client::UncaughtInterrupted uncaught;
    const int status = run_program(program, argc, argv, engine, signals.guard());
    client::note_exit(status);
    if (!client::is_launched()) death_signal = engine.outcome().signal;
    return status;
  } catch (const std::system_error&) {  // a limit of this rank: the others do not know of it
    const std::string rank = client::is_worker_rank() ? " a rank" : "";
    std::fprintf(stderr, "rankpool: cannot start%s\n  %s\n", rank.c_str(), describe(std::current_exception()).c_str());
    return 1;
  } catch (...) {
    if (!serves) std::fprintf(stderr, "rankpool: cannot start\n  %s\n", describe(std::current_exception()).c_str());
    if (!serves) client::note_exit(1);
    return 1;
  }
}

}  // namespace detail

int cpu_count() { return worker::granted_cores(0); }
int slot_count() {
  const auto client = Client::get();
  client->link().look();
  return client->slots();
}
int rank_count() { return Client::get()->identity().ranks; }
int rank() { return Client::get()->identity().rank; }

}  // namespace rankpool
