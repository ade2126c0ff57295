#include "client/remote_object.hpp"

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

namespace rankpool::client {
namespace {

using wire::Kind;
using wire::Status;

/// Waits for the answer to one request.
class Call final : public Receiver {
 public:
  void on_frame(link::Incoming& in) override {
    reply.status = static_cast<Status>(in.head.flags);
    reply.payload = link::Payload({in.body, std::move(in.slice)});
    done.store(true, std::memory_order_release);
  }
  std::atomic<bool> done{false};
  Reply reply;
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

/// In a message, before what RemoteObject::save writes.
struct SavedHandle {
  wire::ObjectType type{};
  std::uint32_t more = 0;
  wire::ObjectId id{};
  std::uint64_t pin = 0;  ///< its number if this handle stands for the object by itself; else the sender keeps it alive
};

thread_local std::span<const wire::Pin> fresh_pins;
thread_local bool fresh_pins_active = false;

/// The pin of a handle that is being decoded; 0: none.
std::uint64_t take_pin(std::uint64_t written) {
  if (!fresh_pins_active) return written;
  if (fresh_pins.empty()) throw SerializationError("a message has more handles than it lists");
  const std::uint64_t number = fresh_pins.front().number;
  fresh_pins = fresh_pins.subspan(1);
  return number;
}

}  // namespace

FreshPins::FreshPins(std::span<const wire::Pin> pins) noexcept
    : outer_(std::exchange(fresh_pins, pins)), outer_active_(std::exchange(fresh_pins_active, true)) {}

FreshPins::~FreshPins() {
  fresh_pins = outer_;
  fresh_pins_active = outer_active_;
}

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
    send(Kind::object_drop, {});
  } catch (...) {
    // the engine is gone, and the object with it
  }
}

std::string RemoteObject::name() const {
  return std::string(type_name(type_)) + " " + std::to_string(id_.number >> 32) + "." +
         std::to_string(id_.number & 0xffffffffu) + " of rank " + std::to_string(id_.rank);
}

void RemoteObject::send(Kind kind, std::span<const std::byte> fixed, std::span<const std::byte> more,
                        detail::Buffer* payload) {
  const wire::Header head{.to = {id_.rank, 0}, .token = id_.number, .kind = kind};
  std::vector<std::byte> joined;
  if (!more.empty()) {
    joined.reserve(fixed.size() + more.size());
    joined.insert(joined.end(), fixed.begin(), fixed.end());
    joined.insert(joined.end(), more.begin(), more.end());
    fixed = joined;
  }
  client_->settle(id_.rank);
  client_->send(head, fixed, payload);
}

std::uint64_t RemoteObject::send_request(std::uint64_t request, std::uint32_t operation,
                                         std::span<const std::byte> fixed, detail::Buffer* payload) {
  const std::uint64_t before = client_->unsettled();
  const wire::ObjectRequest head{.request = request, .operation = operation, .thread = this_thread()};
  send(Kind::object_request, wire::bytes_of(head), fixed, payload);
  return before;
}

Reply RemoteObject::ask(std::uint32_t operation, std::span<const std::byte> fixed, detail::Buffer* payload) {
  return *ask_until({}, operation, fixed, payload);
}

std::optional<Reply> RemoteObject::ask_until(Deadline deadline, std::uint32_t operation,
                                             std::span<const std::byte> fixed, detail::Buffer* payload) {
  const auto call = std::make_shared<Call>();
  const std::uint64_t request = client_->new_token();
  client_->add(request, call);
  const struct Forget {
    ~Forget() { client.remove(token); }
    Client& client;
    std::uint64_t token;
  } forget{*client_, request};

  const std::uint64_t told = send_request(request, operation, fixed, payload);
  const auto done = [&] { return call->done.load(std::memory_order_acquire); };
  if (!client_->link().wait(done, deadline)) {
    const wire::ObjectRequest back{.request = request, .operation = operation, .thread = this_thread()};
    send(Kind::object_withdraw, wire::bytes_of(back));
    client_->link().wait(done, {});  // that it was taken back, or the answer that was faster
  }
  client_->settled(id_.rank, told);

  Reply& reply = call->reply;
  switch (reply.status) {
    case Status::withdrawn:
      return std::nullopt;
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
  send_request(0, operation, fixed, payload);
  client_->unsettle(id_.rank);
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

std::shared_ptr<RemoteObject> load_object(detail::Reader& in, wire::ObjectType type) {
  SavedHandle saved;
  in.read(&saved, sizeof saved);
  detail::Reader more(in.take(saved.more));
  if (saved.type != type)
    throw SerializationError(std::string("a handle of a ") + type_name(type) + " was expected, not of a " +
                             type_name(saved.type));
  auto client = Client::get();
  std::shared_ptr<RemoteObject> object;
  {
    const std::lock_guard lock(table().mutex);
    auto& known = table().objects[key_of(saved.id)];
    object = known.lock();
    if (!object) {
      object = new_remote_object(client, type, saved.id, &more);
      known = object;
      client->add_weak(object->note_token(), object);
      object->send(Kind::object_hold, wire::bytes_of(wire::ObjectHold{object->note_token()}));
    }
  }
  if (const std::uint64_t pin = take_pin(saved.pin); pin != 0)
    object->send(Kind::object_pin, wire::bytes_of(wire::ObjectPin{pin, -1, 0}));
  return object;
}

}  // namespace rankpool::client

namespace rankpool::detail {

void encode_handle(Buffer& out, const ObjectPtr& object) { client::save_object(out, object); }
ObjectPtr decode_handle(Reader& in, ObjectType type) { return client::load_object(in, type); }

}  // namespace rankpool::detail
