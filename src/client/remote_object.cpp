#include "client/remote_object.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <rankpool/detail/handle.hpp>
#include <rankpool/errors.hpp>

#include "client/object_types.hpp"
#include "wire/messages.hpp"
#include "wire/one_sided.hpp"
#include "wire/words.hpp"

namespace rankpool::client {
namespace {

using wire::Kind;
using wire::Status;

/// Waits for the answer to one request.
class Call final : public Receiver {
 public:
  /// `home`: who must live to answer it.
  explicit Call(int home) : home_(home) {}
  void on_rank_lost(int rank) override {
    if (rank != home_ || done.load(std::memory_order_relaxed)) return;
    reply.status = Status::lost;
    done.store(true, std::memory_order_release);
  }
  void on_frame(link::Incoming& in) override {
    reply.status = static_cast<Status>(in.head.flags);
    reply.payload = link::Payload({in.body, std::move(in.slice)});
    done.store(true, std::memory_order_release);
  }
  std::atomic<bool> done{false};
  Reply reply;

 private:
  const int home_;
};

/// What this process has handles of.
class Table {
 public:
  using Key = std::pair<std::int32_t, std::uint64_t>;
  std::mutex mutex;
  std::map<Key, std::weak_ptr<RemoteObject>> objects;
};
Table& table() {
  static auto* const all = new Table;  // handles in static objects outlive every other static object
  return *all;
}

Table::Key key_of(const wire::ObjectId& id) { return {id.rank, id.number}; }

/// A value or array can be named as the lock it has.
bool is_a(wire::ObjectType type, wire::ObjectType wanted) noexcept {
  using wire::ObjectType;
  return type == wanted ||
         (wanted == ObjectType::recursive_lock && (type == ObjectType::value || type == ObjectType::array));
}

/// In a message, before what RemoteObject::save writes.
struct SavedHandle {
  wire::ObjectType type{};
  std::uint32_t more = 0;
  wire::ObjectId id{};
  std::uint64_t pin = 0;  ///< its number if this handle stands for the object by itself; else the sender keeps it alive
};

}  // namespace

std::uint32_t this_thread() noexcept {
  static std::atomic<std::uint32_t> last{0};
  thread_local const std::uint32_t mine = ++last;
  return mine;
}

RemoteObject::RemoteObject(std::shared_ptr<Client> client, wire::ObjectType type, wire::ObjectId id)
    : client_(std::move(client)), type_(type), id_(id), note_token_(client_->new_token()) {}

RemoteObject::~RemoteObject() {
  try {
    client_->remove(note_token_);
    {
      const std::lock_guard lock(table().mutex);
      const auto found = table().objects.find(key_of(id_));
      if (found != table().objects.end() && found->second.expired()) table().objects.erase(found);
    }
    if (held_) send(Kind::object_drop, {});
  } catch (...) {
    // the engine is gone, and the object with it
  }
}

std::string RemoteObject::name() const {
  return std::string(type_name(type_)) + " " + std::to_string(id_.number >> 32) + "." +
         std::to_string(id_.number & 0xffffffffu) + " of rank " + std::to_string(id_.rank);
}

void RemoteObject::throw_damaged() const {
  throw SerializationError(name() +
                           ": the message that its handle came in is damaged: it names a place that cannot be");
}

void RemoteObject::throw_lost() const {
  throw RankLost(name() + client_->host_of_lost(id_.rank) +
                     ": its home has died with that rank, and what was in it is lost; make another one on a rank that "
                     "lives",
                 id_.rank);
}

void RemoteObject::send(Kind kind, std::span<const std::byte> fixed, std::span<const std::byte> more,
                        detail::Buffer* payload) {
  if (kind == Kind::object_make || kind == Kind::object_hold) held_ = true;
  const int to = receiver_of(kind);
  const wire::Header head{.to = {to, 0}, .token = id_.number, .kind = kind};
  std::array<std::byte, 128> few;
  std::vector<std::byte> many;
  if (!more.empty()) {
    const std::size_t size = fixed.size() + more.size();
    if (size > few.size()) many.resize(size);
    std::byte* const joined = many.empty() ? few.data() : many.data();
    std::memcpy(joined, fixed.data(), fixed.size());
    std::memcpy(joined + fixed.size(), more.data(), more.size());
    fixed = {joined, size};
  }
  client_->settle(to);
  client_->send(head, fixed, payload);
}

int RemoteObject::receiver_of(Kind kind) const noexcept {
  return wire::is_for_own_engine(kind) ? client_->identity().rank : id_.rank;
}

std::uint64_t RemoteObject::send_request(Kind kind, std::uint64_t request, std::uint32_t operation,
                                         std::span<const std::byte> fixed, detail::Buffer* payload) {
  const std::uint64_t before = client_->unsettled();
  const wire::ObjectRequest head{.request = request, .operation = operation, .thread = this_thread()};
  send(kind, wire::bytes_of(head), fixed, payload);
  return before;
}

Reply RemoteObject::ask(std::uint32_t operation, std::span<const std::byte> fixed, detail::Buffer* payload) {
  return *ask_until({}, operation, fixed, payload);
}

std::optional<Reply> RemoteObject::ask_until(Deadline deadline, std::uint32_t operation,
                                             std::span<const std::byte> fixed, detail::Buffer* payload) {
  return ask_by(Kind::object_request, deadline, operation, fixed, payload);
}

std::uint64_t RemoteObject::load_word(std::uint64_t offset) {
  const wire::WordRequest word{.offset = offset, .type = wire::WordType::u64, .op = wire::WordOp::load};
  const wire::WindowWord asked{.rank = id_.rank, .word = word};
  return ask_engine(Kind::window_word, wire::bytes_of(asked)).as<wire::WordResult>().before;
}

std::optional<Reply> RemoteObject::ask_by(Kind kind, Deadline deadline, std::uint32_t operation,
                                          std::span<const std::byte> fixed, detail::Buffer* payload) {
  // of a shared value there may be copies elsewhere
  const bool needs_home = kind != Kind::shared_get;
  const auto call = std::make_shared<Call>(needs_home ? id_.rank : -1);
  const std::uint64_t request = client_->new_token();
  client_->add(request, call);
  const struct Forget {
    ~Forget() { client.remove(token); }
    Client& client;
    std::uint64_t token;
  } forget{*client_, request};

  if (needs_home) require_home();
  const std::uint64_t told = send_request(kind, request, operation, fixed, payload);
  const auto done = [&] { return call->done.load(std::memory_order_acquire); };
  if (!client_->link().wait(done, deadline)) {
    const wire::ObjectRequest back{.request = request, .operation = operation, .thread = this_thread()};
    if (kind == Kind::object_request) {
      send(Kind::object_withdraw, wire::bytes_of(back));
    } else {
      const Kind withdraw = kind == Kind::shared_get ? Kind::shared_withdraw : Kind::window_withdraw;
      send(withdraw, wire::bytes_of(back), fixed);
    }
    client_->link().wait(done, {});  // that it was taken back, or the answer that was faster
  }
  client_->settled(receiver_of(kind), told);

  Reply& reply = call->reply;
  reply.request = request;
  switch (reply.status) {
    case Status::withdrawn:
      return std::nullopt;
    case Status::lost:
      throw_lost();
    case Status::gone:
      throw Closed(name() + ": it no longer exists: all its handles have gone, or the process that made it was lost");
    case Status::refused: {
      const auto text = reply.bytes();
      throw std::logic_error(name() + ": " + std::string(reinterpret_cast<const char*>(text.data()), text.size()));
    }
    default:
      return std::move(reply);
  }
}

void RemoteObject::tell(std::uint32_t operation, std::span<const std::byte> fixed, detail::Buffer* payload) {
  require_home();
  send_request(Kind::object_request, 0, operation, fixed, payload);
  client_->unsettle(id_.rank);
}

void RemoteObject::post(std::uint32_t operation, std::span<const std::byte> fixed, detail::Buffer* payload) {
  const wire::ObjectRequest request{.request = 0, .operation = operation, .thread = this_thread()};
  std::vector<std::byte> body(sizeof request + fixed.size());
  std::memcpy(body.data(), &request, sizeof request);
  if (!fixed.empty()) std::memcpy(body.data() + sizeof request, fixed.data(), fixed.size());
  client_->send({.to = {id_.rank, 0}, .token = id_.number, .kind = Kind::object_request}, body, payload);
}

void RemoteObject::on_note(std::uint32_t, link::Incoming&) {
  throw wire::BadFrame("an object was sent a note that it does not understand");
}

void RemoteObject::announce(const detail::Buffer::Cargo& cargo) {
  for (const auto& carried : cargo)
    carried.object->send(Kind::object_pin, wire::bytes_of(wire::ObjectPin{carried.pin, 1, 0}));
}

std::vector<wire::Pin> RemoteObject::pins_of(const detail::Buffer::Cargo& cargo) {
  std::vector<wire::Pin> pins;
  for (const auto& carried : cargo) pins.push_back({carried.object->id(), carried.pin});
  return pins;
}

class Question::Answer final : public Receiver {
 public:
  explicit Answer(int home) : home_(home) {}
  void on_frame(link::Incoming&) override { here.store(true, std::memory_order_release); }
  void on_rank_lost(int rank) override {
    if (rank == home_) here.store(true, std::memory_order_release);
  }
  std::atomic<bool> here{false};

