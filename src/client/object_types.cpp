#include "client/object_types.hpp"

#include <utility>

#include "client/lock.hpp"
#include "client/pipe_end.hpp"
#include "client/queue.hpp"
#include "client/semaphore.hpp"
#include "client/shared.hpp"
#include "client/words.hpp"

namespace rankpool::client {

using wire::ObjectType;

std::shared_ptr<RemoteObject> new_remote_object(std::shared_ptr<Client> client, ObjectType type, wire::ObjectId id,
                                                detail::Reader* saved) {
  switch (type) {
    case ObjectType::queue:
      return std::make_shared<Queue>(std::move(client), id, saved);
    case ObjectType::pipe_end:
      return std::make_shared<PipeEnd>(std::move(client), id, saved);
    case ObjectType::lock:
    case ObjectType::recursive_lock:
      return std::make_shared<LockObject>(std::move(client), type, id, saved);
    case ObjectType::semaphore:
      return std::make_shared<SemaphoreObject>(std::move(client), type, id, saved);
    case ObjectType::value:
    case ObjectType::array:
      return std::make_shared<WordsObject>(std::move(client), type, id, saved);
    case ObjectType::shared:
      return std::make_shared<SharedObject>(std::move(client), id);
    default:  // all that is to know of it is known at its home
      return std::make_shared<RemoteObject>(std::move(client), type, id);
  }
}

const char* type_name(ObjectType type) noexcept {
  switch (type) {
    case ObjectType::event:
      return "Event";
    case ObjectType::barrier:
      return "Barrier";
    case ObjectType::condition:
      return "Condition";
    case ObjectType::queue:
      return "Queue";
    case ObjectType::pipe_end:
      return "Connection";
    case ObjectType::lock:
      return "Lock";
    case ObjectType::recursive_lock:
      return "RLock";
    case ObjectType::semaphore:
      return "Semaphore";
    case ObjectType::value:
      return "Value";
    case ObjectType::array:
      return "Array";
    case ObjectType::dict:
      return "dict";
    case ObjectType::list:
      return "list";
    case ObjectType::space:
      return "space";
    case ObjectType::shared:
      return "Shared";
    case ObjectType::none:
      break;
  }
  return "object";
}

}  // namespace rankpool::client
