// How the type of a callable becomes code that another process of the same binary can find and run.
#pragma once

#include <cxxabi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <typeinfo>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/callable_codec.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/preview.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

/// Where a dispatcher reports the tasks of a run, one after the other.
class TaskSink {
 public:
  /// The next task begins; what it appends to the buffer returned is its result. Null: neither it nor the rest of the
  /// run may begin.
  virtual Buffer* begin() = 0;
  /// It ended with a value, which is now in the buffer.
  virtual void value() = 0;
  /// It ended with the exception that is being handled now. `stage` says what was being done, `arguments` is a line
  /// that says with what; it may be empty.
  enum class Stage : std::uint8_t { decode_arguments, call, encode_result };
  virtual void error(Stage stage, std::string arguments) = 0;

 protected:
  ~TaskSink() = default;
};

/// More of a dispatcher that reduces the values of its tasks to one, which stays with the callable.
struct FoldEntry {
  /// Reduces an encoded value, of the same job in another process, into that of this callable. Sets the stage before
  /// each step, as a TaskSink is told it.
  void (*merge)(void* callable, Reader& partial, TaskSink::Stage& stage);
  /// Appends the value, if there is any. Without `keep` the callable has none any more.
  void (*flush)(void* callable, Buffer& out, bool keep);
};

/// One instantiated dispatcher. Static, linked into the registry of the process before `main`.
struct Entry {
  void* (*load)(Reader& in);  ///< decodes a callable
  void (*destroy)(void* callable) noexcept;
  void (*run)(void* callable, Reader& items, std::uint64_t count, TaskSink& sink);  ///< runs `count` tasks
  const std::type_info* callable;                                                   ///< for messages only
  const FoldEntry* fold = nullptr;                                                  ///< null: each task has a result
  Entry* next = nullptr;
  std::atomic<std::uint64_t> handle{0};
};

/// Adds the entry to the registry of the process (one object, whatever the visibility of the user's libraries).
void link_entry(Entry& entry) noexcept;
/// Takes it out again: its library is being unloaded, or the process ends.
void unlink_entry(Entry& entry) noexcept;
/// Build-id of the module mixed with the offset in it; computed once. @throws UnknownFunction
std::uint64_t handle_of(Entry& entry);
/// @throws UnknownFunction
const Entry& find_entry(std::uint64_t handle);

/// Keeps an entry in the registry from before `main` for as long as its module is loaded.
class Registration {
 public:
  explicit Registration(Entry& entry) noexcept : entry_(entry) { link_entry(entry); }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  ~Registration() { unlink_entry(entry_); }

  Entry& entry() const noexcept { return entry_; }

 private:
  Entry& entry_;
};

/// The code for tasks that call an F with an Item (Invocation says how). Items and results of a run lie one after the
/// other as encode_item writes them; void results take no bytes.
template <class F, class Item, bool unpack>
struct Dispatcher {
  static_assert(std::is_same_v<F, std::decay_t<F>> && std::is_same_v<Item, std::decay_t<Item>>);
  using R = Result<F, Item, unpack>;

  static Entry entry;
  static const Registration registration;

  static void* load(Reader& in) {
    Input input(in);
    return new F(make_callable<F>(input));
  }
  static void destroy(void* callable) noexcept { delete static_cast<F*>(callable); }
  static void run(void* callable, Reader& items, std::uint64_t count, TaskSink& sink);
};

template <class F, class Item, bool unpack>
constinit Entry Dispatcher<F, Item, unpack>::entry{
    .load = &load, .destroy = &destroy, .run = &run, .callable = &typeid(F)};
template <class F, class Item, bool unpack>
const Registration Dispatcher<F, Item, unpack>::registration{entry};

template <class F, class Item, bool unpack>
void Dispatcher<F, Item, unpack>::run(void* callable, Reader& items, std::uint64_t count, TaskSink& sink) {
  F& f = *static_cast<F*>(callable);
  for (; count != 0; --count) {
    Buffer* const begun = sink.begin();
    if (begun == nullptr) return;
    Buffer& out = *begun;
    const std::size_t mark = out.size();
    const Reader arguments = items;
    auto stage = TaskSink::Stage::decode_arguments;
    bool ok = false;
    try {
      Item item = decode_item<Item>(items);
      stage = TaskSink::Stage::call;
      if constexpr (std::is_void_v<R>) {
        Invocation<F, Item, unpack>::call(f, item);
      } else {
        const R result = Invocation<F, Item, unpack>::call(f, item);
        stage = TaskSink::Stage::encode_result;
        encode_item(out, result);
      }
      ok = true;
    } catch (abi::__forced_unwind&) {
      throw;  // the thread is being cancelled: not an error of the task
    } catch (...) {
      out.truncate(mark);
      sink.error(stage, stage == TaskSink::Stage::decode_arguments ? std::string()
                                                                   : preview_arguments<Item, unpack>(arguments));
    }
    if (ok) sink.value();
  }
}

/// Appends what find_entry and Entry::load need: the handle (8 bytes), then the callable.
/// @throws UnknownFunction, or whatever a `serialize` in the callable throws
template <class F, class Item, bool unpack>
void encode_callable(Buffer& out, const F& f) {
  const std::uint64_t handle = handle_of(Dispatcher<F, Item, unpack>::registration.entry());
  out.append(&handle, sizeof handle);
  Output output(out);
  save_callable(output, f);
}

}  // namespace rankpool::detail
