// What user processes and transports read: packets, error records, results, items, handles, notes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/detail/many_outcomes.hpp>
#include <rankpool/detail/result_state.hpp>
#include <rankpool/errors.hpp>
#include <rankpool/insights.hpp>
#include <rankpool/rankpool.hpp>

#include "client/client.hpp"
#include "client/job_inbox.hpp"
#include "client/pipe_end.hpp"
#include "client/pool_client.hpp"
#include "damage.hpp"
#include "engine/item_store.hpp"
#include "transport/packet.hpp"
#include "wire/containers.hpp"
#include "wire/error_record.hpp"
#include "wire/insights.hpp"
#include "wire/messages.hpp"
#include "wire/pipe.hpp"
#include "wire/shared.hpp"

namespace fuzz {

namespace rp = rankpool;
namespace wire = rankpool::wire;

/// A user process whose engine listens to nothing it says.
class Deaf {
 public:
  static Deaf& instance() {
    static Deaf only;
    return only;
  }
  void drain() {
    rp::link::Incoming in;
    while (engine_.receive(in)) engine_.release();
    engine_.publish();
  }
  const std::shared_ptr<rp::client::Client>& client() const noexcept { return client_; }

 private:
  Deaf() : page_(rp::link::RankPage::create()) {
    auto [end, descriptors] = rp::link::LinkEnd::create();
    engine_ = std::move(end);
    client_ = std::make_shared<rp::client::Client>(rp::link::LinkEnd::open(descriptors, *page_),
                                                   rp::client::Identity{.ranks = 2, .host = {}, .name = {}},
                                                   [](rp::link::Incoming&) {});
    rp::client::Client::start(client_);
  }

  rp::link::RankPage page_;
  rp::link::LinkEnd engine_;
  std::shared_ptr<rp::client::Client> client_;
};

inline rp::link::Incoming incoming(wire::Kind kind, std::uint32_t flags, std::span<const std::byte> body) {
  rp::link::Incoming in;
  in.head.kind = kind;
  in.head.flags = flags;
  in.body = body;
  return in;
}

inline void read_packet(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> aligned(bytes.size() / 8 + 1);
  if (!bytes.empty()) std::memcpy(aligned.data(), bytes.data(), bytes.size());
  rp::transport::PacketReader reader(std::as_bytes(std::span(aligned)).first(bytes.size()), 1);
  for (rp::transport::Record record; reader.next(record);) {
  }
}

inline void read_error(std::span<const std::byte> bytes) {
  rp::detail::Reader in(bytes);
  try {
    std::rethrow_exception(wire::to_exception(wire::ErrorRecord::decode(in), {}));
  } catch (const rp::RemoteInfo&) {
  }
}

/// Items of a run, cut as a scheduler might.
inline void read_items(std::span<const std::byte> bytes) {
  Source source(bytes);
  const auto item_bytes = source.get<std::uint8_t>() % 3 * 4u;
  const auto first = source.get<std::uint64_t>();
  const auto count = source.get<std::uint64_t>();
  const auto cut = source.get<std::uint8_t>();
  rp::engine::ItemStore store(item_bytes);
  store.add(first, count, {source.rest(), {}});
  for (std::uint64_t at = 0; at < std::min<std::uint64_t>(count, 64);) {
    const std::uint64_t together = std::min<std::uint64_t>(1 + cut % 7, count - at);
    static_cast<void>(store.items(first + at, together).read());
    at += together;
  }
  store.ended(first, count);
}

/// A row of frames of one job: kind, flags, length, body.
template <class State>
void read_results(std::span<const std::byte> bytes) {
  constexpr wire::Kind kinds[] = {wire::Kind::job_results, wire::Kind::job_error,    wire::Kind::job_lost,
                                  wire::Kind::job_done,    wire::Kind::job_standing, wire::Kind::pool_ended};
  std::shared_ptr<State> state;
  if constexpr (std::is_constructible_v<State, std::size_t>) {
    state = std::make_shared<State>(std::size_t{100});
  } else {
    state = std::make_shared<State>();
  }
  rp::detail::JobInbox inbox(state, nullptr, [] {});
  inbox.expect(100);
  for (Source source(bytes); !source.empty() && !inbox.ended();) {
    const wire::Kind kind = kinds[source.get<std::uint8_t>() % std::size(kinds)];
    const auto flags = source.get<std::uint32_t>();
    const auto body = source.take(source.get<std::uint16_t>());
    auto in = incoming(kind, flags, body);
    inbox.on_frame(in);
  }
}

inline void read_container(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const wire::ItemView item = wire::take_item(bytes);
    wire::for_each_handle(item.handles, [](const wire::Pin&) {});
  }
}

