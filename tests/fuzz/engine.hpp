// A whole engine, fed with frames as other ranks and processes might send them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

#include "damage.hpp"
#include "engine/engine.hpp"
#include "engine/windows.hpp"
#include "link/rank_page.hpp"
#include "link/segment.hpp"
#include "objects/words.hpp"
#include "transport/transport.hpp"
#include "wire/barrier.hpp"
#include "wire/condition.hpp"
#include "wire/containers.hpp"
#include "wire/lease.hpp"
#include "wire/messages.hpp"
#include "wire/objects.hpp"
#include "wire/one_sided.hpp"
#include "wire/pipe.hpp"
#include "wire/process.hpp"
#include "wire/queue.hpp"
#include "wire/reduce.hpp"
#include "wire/semaphore.hpp"
#include "wire/shared.hpp"
#include "wire/words.hpp"

namespace fuzz {

namespace rp = rankpool;
namespace wire = rankpool::wire;
using wire::Kind;

constexpr int engine_ranks = 3;

/// A frame as it lies in the input of the decoder. `token`: itself, but 255 stands for the largest number.
struct FrameHead {
  std::uint8_t kind = 0;
  std::int8_t rank = 0;   ///< where it comes from
  std::uint8_t link = 0;  ///< and its link there
  std::uint8_t token = 0;
  std::uint32_t flags = 0;
  std::uint16_t body = 0;
  std::uint16_t slice = 0;
};

/// Brings what is in the input, answers operations on windows, and drops what is sent.
class Wires final : public rp::transport::Transport {
 public:
  Wires(int rank, std::span<const std::byte> frames) : rank_(rank), frames_(frames) {}

  /// The frames of its own children come through it.
  void connect(rp::engine::Router& engine) noexcept { engine_ = &engine; }

 private:
  int rank() const override { return rank_; }
  int size() const override { return engine_ranks; }
  const rp::transport::Hello& hello(int) const override { return hello_; }
  bool same_host(int) const override { return false; }
  bool all(bool here) override { return here; }
  int busy_workers_here() const override { return 0; }
  std::optional<int> ended_neighbour() const override { return std::nullopt; }
  void send(int, wire::Header, std::span<const std::byte>, std::span<const std::byte>, rp::link::Slice) override {}
  void open_window(std::byte*, std::size_t) override {}
  bool has_window() const override { return true; }
  void window_word(int rank, const wire::WordRequest& request, std::uint64_t ticket) override {
    auto* const word = reinterpret_cast<std::byte*>(&words_[{rank, request.offset}]);
    done_.emplace_back(ticket, rp::objects::perform(word, request).before);
  }
  void window_read(int, std::uint64_t, std::span<std::byte> into, std::uint64_t ticket) override {
    if (into.size() <= 65536) std::fill(into.begin(), into.end(), std::byte{1});
    done_.emplace_back(ticket, 0);
  }
  void window_write(int, std::uint64_t, std::span<const std::byte>, std::uint64_t ticket) override {
    done_.emplace_back(ticket, 0);
  }
  bool progress(rp::transport::FrameSink& sink) override {
    if (!done_.empty()) {
      const auto [ticket, before] = done_.front();
      done_.pop_front();
      sink.on_window(ticket, before);
    } else if (!frames_.empty()) {
      deliver(sink);
    } else if (ends_ < engine_ranks) {  // the program has ended, and all ranks have left
      wire::Header head{.to = {rank_, 0}, .from = {ends_, 0}, .kind = ends_ == 0 ? Kind::shutdown : Kind::bye};
      sink.on_frame(head, {}, {});
      ++ends_;
    }
    return true;
  }
  void deliver(rp::transport::FrameSink& sink) {
    const auto in = frames_.get<FrameHead>();
    const wire::Header head{.to = {rank_, in.flags >> 31},
                            .from = {in.rank, in.link},
                            .token = in.token == 255 ? ~std::uint64_t{0} : in.token,
                            .kind = static_cast<Kind>(in.kind),
                            .flags = in.flags & 0x7fffffff};
    if (head.kind == Kind::shutdown || head.kind == Kind::bye) return;
    if (head.kind == Kind::signalled || head.kind == Kind::stop_running) return;  // they end this process
    const auto from = frames_.take(in.body);
    std::vector<std::uint64_t> aligned(from.size() / 8 + 1);
    if (!from.empty()) std::memcpy(aligned.data(), from.data(), from.size());
    rp::link::Slice slice;
    if (in.slice != 0) {
      const auto content = frames_.take(in.slice);
      auto bytes = std::make_unique<std::byte[]>(content.size() + 1);
      if (!content.empty()) std::memcpy(bytes.get(), content.data(), content.size());
      slice = {std::make_shared<rp::link::Segment>(std::move(bytes), content.size()), 0, content.size()};
    }
    const auto body = std::as_bytes(std::span(aligned)).first(from.size());
    if (in.rank == rank_ && in.link != 0) return engine_->send(head, body, {{}, std::move(slice)});
    sink.on_frame(head, body, std::move(slice));
  }
  bool quiet() const override { return true; }
  bool pending() override { return true; }
  void lose(int) override {}
  bool finish() override { return true; }

