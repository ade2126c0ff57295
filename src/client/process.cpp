#include "client/process.hpp"

#include <stdio_ext.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/interrupted.hpp"

namespace rankpool {
namespace {

using client::Client;
using detail::ProcessClient;
using wire::Kind;

constexpr auto daemon_grace = std::chrono::seconds(1);

/// What this process has started.
struct Table {
  std::mutex mutex;
  unsigned last_number = 0;
  std::vector<std::shared_ptr<ProcessClient>> processes;  // those that have not ended
};
Table& table() {
  static auto* const all = new Table;  // a Process may be in a static object, which goes later than others
  return *all;
}

std::vector<std::shared_ptr<ProcessClient>> living() {
  std::vector<std::shared_ptr<ProcessClient>> found;
  const std::lock_guard lock(table().mutex);
  for (const auto& process : table().processes)
    if (process->started() && !process->ended()) found.push_back(process);
  return found;
}

void forget(const ProcessClient* process) {
  const std::lock_guard lock(table().mutex);
  std::erase_if(table().processes, [process](const auto& entry) { return entry.get() == process; });
}

std::string next_number(const client::Identity& maker) {
  const std::lock_guard lock(table().mutex);
  const std::string last = std::to_string(++table().last_number);
  return maker.number.empty() ? last : maker.number + ':' + last;
}

/// What this process has printed comes before what its children print from now on, although each has its own buffer.
void flush_output() {
  std::cout.flush();
  if (__fpending(stdout) != 0) std::fflush(stdout);
}

ProcessInfo to_info(const wire::Who& who) {
  return {wire::text_of(who.name), who.pid, who.rank, wire::text_of(who.host), who.link};
}

/// Waits for the answer whether a process lives.
class Answer final : public client::Receiver {
 public:
  explicit Answer(int rank) : rank_(rank) {}
  void on_rank_lost(int rank) override {
    if (rank == rank_) done.store(true, std::memory_order_release);
  }
  void on_frame(link::Incoming& in) override {
    alive = in.head.flags != 0;
    done.store(true, std::memory_order_release);
  }
  std::atomic<bool> done{false};
  bool alive = false;