inline void read_shared(std::span<const std::byte> bytes) {
  wire::for_each_handle(wire::view_shared(bytes).handles, [](const wire::Pin&) {});
}

inline void read_numbers(std::span<const std::byte> bytes) {
  auto in = incoming(wire::Kind::pool_numbers, 0, bytes);
  static_cast<void>(rp::to_string(rp::detail::read_insights(in)));
}

/// Handles that came in a message.
inline void read_handles(std::span<const std::byte> bytes) {
  Deaf& deaf = Deaf::instance();
  const struct Drain {
    ~Drain() { deaf.drain(); }
    Deaf& deaf;
  } drain{deaf};
  rp::detail::Reader in(bytes);
  static_cast<void>(rp::detail::Codec<rp::Queue<int>>::decode(in));
  static_cast<void>(rp::detail::Codec<rp::Event>::decode(in));
  static_cast<void>(rp::detail::Codec<rp::Lock>::decode(in));
  static_cast<void>(rp::detail::Codec<rp::Dict<std::string, int>>::decode(in));
  static_cast<void>(rp::detail::Codec<rp::Barrier>::decode(in));
}

/// What the home of a pipe tells the owner of an end: what, length, body.
inline void read_notes(std::span<const std::byte> bytes) {
  Deaf& deaf = Deaf::instance();
  deaf.drain();
  rp::client::PipeEnd end(deaf.client(), {0, 0, 77}, nullptr);
  end.own();
  for (Source source(bytes); !source.empty();) {
    const std::uint32_t what = source.get<std::uint8_t>();
    const auto body = source.take(source.get<std::uint16_t>());
    auto in = incoming(wire::Kind::object_note, what, body);
    end.on_note(what, in);
    if (!end.ready()) continue;
    try {
      const auto message = end.take(rp::link::UserLink::Clock::now(), [](const auto& next) {
        static_cast<void>(next.type_name());
        static_cast<void>(next.value());
      });
    } catch (const rp::Error&) {  // it was closed, or is somebody else's
    }
  }
}

using Decode = void (*)(std::span<const std::byte>);
constexpr Decode frame_decoders[] = {read_packet,
                                     read_error,
                                     read_items,
                                     read_results<rp::detail::ManyResults<int>>,
                                     read_results<rp::detail::ManyResults<std::string>>,
                                     read_results<rp::detail::ManyOutcomes<std::string>>,
                                     read_results<rp::detail::OneResult<std::string>>,
                                     read_container,
                                     read_shared,
                                     read_numbers,
                                     read_handles,
                                     read_notes};

/// The first byte says which decoder.
inline void decode_frame(std::span<const std::byte> bytes) {
  Source source(bytes);
  const std::size_t which = source.get<std::uint8_t>() % std::size(frame_decoders);
  try {
    frame_decoders[which](source.rest());
  } catch (const rp::Error&) {
  } catch (const wire::BadFrame&) {
  }
}