 private:
  const int home_;
};

Question::Question(std::shared_ptr<RemoteObject> object, std::uint32_t operation)
    : object_(std::move(object)),
      operation_(operation),
      request_(object_->client().new_token()),
      answer_(std::make_shared<Answer>(object_->id().rank)) {
  object_->client().add(request_, answer_);
  if (object_->lost()) answer_->here = true;
  object_->send_request(Kind::object_request, request_, operation, {}, nullptr);
}

Question::~Question() {
  try {
    object_->client().remove(request_);
    if (answered()) return;
    const wire::ObjectRequest back{.request = request_, .operation = operation_, .thread = this_thread()};
    object_->send(Kind::object_withdraw, wire::bytes_of(back));
  } catch (...) {
    // the engine is gone, and the question with it
  }
}

bool Question::answered() const noexcept { return answer_->here.load(std::memory_order_acquire); }

std::shared_ptr<RemoteObject> make_object(wire::ObjectType type, std::span<const std::byte> options) {
  auto client = Client::get();
  const wire::ObjectId id{.rank = client->identity().rank, .number = client->new_object_number()};
  Client& own = *client;
  std::shared_ptr<RemoteObject> object = new_remote_object(std::move(client), type, id, nullptr);
  {
    const std::lock_guard lock(table().mutex);
    table().objects.emplace(key_of(id), object);
  }
  own.add_weak(object->note_token(), object);
  object->send(Kind::object_make, wire::bytes_of(wire::ObjectMake{type, 0, object->note_token()}), options);
  return object;
}

void save_object(detail::Buffer& out, const std::shared_ptr<RemoteObject>& object) {
  if (!object) throw std::logic_error("an empty handle cannot be sent: it was moved from");
  const std::size_t at = out.size();
  const std::uint64_t pin = out.decoded_once() ? object->client().new_pin() : 0;
  SavedHandle saved{.type = object->type(), .more = 0, .id = object->id(), .pin = pin};
  out.extend(sizeof saved);
  object->save(out);
  saved.more = static_cast<std::uint32_t>(out.size() - at - sizeof saved);
  std::memcpy(out.data() + at, &saved, sizeof saved);
  out.carry({object, pin});
}

namespace {
thread_local const char* handles_refused = nullptr;
}

RefuseHandles::RefuseHandles(const char* why) noexcept { handles_refused = why; }
RefuseHandles::~RefuseHandles() { handles_refused = nullptr; }

std::shared_ptr<RemoteObject> load_object(detail::Reader& in, wire::ObjectType type) {
  if (handles_refused != nullptr) throw SerializationError(handles_refused);
  SavedHandle saved;
  in.read(&saved, sizeof saved);
  detail::Reader more(in.take(saved.more));
  if (!is_a(saved.type, type))
    throw SerializationError(std::string("a handle of a ") + type_name(type) + " was expected, not of a " +
                             type_name(saved.type));
  auto client = Client::get();
  if (saved.id.rank < 0 || saved.id.rank >= client->identity().ranks)
    throw SerializationError(std::string("a handle of a ") + type_name(type) +
                             " names a rank that does not exist: the message is damaged");
  std::shared_ptr<RemoteObject> object;
  {
    const std::lock_guard lock(table().mutex);
    if (const auto known = table().objects.find(key_of(saved.id)); known != table().objects.end())
      object = known->second.lock();
  }
  if (!object) {
    // Without the lock, which the destructor needs if the rest is damaged; so another thread may be faster.
    const std::shared_ptr<RemoteObject> fresh = new_remote_object(client, saved.type, saved.id, &more);
    const std::lock_guard lock(table().mutex);
    auto& known = table().objects[key_of(saved.id)];
    object = known.lock();
    if (!object) {
      known = object = fresh;
      client->add_weak(object->note_token(), object);
      object->send(Kind::object_hold, wire::bytes_of(wire::ObjectHold{object->note_token()}));
    }
  }
  if (object->type() != saved.type)
    throw SerializationError("a message is damaged: it has a handle of a " + std::string(type_name(saved.type)) +
                             " that is a " + type_name(object->type()));
  if (saved.pin != 0) object->send(Kind::object_pin, wire::bytes_of(wire::ObjectPin{saved.pin, -1, 0}));
  return object;
}

}  // namespace rankpool::client

namespace rankpool::detail {

void encode_handle(Buffer& out, const ObjectPtr& object) { client::save_object(out, object); }
ObjectPtr decode_handle(Reader& in, ObjectType type) { return client::load_object(in, type); }

}  // namespace rankpool::detail