  const int rank_;
  rp::engine::Router* engine_ = nullptr;
  Source frames_;
  rp::transport::Hello hello_;
  std::map<std::pair<int, std::uint64_t>, std::uint64_t> words_;  // of the windows, as far as somebody asked for them
  std::deque<std::pair<std::uint64_t, std::uint64_t>> done_;      // ticket, and what the word was
  int ends_ = 0;
};

/// The first byte says which rank the engine is and how it finds windows; the rest are frames. Its children cannot be
/// forked. @throws BadFrame
inline void run_engine(std::span<const std::byte> bytes) {
  Source source(bytes);
  const auto choice = source.get<std::uint8_t>();
  rp::engine::Layout layout;
  layout.rank = choice & 1;
  layout.slots = {1, 1, 1};
  layout.hosts = {"here", "here", "there"};
  layout.window = static_cast<wire::WindowMode>(choice >> 1 & 1);
  auto page = rp::link::RankPage::create();
  auto wires = std::make_unique<Wires>(layout.rank, source.rest());
  Wires& kept = *wires;
  rp::engine::Signals signals(*page, layout.rank == 0, {});
  rp::engine::Engine engine(layout, page, {}, std::move(wires), rp::engine::Windows(page->magic), signals);
  kept.connect(engine);
  engine.run();
}

inline void decode_engine(std::span<const std::byte> bytes) {
  try {
    run_engine(bytes);
  } catch (const wire::BadFrame&) {
  }
}

/// Puts frames together.
class Script {
 public:
  explicit Script(int choice) : bytes_{static_cast<std::byte>(choice)} {}

  template <class... Parts>
  Script& add(Kind kind, std::uint8_t token, const Parts&... parts) {
    return put(kind, token, 0, {}, parts...);
  }
  template <class... Parts>
  Script& add_flags(Kind kind, std::uint8_t token, std::uint32_t flags, const Parts&... parts) {
    return put(kind, token, flags, {}, parts...);
  }
  template <class... Parts>
  Script& add_slice(Kind kind, std::uint8_t token, const Bytes& slice, const Parts&... parts) {
    return put(kind, token, 0, slice, parts...);
  }
  Script& from(std::int8_t rank, std::uint8_t link) {
    rank_ = rank;
    link_ = link;
    return *this;
  }
  const Bytes& bytes() const noexcept { return bytes_; }