namespace detail {

inline Bytes packet() {
  rp::transport::Packet packet;
  wire::Header head;
  head.kind = wire::Kind::test;
  head.body = 21;
  const Bytes body(21, std::byte{5});
  packet.append_frame(rp::transport::RecordKind::frame, head, body, {});
  packet.append_ack(7);
  head.segment = 64;
  rp::transport::SegmentReference reference;
  reference.segment_size = reference.length = 64;
  reference.fd = 9;
  packet.append_frame(rp::transport::RecordKind::frame_by_reference, head, body, {}, &reference);
  packet.append_frame(rp::transport::RecordKind::frame_by_copy, head, body, {});
  return {packet.bytes().begin(), packet.bytes().end()};
}

inline Bytes error_record() {
  wire::ErrorRecord record;
  try {
    try {
      throw std::out_of_range("inner");
    } catch (...) {
      std::throw_with_nested(std::system_error(2, std::generic_category(), "outer"));
    }
  } catch (...) {
    record = wire::describe_current_exception();
  }
  record.stage = wire::ErrorRecord::Stage::call;
  record.arguments = "argument: 1";
  record.earlier_trace = "task 3 on rank 1";
  rp::detail::Buffer buffer;
  record.encode(buffer);
  return {buffer.data(), buffer.data() + buffer.size()};
}

inline Bytes items() {
  Bytes bytes{std::byte{0}};
  append(bytes, std::uint64_t{5});
  append(bytes, std::uint64_t{3});
  append(bytes, std::uint8_t{1});
  for (const std::uint64_t length : {8u, 0u, 16u}) {
    append(bytes, length);
    append(bytes, Bytes(length, std::byte{3}));
  }
  return bytes;
}

inline void add_frame(Bytes& all, std::uint8_t kind, const Bytes& body) {
  append(all, kind);
  append(all, std::uint32_t{1});
  append(all, static_cast<std::uint16_t>(body.size()));
  append(all, body);
}

/// Results 0 to 2, an error of task 3, a lost task 4, the end.
inline Bytes results(bool raw) {
  Bytes done;
  append(done, wire::RunDone{0, 3, 1000});
  for (int i = 0; i < 3; ++i) {
    if (!raw) {
      append(done, std::uint64_t{8 + 4});
      append(done, std::uint64_t{4});
    }
    append(done, i);
  }
  Bytes error;
  append(error, wire::TaskError{.task = 3, .work = 5, .rank = 1, .pid = 7, .host = {}});
  append(error, error_record());
  Bytes lost;
  append(lost,
         wire::TaskLost{.task = 4, .wait_status = 9, .pid = 7, .rank = 1, .attempts = 1, .host = {}, .timed_out = 0});
  Bytes all;
  add_frame(all, 0, done);
  add_frame(all, 1, error);
  add_frame(all, 2, lost);
  add_frame(all, 4, {});
  add_frame(all, 3, {});
  return all;
}

inline Bytes container_items() {
  Bytes bytes;
  for (int i = 0; i < 2; ++i) {
    append(bytes, wire::ItemHead{.key = 3, .type = 1, .value = 5, .handles = 1});
    append(bytes, Bytes(9, std::byte{65}));
    append(bytes, wire::Pin{{0, 0, 5}, 6});
  }
  return bytes;
}

inline Bytes shared_value() {
  Bytes bytes(40, std::byte{1});
  append(bytes, wire::Pin{{0, 0, 5}, 6});
  append(bytes, wire::SharedTail{40, 1});
  return bytes;
}

inline Bytes numbers() {
  Bytes bytes;
  append(bytes, wire::PoolInsights{.submitted = 10, .done = 9, .ranks = 2});
  append(bytes, wire::RankInsights{.rank = 0, .workers = 1});
  append(bytes, wire::RankInsights{.rank = 1, .workers = 2});
  return bytes;
}

inline Bytes handles() {
  static_cast<void>(Deaf::instance());
  rp::detail::Buffer buffer;
  {
    const auto name = [&](rp::detail::ObjectType type, std::uint64_t number, std::uint32_t more) {
      const struct {
        rp::detail::ObjectType type;
        std::uint32_t more;
        wire::ObjectId id;
        std::uint64_t pin;
      } saved{type, more, {1, 0, number}, 3};
      buffer.append(&saved, sizeof saved);
      std::memset(buffer.extend(more), 0, more);
    };
    name(rp::detail::ObjectType::queue, 11, 8);
    *buffer.extend(1) = std::byte{0};  // is this handle closed?
    name(rp::detail::ObjectType::event, 12, 0);
    name(rp::detail::ObjectType::lock, 13, 16);
    name(rp::detail::ObjectType::dict, 14, 0);
    name(rp::detail::ObjectType::barrier, 15, 8);
  }
  Deaf::instance().drain();
  return {buffer.data(), buffer.data() + buffer.size()};
}

inline Bytes notes() {
  const auto add = [](Bytes& all, wire::PipeNote what, const Bytes& body) {
    append(all, static_cast<std::uint8_t>(what));
    append(all, static_cast<std::uint16_t>(body.size()));
    append(all, body);
  };
  Bytes start;
  append(start, wire::PipeStart{.turn = 1, .first = 0});
  Bytes message;
  append(message, wire::PipeMessage{.count = 0, .type = 5, .name_bytes = 3, .objects = 1});
  append(message, Bytes(11, std::byte{66}));
  append(message, wire::Pin{{0, 0, 5}, 6});
  Bytes closed;
  append(closed, wire::PipeEndNote{2});
  Bytes all;
  add(all, wire::PipeNote::start, start);
  add(all, wire::PipeNote::message, message);
  add(all, wire::PipeNote::message, message);
  add(all, wire::PipeNote::peer_closed, closed);
  add(all, wire::PipeNote::taken, {});
  return all;
}

}  // namespace detail

/// One for each decoder.
inline std::vector<Bytes> frames() {
  const std::vector<Bytes> contents{detail::packet(),       detail::error_record(),    detail::items(),
                                    detail::results(true),  detail::results(false),    detail::results(false),
                                    detail::results(false), detail::container_items(), detail::shared_value(),
                                    detail::numbers(),      detail::handles(),         detail::notes()};
  static_assert(std::size(frame_decoders) == 12);
  std::vector<Bytes> all;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    all.push_back({static_cast<std::byte>(i)});
    append(all.back(), contents[i]);
  }
  return all;
}

}  // namespace fuzz
