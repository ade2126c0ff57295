#include "objects/make_object.hpp"

#include "objects/barrier.hpp"
#include "objects/condition.hpp"
#include "objects/dict.hpp"
#include "objects/event.hpp"
#include "objects/list.hpp"
#include "objects/lock.hpp"
#include "objects/pipe_end.hpp"
#include "objects/queue.hpp"
#include "objects/semaphore.hpp"
#include "objects/shared_value.hpp"
#include "objects/words.hpp"
#include "wire/bad_frame.hpp"
#include "wire/barrier.hpp"
#include "wire/messages.hpp"
#include "wire/queue.hpp"

namespace rankpool::objects {

std::unique_ptr<Object> make_object(wire::ObjectType type, [[maybe_unused]] std::uint64_t number,
                                    std::span<const std::byte> body, [[maybe_unused]] Home& home) {
  switch (type) {
    case wire::ObjectType::event:
      return std::make_unique<Event>();
    case wire::ObjectType::queue:
      return std::make_unique<Queue>(number, wire::take<wire::QueueMake>(body).maxsize);
    case wire::ObjectType::pipe_end:
      return std::make_unique<PipeEnd>(number, wire::take<wire::PipeMake>(body).peer, home);
    case wire::ObjectType::barrier:
      return std::make_unique<Barrier>(wire::take<wire::BarrierMake>(body).parties);
    case wire::ObjectType::condition:
      return std::make_unique<Condition>();
    case wire::ObjectType::dict:
    case wire::ObjectType::space:
      return std::make_unique<Dict>();
    case wire::ObjectType::list:
      return std::make_unique<List>();
    case wire::ObjectType::lock:
    case wire::ObjectType::recursive_lock:
      return std::make_unique<Lock>(number);
    case wire::ObjectType::semaphore:
      return std::make_unique<Semaphore>(number, body);
    case wire::ObjectType::value:
    case wire::ObjectType::array:
      return std::make_unique<Words>(number, body, home);
    case wire::ObjectType::shared:
      return std::make_unique<SharedValue>(number);
    default:
      throw wire::BadFrame("a process asked for an object of an unknown type");
  }
}

}  // namespace rankpool::objects