 private:
  template <class... Parts>
  Script& put(Kind kind, std::uint8_t token, std::uint32_t flags, const Bytes& slice, const Parts&... parts) {
    Bytes body;
    (append(body, parts), ...);
    append(bytes_, FrameHead{static_cast<std::uint8_t>(kind), rank_, link_, token, flags,
                             static_cast<std::uint16_t>(body.size()), static_cast<std::uint16_t>(slice.size())});
    append(bytes_, body);
    append(bytes_, slice);
    return *this;
  }

  Bytes bytes_;
  std::int8_t rank_ = 0;
  std::uint8_t link_ = 1;
};

namespace detail {

inline Bytes some(std::size_t count, int value = 65) { return Bytes(count, static_cast<std::byte>(value)); }

inline wire::ObjectRequest asked(auto operation) {
  return {.request = 100, .operation = static_cast<std::uint32_t>(operation), .thread = 1};
}

inline Bytes text_items(int count) {
  Bytes bytes;
  for (int i = 0; i < count; ++i) {
    append(bytes, std::uint64_t{8});
    append(bytes, some(8));
  }
  return bytes;
}

inline Bytes container_item(std::uint64_t handles) {
  Bytes bytes;
  append(bytes, wire::ItemHead{.key = 2, .type = 1, .value = 6, .handles = handles});
  append(bytes, some(9));
  for (std::uint64_t i = 0; i < handles; ++i) append(bytes, wire::Pin{{0, 0, 5}, 6});
  return bytes;
}

/// A pool of three ranks: two jobs whose tasks end in every way, one that is cancelled, one that is reduced.
inline Bytes pool_script() {
  Script script(0);
  wire::PoolOpen open{};
  open.processes = 3;
  script.add(Kind::pool_open, 1, open, some(16));
  wire::JobOpen job{};
  job.pool = 1;
  job.chunksize = 1;
  job.retries = 1;
  script.add(Kind::job_open, 2, job, some(16)).add(Kind::job_items, 2, wire::JobItems{4}, text_items(4));
  script.add(Kind::job_end, 2).add(Kind::pool_ask, 1, wire::PoolAsk{9});
  // the scheduler calls the pool 1 and the job 2
  script.from(1, 0).add(Kind::worker_started, 1).add(Kind::run_done, 2, wire::RunDone{0, 1, 500}, some(12));
  script.add(Kind::task_error, 2, wire::TaskError{.task = 1, .work = 9, .rank = 1, .pid = 2, .host = {}}, some(8));
  wire::TaskLost lost{};
  lost.task = 2;
  lost.rank = 1;
  script.add(Kind::task_lost, 2, lost).add(Kind::task_lost, 2, lost);
  script.from(2, 0).add(Kind::run_done, 2, wire::RunDone{1, 1, 500}, some(12));
  script.add(Kind::runs_returned, 1, wire::ReturnedRun{2, 3, 1})
      .add(Kind::run_done, 2, wire::RunDone{3, 1, 5}, some(8));
  script.from(0, 1).add(Kind::job_open, 3, job, some(4)).add(Kind::job_items, 3, wire::JobItems{1}, text_items(1));
  script.add_flags(Kind::job_ask, 3, 1).from(1, 0).add_flags(Kind::rank_standing, 3, 2);
  job.fold = rp::detail::Fold::any_size;
  script.from(0, 1)
      .add(Kind::job_open, 4, job, some(4))
      .add_slice(Kind::job_items, 4, text_items(2), wire::JobItems{2});
  script.add(Kind::job_end, 4);
  script.from(1, 0).add(Kind::run_done, 4, wire::RunDone{0, 2, 5}).add(Kind::reduce_done, 4, some(8));
  script.from(0, 1).add(Kind::job_cancel, 4).add(Kind::pool_close, 1);
  script.from(1, 0).add(Kind::workers_failed, 1, wire::TaskError{}, some(8)).add(Kind::workers_gone, 1);
  script.add(Kind::client_gone, 1, rp::link::LeaseStates{});
  script.from(0, 1).add_flags(Kind::pool_terminate, 1, 15);
  return script.bytes();
}

/// What the scheduler says to a rank whose workers cannot be forked.
inline Bytes rank_script() {
  Script script(1);
  wire::WorkersStart start{};
  start.count = 2;
  script.from(0, 0).add(Kind::workers_start, 1, start, some(8));
  wire::RankJob job{};
  job.pool = 1;
  job.fold_runs = 1;
  script.add(Kind::rank_job, 2, job, some(8));
  script.add(Kind::rank_run, 2, wire::RunItems{0, 2, 1, 0, 0}, text_items(2));
  script.add_slice(Kind::rank_run, 2, text_items(2), wire::RunItems{2, 2, 1, 0, 0});
  job.fold = rp::detail::Fold::fixed_size;
  script.add(Kind::rank_job, 3, job, some(8)).add(Kind::rank_run, 3, wire::RunItems{0, 2, 1, 0, 0}, text_items(2));
  script.add(Kind::rank_reduce, 3, wire::RankReduce{0, 1}).from(2, 0).add(Kind::rank_partial, 3, some(8));
  script.from(0, 0).add_flags(Kind::rank_ask, 2, 1).add(Kind::rank_give_back, 1, wire::GiveBack{1});
  script.add(Kind::rank_job_end, 2).add(Kind::workers_stop, 1, wire::WorkersStop{9});
  wire::ProcessSpawn spawn{};
  script.add(Kind::process_spawn, 5, spawn, some(8)).add(Kind::process_kill, 5).add_flags(Kind::process_signal, 2, 15);
  script.add(Kind::process_ask, 7, wire::ProcessAsk{3}).add(Kind::lease_recall, 8, wire::LeaseRecall{3, 2, 1});
  script.add(Kind::window_map, 9, wire::WindowMap{0});
  script.from(1, 4).add(Kind::shared_get, 4, asked(0), wire::SharedGet{{0, 0}, 60});
  script.from(0, 0)
      .add(Kind::replica, 4, wire::SharedHome{0, 0}, some(24))
      .add(Kind::replica_drop, 4, wire::SharedHome{0, 0});
  return script.bytes();
}

inline Bytes process_script() {
  Script script(0);
  wire::ProcessStart start{};
  start.rank = -1;
  start.is_daemon = 1;
  start.parent.link = 1;
  script.add(Kind::process_start, 1, start, some(8));
  start.rank = 2;
  script.add(Kind::process_start, 2, start, some(8)).from(2, 0).add(Kind::process_gone, 2);
  script.from(0, 1).add(Kind::client_gone, 1, rp::link::LeaseStates{});
  return script.bytes();
}

/// Every operation of every object.
inline Bytes object_script(int choice) {
  using rp::detail::ObjectType;
  Script script(choice);
  const auto make = [&](std::uint8_t number, ObjectType type, const auto&... options) {
    script.add(Kind::object_make, number, wire::ObjectMake{type, 0, 50}, options...);
  };
  const auto ask = [&](std::uint8_t number, auto operation, const auto&... parts) {
    script.add(Kind::object_request, number, asked(operation), parts...);
  };
  make(1, ObjectType::queue, wire::QueueMake{2});
  ask(1, wire::QueueOp::put, wire::QueuePut{0, 1}, some(8), wire::Pin{{0, 0, 5}, 6});
  ask(1, wire::QueueOp::put, wire::QueuePut{0, 0}, some(8));
  ask(1, wire::QueueOp::put, wire::QueuePut{0, 1}, some(8), wire::Pin{{0, 0, 5}, 6});
  ask(1, wire::QueueOp::put, wire::QueuePut{1, 0}, some(8));
  ask(1, wire::QueueOp::look);
  ask(1, wire::QueueOp::watch);
  ask(1, wire::QueueOp::get, wire::QueueGet{1, 0, 0, 0});
  ask(1, wire::QueueOp::task_done);
  script.from(1, 2);
  for (int i = 0; i < 4; ++i) ask(1, wire::QueueOp::get, wire::QueueGet{2, 0, 1, 0});
  ask(1, wire::QueueOp::join);
  script.add(Kind::object_withdraw, 1, asked(wire::QueueOp::get))
      .add(Kind::lease_returned, 1, wire::LeaseReturned{2, 1, 5});
  ask(1, wire::QueueOp::lease_back, wire::QueueLeaseBack{1, 0, 5});
  script.add(Kind::object_hold, 1, wire::ObjectHold{51}).add(Kind::object_pin, 1, wire::ObjectPin{7, 1, 0});
  ask(1, wire::QueueOp::shut_down);
  ask(1, wire::QueueOp::shut_down_now);
  script.add(Kind::object_drop, 1).add(Kind::object_pin, 1, wire::ObjectPin{7, -1, 0});
  script.from(0, 1);

  make(2, ObjectType::pipe_end, wire::PipeMake{0});
  make(3, ObjectType::pipe_end, wire::PipeMake{2});
  ask(2, wire::PipeOp::own, wire::PipeOwn{1});
  ask(3, wire::PipeOp::own, wire::PipeOwn{1});
  ask(3, wire::PipeOp::send, wire::PipeMessage{0, 5, 3, 1}, some(11), wire::Pin{{0, 0, 5}, 6});
  ask(3, wire::PipeOp::send, wire::PipeMessage{0, 5, 3, 0}, some(11));
  ask(2, wire::PipeOp::consumed, wire::PipeConsumed{1});
  ask(2, wire::PipeOp::sync, wire::PipeConsumed{1});
  ask(2, wire::PipeOp::room);
  ask(2, wire::PipeOp::leave, wire::PipeConsumed{1});
  ask(2, wire::PipeOp::close);

  make(4, ObjectType::lock);
  for (const auto what : {wire::LockOp::lock, wire::LockOp::try_lock, wire::LockOp::holder, wire::LockOp::unlock,
                          wire::LockOp::lock, wire::LockOp::where, wire::LockOp::lock, wire::LockOp::abandon})
    ask(4, what);
  make(5, ObjectType::semaphore, wire::SemaphoreMake{1, 5});
  for (const auto what : {wire::SemaphoreOp::acquire, wire::SemaphoreOp::acquire, wire::SemaphoreOp::try_acquire,
                          wire::SemaphoreOp::value, wire::SemaphoreOp::where})
    ask(5, what);
  ask(5, wire::SemaphoreOp::release, wire::SemaphoreRelease{1});
  ask(5, wire::SemaphoreOp::grant, wire::SemaphoreRelease{1});
  ask(5, wire::SemaphoreOp::received, wire::SemaphoreReceived{100});
  make(6, ObjectType::barrier, wire::BarrierMake{2});
  for (const auto what : {wire::BarrierOp::wait, wire::BarrierOp::wait, wire::BarrierOp::state, wire::BarrierOp::wait,
                          wire::BarrierOp::abort, wire::BarrierOp::reset})
    ask(6, what);
  make(7, ObjectType::condition);
  ask(7, wire::ConditionOp::enter);
  ask(7, wire::ConditionOp::await, wire::ConditionTicket{1});
  ask(7, wire::ConditionOp::enter);
  ask(7, wire::ConditionOp::notify, wire::ConditionNotify{3});
  ask(7, wire::ConditionOp::leave, wire::ConditionTicket{2});
  make(8, ObjectType::event);
  for (const std::uint32_t what : {0u, 1u, 2u, 3u}) ask(8, what);

  make(9, ObjectType::dict);
  make(10, ObjectType::list);
  using wire::ContainerOp;
  for (const auto what : {ContainerOp::put, ContainerOp::get, ContainerOp::contains, ContainerOp::keys,
                          ContainerOp::values, ContainerOp::items, ContainerOp::size, ContainerOp::erase,
                          ContainerOp::put, ContainerOp::pop, ContainerOp::put, ContainerOp::begin_update,
                          ContainerOp::end_update, ContainerOp::clear, ContainerOp::begin_update, ContainerOp::abandon})
    ask(9, what, container_item(1));
  for (const auto what :
       {ContainerOp::insert, ContainerOp::get, ContainerOp::values, ContainerOp::size, ContainerOp::put,
        ContainerOp::pop, ContainerOp::insert, ContainerOp::begin_update, ContainerOp::end_update, ContainerOp::clear,
        ContainerOp::insert, ContainerOp::begin_update, ContainerOp::abandon})
    ask(10, what, std::int64_t{0}, container_item(1));
  make(11, ObjectType::value, wire::WordsMake{64, 1, 0});
  ask(11, wire::WordsOp::word, wire::WordRequest{8, wire::WordType::f64, wire::WordOp::fetch_add, 1, 0});
  ask(11, wire::WordsOp::read, wire::WordsRange{0, 16});
  ask(11, wire::WordsOp::write, wire::WordsRange{0, 16}, some(16));
  ask(11, wire::WordsOp::exchange, wire::WordsRange{0, 16}, some(16));
  ask(11, wire::WordsOp::compare_exchange, wire::WordsRange{0, 16}, some(32));
  ask(11, wire::LockOp::where);

  make(12, ObjectType::shared);
  ask(12, wire::SharedOp::put, some(24, 1), wire::Pin{{0, 0, 5}, 6}, wire::SharedTail{24, 1});
  script.add(Kind::shared_get, 12, asked(0), wire::SharedGet{{0, 0}, 60});
  script.from(1, 0).add(Kind::replica_ask, 12, wire::SharedHome{0, 0}).from(0, 1);
  script.add(Kind::shared_withdraw, 12, asked(0), wire::SharedGet{{0, 0}, 60});
  for (std::uint8_t number = 2; number <= 12; ++number) script.add(Kind::object_drop, number);
  script.add(Kind::client_gone, 1, rp::link::LeaseStates{});
  return script.bytes();
}

/// What children ask their own engine to do at the windows of others.
inline Bytes window_script() {
  Script script(3);
  script.from(1, 4);
  const wire::WindowLock lock{.rank = 0, .offset = 65536, .owner = 1u << 24};
  for (const auto what : {wire::LockOp::lock, wire::LockOp::try_lock, wire::LockOp::unlock})
    script.add(Kind::window_lock, 4, asked(what), lock);
  const wire::WindowSemaphore semaphore{.rank = 2, .count = 1, .offset = 65536, .most = 5};
  for (const auto what : {wire::SemaphoreOp::acquire, wire::SemaphoreOp::try_acquire, wire::SemaphoreOp::release})
    script.add(Kind::window_semaphore, 5, asked(what), semaphore);
  script.add(Kind::window_withdraw, 5, asked(0), semaphore);
  script.add(Kind::window_word, 6, asked(0), wire::WindowWord{.rank = 0, .word = {.offset = 65536}});
  script.add(Kind::window_read, 6, asked(0), wire::WindowRange{.rank = 0, .offset = 65536, .length = 64});
  script.add(Kind::window_write, 6, asked(0), wire::WindowRange{.rank = 2, .offset = 65536, .length = 8}, some(8));
  script.add_slice(Kind::window_write, 6, some(16), asked(0),
                   wire::WindowRange{.rank = 2, .offset = 65536, .length = 16});
  script.add(Kind::client_gone, 4, rp::link::LeaseStates{});
  return script.bytes();
}

}  // namespace detail

inline std::vector<Bytes> engine_scripts() {
  return {detail::pool_script(),    detail::rank_script(),    detail::process_script(),
          detail::object_script(0), detail::object_script(2), detail::window_script()};
}

}  // namespace fuzz