 private:
  const int rank_;
};

}  // namespace

// ---- a Process as its maker sees it

namespace detail {

ProcessClient::ProcessClient(std::shared_ptr<Client> client, const ProcessOptions& options,
                             std::function<void(Buffer&)> encode)
    : client_(std::move(client)),
      maker_pid_(::getpid()),
      daemon_(options.daemon.value_or(client_->identity().daemon)),
      wish_(options.rank),
      encode_(std::move(encode)) {
  if (options.name.size() >= wire::ProcessName{}.size())
    throw std::invalid_argument("the name of a Process has " + std::to_string(options.name.size()) +
                                " bytes; it must have at most " + std::to_string(wire::ProcessName{}.size() - 1));
  number_ = next_number(client_->identity());
  name_ = options.name.empty() ? "Process-" + number_ : options.name;
}

void ProcessClient::require_own(const char* call) const {
  if (::getpid() == maker_pid_) return;
  throw std::logic_error(std::string(call) + ": " + name_ + " was made by process " + std::to_string(maker_pid_) +
                         ", and only that one may use it, not process " + std::to_string(::getpid()));
}

void ProcessClient::require_open() const {
  if (closed_) throw std::logic_error(name_ + " is closed: after close() only its name is left");
}

void ProcessClient::require_started(const char* call) const {
  require_own(call);
  require_open();
  if (!started()) throw std::logic_error(std::string(call) + ": " + name_ + " was not started; call start() first");
}

void ProcessClient::start() {
  require_own("Process::start");
  require_open();
  const std::lock_guard lock(start_mutex_);
  if (started()) throw std::logic_error("Process::start: " + name_ + " was started before; make another Process");
  const int ranks = client_->identity().ranks;
  if (wish_ && (*wish_ < 0 || *wish_ >= ranks))
    throw std::invalid_argument(name_ + " was to run on rank " + std::to_string(*wish_) +
                                "; the job has the ranks 0 to " + std::to_string(ranks - 1));
  flush_output();
  Buffer call;
  encode_(call);
  cargo_ = call.take_cargo();
  const wire::ProcessStart fixed{.parent = client_->who(),
                                 .rank = wish_.value_or(-1),
                                 .is_daemon = daemon_ ? 1u : 0u,
                                 .tell_ready = cargo_.empty() ? 0u : 1u,
                                 .reserved = 0,
                                 .name = wire::process_name(name_),
                                 .number = wire::process_name(number_)};
  failed_ = false;
  token_ = client_->new_token();
  {
    const std::lock_guard table_lock(table().mutex);
    table().processes.push_back(shared_from_this());
  }
  client_->add(token_, shared_from_this());
  client_->send(Kind::process_start, token_, wire::bytes_of(fixed), &call);
  client_->link().wait([this] { return started() || failed_.load(); }, {});
  if (failed_) {
    cargo_.clear();
    throw_failed();
  }
  // the handles have moved when this returns: until the child has them, this process is a holder of them too
  if (!cargo_.empty()) client_->link().wait([this] { return ready_.load() || ended(); }, {});
  cargo_.clear();
  encode_ = nullptr;
}

void ProcessClient::throw_failed() const {
  if (interruption_) std::rethrow_exception(interruption_);
  if (failure_.error == 0)
    throw RankLost("rank " + std::to_string(failure_.rank) + " (host " + wire::text_of(failure_.host) +
                       ") is lost and cannot run " + name_ +
                       (wish_ ? ": name another rank in ProcessOptions, or none" : ": start it again"),
                   failure_.rank);
  throw Error("rank " + std::to_string(failure_.rank) + " (" + wire::text_of(failure_.host) + ") cannot start " +
              name_ + ": " + std::generic_category().message(failure_.error) +
              ": raise the limit on processes (ulimit -u) and open files (ulimit -n), or start fewer at a time");
}

void ProcessClient::on_frame(link::Incoming& in) {
  std::span<const std::byte> body = in.body;
  switch (in.head.kind) {
    case Kind::process_started:
      where_ = wire::take<wire::ProcessStarted>(body);
      started_.store(true, std::memory_order_release);
      break;
    case Kind::process_ready:
      ready_ = true;
      break;
    case Kind::process_failed:
      if (started()) return lost();
      failure_ = wire::take<wire::ProcessFailed>(body);
      client_->remove(token_);
      forget(this);
      failed_ = true;
      break;
    case Kind::interrupted:
      interruption_ = client::interrupted_by(in.head.flags);
      client_->remove(in.head.token);
      forget(this);
      failed_ = true;
      break;
    case Kind::process_ended:
      has_ended(static_cast<int>(in.head.flags));
      break;
    default:
      throw wire::BadFrame("a Process was sent a frame that is not for it");
  }
}

void ProcessClient::has_ended(int wait_status) {
  wait_status_ = wait_status;
  client_->remove(token_);
  forget(this);
  ended_.store(true, std::memory_order_release);
}

/// Where it was started by the time: rank 0 says so if it was not.
void ProcessClient::on_rank_lost(int rank) {
  if (started() && where_.rank == rank) lost();
}

/// It has gone with its rank, as if it were killed.
void ProcessClient::lost() {
  if (ended()) return;
  std::fprintf(stderr, "rankpool: %s (pid %d) has ended: rank %d (host %s), on which it ran, is lost\n", name_.c_str(),
               where_.pid, where_.rank, wire::text_of(where_.host).c_str());
  has_ended(SIGKILL);
}

void ProcessClient::look() {
  if (started() && !ended()) client_->link().look();
}

bool ProcessClient::join(Deadline deadline) {
  require_started("Process::join");
  if (!ended()) flush_output();
  return client_->link().wait([this] { return ended(); }, deadline);
}

std::shared_ptr<WaitSource> ProcessClient::wait_source() {
  class EndSource final : public WaitSource {
   public:
    explicit EndSource(std::shared_ptr<const ProcessClient> process) : process_(std::move(process)) {}
    bool ready() const noexcept override { return process_->ended(); }

   private:
    std::shared_ptr<const ProcessClient> process_;
  };
  require_started("wait_ready");
  return std::make_shared<EndSource>(shared_from_this());
}

bool ProcessClient::is_alive() {
  require_own("Process::is_alive");
  require_open();
  look();
  return started() && !ended();
}

std::optional<int> ProcessClient::exitcode() {
  require_own("Process::exitcode");
  require_open();
  look();
  if (!ended()) return std::nullopt;
  return WIFSIGNALED(wait_status_) ? -WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
}

int ProcessClient::pid() const {
  require_open();
  return started() ? where_.pid : 0;
}

int ProcessClient::rank() const {
  require_open();
  return started() ? where_.rank : -1;
}

std::string ProcessClient::host() const {
  require_open();
  return started() ? wire::text_of(where_.host) : std::string();
}

ProcessInfo ProcessClient::info() const {
  return {name_, where_.pid, where_.rank, wire::text_of(where_.host), where_.link};
}

void ProcessClient::signal(int number, const char* call) {
  require_started(call);
  send_signal(number);
}

void ProcessClient::send_signal(int number) {
  if (ended()) return;
  client_->send({.to = {where_.rank, 0},
                 .token = where_.link,
                 .kind = Kind::process_signal,
                 .flags = static_cast<std::uint32_t>(number)},
                {});
}

void ProcessClient::close() {
  require_own("Process::close");
  if (closed_) return;
  look();
  const std::lock_guard lock(start_mutex_);
  if (started() && !ended())
    throw std::logic_error("Process::close: " + name_ + " is still running; join() or terminate() it first");
  encode_ = nullptr;
  closed_ = true;
}

void ProcessClient::leave(bool unwinding) noexcept {
  try {
    if (::getpid() != maker_pid_ || !started()) return;
    if (daemon_ || unwinding) send_signal(SIGTERM);
    client_->link().wait([this] { return ended(); }, {});
  } catch (...) {
    // the engine is gone, and the process with it
  }
}

std::string ProcessClient::to_string() {
  std::string text = "<Process name='" + name_ + "'";
  if (closed_) return text + " closed>";
  if (!started()) return text + " initial>";
  if (::getpid() == maker_pid_) look();
  text += " pid=" + std::to_string(where_.pid) + " parent=" + std::to_string(maker_pid_) +
          " rank=" + std::to_string(where_.rank);
  if (!ended()) return text + " started" + (daemon_ ? " daemon>" : ">");
  if (WIFEXITED(wait_status_)) {
    text += " stopped exitcode=" + std::to_string(WEXITSTATUS(wait_status_));
  } else {
    const char* const signal = ::sigabbrev_np(WTERMSIG(wait_status_));
    text += " stopped exitcode=-" +
            (signal != nullptr ? "SIG" + std::string(signal) : std::to_string(WTERMSIG(wait_status_)));
  }
  return text + (daemon_ ? " daemon>" : ">");
}

const std::shared_ptr<ProcessClient>& client_of(const Process& process) {
  static_cast<void>(process.client());
  return process.client_;
}

}  // namespace detail

namespace client {

void end_processes() {
  for (const auto& process : living())
    if (process->daemon()) process->signal(SIGTERM, "Process::terminate");
  for (bool waited = true; std::exchange(waited, false);) {
    for (const auto& process : living()) {
      if (process->daemon()) continue;
      process->join({});
      waited = true;  // meanwhile another thread may have started one
    }
  }
  const auto limit = detail::Clock::now() + daemon_grace;
  for (const auto& process : living()) process->join(limit);
}

}  // namespace client

// ---- the public class

Process::Process(const ProcessOptions& options, std::function<void(detail::Buffer&)> encode, std::nullptr_t)
    : client_(std::make_shared<ProcessClient>(Client::get(), options, std::move(encode))) {}

Process::Process(Process&& other) noexcept : client_(std::move(other.client_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  if (client_) client_->leave(std::uncaught_exceptions() > exceptions_);
  client_ = std::move(other.client_);
  exceptions_ = std::uncaught_exceptions();
  return *this;
}

Process::~Process() {
  if (client_) client_->leave(std::uncaught_exceptions() > exceptions_);
}

ProcessClient& Process::client() const {
  if (!client_) throw std::logic_error("this Process is empty: it was moved from");
  return *client_;
}

void Process::start() { client().start(); }
void Process::join() { client().join({}); }
bool Process::join_until(detail::Deadline deadline) { return client().join(deadline); }
std::shared_ptr<detail::WaitSource> Process::wait_source() const { return client().wait_source(); }
bool Process::is_alive() const { return client().is_alive(); }
std::optional<int> Process::exitcode() const { return client().exitcode(); }
int Process::pid() const { return client().pid(); }
int Process::rank() const { return client().rank(); }
std::string Process::host() const { return client().host(); }
const std::string& Process::name() const { return client().name(); }
bool Process::daemon() const { return client().daemon(); }
void Process::interrupt() { client().signal(SIGINT, "Process::interrupt"); }
void Process::terminate() { client().signal(SIGTERM, "Process::terminate"); }
void Process::kill() { client().signal(SIGKILL, "Process::kill"); }
void Process::close() { client().close(); }

std::string to_string(const Process& process) { return detail::client_of(process)->to_string(); }

// ---- what a process can ask

bool ProcessInfo::is_alive() const {
  if (link == 0) return false;
  const auto client = Client::get();
  const client::Identity& self = client->identity();
  if (rank == self.rank && link == self.link) return true;
  if (rank < 0 || rank >= self.ranks) return false;
  const auto answer = std::make_shared<Answer>(rank);
  const std::uint64_t token = client->new_token();
  client->add(token, answer);
  if (client->is_lost(rank)) answer->done = true;
  client->send({.to = {rank, 0}, .token = token, .kind = Kind::process_ask}, wire::bytes_of(wire::ProcessAsk{link}));
  client->link().wait([&] { return answer->done.load(std::memory_order_acquire); }, {});
  client->remove(token);
  return answer->alive;
}

ProcessInfo current_process() { return to_info(Client::get()->who()); }

std::optional<ProcessInfo> parent_process() {
  const auto client = Client::get();
  const auto& parent = client->identity().parent;
  if (!parent) return std::nullopt;
  return to_info(*parent);
}

std::vector<ProcessInfo> active_children() {
  Client::get()->link().look();
  std::vector<ProcessInfo> children;
  for (const auto& process : living()) children.push_back(process->info());
  return children;
}

}  // namespace rankpool
