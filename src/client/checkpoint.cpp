#include "client/checkpoint.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "client/pool_client.hpp"
#include "client/remote_object.hpp"
#include "client/shared.hpp"
#include "shipping/hash.hpp"
#include "shipping/module_map.hpp"

namespace rankpool::detail {

using client::JournalRun;

namespace {

/// What a function is, and what is bound to it.
std::uint64_t function_id(const TaskTypes& types, const Buffer& callable) {
  std::uint64_t id = client::journal_hash({callable.data(), callable.size()});
  for (const std::type_info* type : {types.function, types.item, types.result})
    id = shipping::mix(id, shipping::hash_of(*type));
  for (const Buffer::Carried& carried : callable.cargo())
    if (auto* const shared = dynamic_cast<client::SharedObject*>(carried.object.get()))
      id = shipping::mix(id, shared->hash_of_value());
  return id;
}

}  // namespace

std::shared_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& file, const TaskTypes& types,
                                            const Buffer& callable) {
  if (file.empty()) return nullptr;
  const client::JournalIdentity identity{.program = shipping::program_build_id(),
                                         .function = function_id(types, callable),
                                         .seed = client::Client::get()->identity().seed,
                                         .result_bytes = types.result_bytes};
  return std::make_shared<Checkpoint>(file, identity, types.item_bytes);
}

void refuse_checkpoint(const std::filesystem::path& file) {
  if (!file.empty())
    throw std::invalid_argument(
        "Pool::map_reduce: MapOptions::checkpoint needs a result for each task, and these are reduced where they are "
        "computed: use map or imap with the checkpoint, and reduce what they give");
}

Checkpoint::Checkpoint(const std::filesystem::path& file, const client::JournalIdentity& identity,
                       std::uint64_t item_bytes)
    : file_(file, identity),
      item_bytes_(item_bytes == 0 ? std::nullopt : std::optional(item_bytes)),
      result_bytes_(identity.result_bytes) {}

void Checkpoint::refuse(const std::string& why) {
  const std::lock_guard lock(file_mutex_);
  file_.roll_back();
  file_.close();
  throw CheckpointError("checkpoint " + file_.name() + ": " + why +
                        ": delete the file to compute everything again, or give another one");
}

// --- the input

const JournalRun* Checkpoint::known_at(std::uint64_t task) {
  const auto& runs = file_.runs();
  while (run_ < runs.size() && runs[run_].end() <= task) {
    ++run_;
    run_offset_ = 0;
  }
  return run_ < runs.size() && runs[run_].first <= task ? &runs[run_] : nullptr;
}

std::vector<Checkpoint::Part> Checkpoint::take_apart(const Buffer& block, std::uint64_t count) {
  if (!block.cargo().empty())
    throw std::invalid_argument("MapOptions::checkpoint: the items hold a handle of a " +
                                block.cargo().front().object->name() +
                                ", which means nothing in another run: bind it to the function, or send values");
  std::vector<Part> parts;
  std::vector<std::uint64_t> hashes;
  std::span<const std::byte> items{block.data(), block.size()};
  const auto end_part = [&] {
    if (hashes.empty()) return;
    const std::lock_guard lock(sent_mutex_);
    const std::uint64_t first = parts.back().first;
    sent_.push_back({first, hashes.size(), hashes.size(), std::exchange(hashes, {})});
  };
  for (; count > 0; --count, ++next_) {
    const std::size_t size = client::bytes_of_items(items, 1, item_bytes_).value();
    const std::uint64_t hash = client::journal_hash(items.first(size));
    if (const JournalRun* const run = known_at(next_)) {
      const std::span<const std::byte> bytes = file_.bytes_of(*run);
      if (client::hash_in(bytes, next_ - run->first) != hash)
        refuse("item " + std::to_string(next_) + " of the input is not the one that its result was computed from");
      end_part();
      const auto results = bytes.subspan(run->count * client::journal_hash_bytes + run_offset_);
      const std::size_t length = client::bytes_of_items(results, 1, result_bytes_).value();
      run_offset_ += length;
      if (parts.empty() || !parts.back().known || next_ == run->first) {
        parts.push_back({true, next_, 1, results.first(length)});
      } else {
        ++parts.back().count;
        parts.back().bytes = {parts.back().bytes.data(), parts.back().bytes.size() + length};
      }
    } else {
      if (hashes.empty()) {
        parts.push_back({false, next_, 1, items.first(size)});
      } else {
        ++parts.back().count;
        parts.back().bytes = {parts.back().bytes.data(), parts.back().bytes.size() + size};
      }
      hashes.push_back(hash);
    }
    items = items.subspan(size);
  }
  end_part();
  return parts;
}

void Checkpoint::deal(const std::vector<Part>& parts, PoolClient& pool, std::uint64_t job, JobState& state,
                      Buffer& block) {
  for (const Part& part : parts) {
    if (part.known) {
      storing([&] {
        Reader results(part.bytes);
        state.store(part.first, part.count, results);
      });
      skipped_ += part.count;
      continue;
    }
    send_skipped(pool, job);
    if (parts.size() == 1) {
      pool.send_items(job, part.count, block);
    } else {
      Buffer items;
      items.append(part.bytes.data(), part.bytes.size());
      pool.send_items(job, part.count, items);
    }
  }
}

void Checkpoint::send_skipped(PoolClient& pool, std::uint64_t job) {
  if (skipped_ > 0) pool.skip_items(job, std::exchange(skipped_, 0));
}

void Checkpoint::end_input() {
  if (const auto& runs = file_.runs(); !runs.empty() && runs.back().end() > next_)
    refuse("it has the result of task " + std::to_string(runs.back().end() - 1) + ", and the input has only " +
           std::to_string(next_) + (next_ == 1 ? " item" : " items"));
}

// --- the results

template <class Visit>
void Checkpoint::for_each_sent(std::uint64_t first, std::uint64_t count, Visit visit) {
  const std::uint64_t last = first + count;
  auto sent = std::upper_bound(sent_.begin(), sent_.end(), first,
                               [](std::uint64_t task, const Sent& one) { return task < one.first; });
  while (first < last) {
    const std::uint64_t end = sent == sent_.begin() ? 0 : std::prev(sent)->first + std::prev(sent)->count;
    if (end <= first) throw wire::BadFrame("a result has come of a task that was not sent");
    const std::uint64_t now = std::min(last, end) - first;
    Sent& here = *std::prev(sent);
    visit(here, first - here.first, now);
    here.left -= std::min(here.left, now);
    if (here.left == 0) here.hashes = {};
    first += now;
    ++sent;
  }
  while (!sent_.empty() && sent_.front().left == 0) sent_.pop_front();
}

std::exception_ptr Checkpoint::record(std::uint64_t first, std::uint64_t count, std::span<const std::byte> results) {
  const std::lock_guard lock(file_mutex_);
  if (!file_.is_open()) return nullptr;
  if (count == 0 || client::bytes_of_items(results, count, result_bytes_) != results.size())
    throw wire::BadFrame("results are not as long as they should be");
  hashes_.clear();
  {
    const std::lock_guard sent_lock(sent_mutex_);
    for_each_sent(first, count, [this](const Sent& sent, std::uint64_t from, std::uint64_t number) {
      if (sent.hashes.empty()) throw wire::BadFrame("the result of a task has come twice");
      const auto begin = sent.hashes.begin() + static_cast<std::ptrdiff_t>(from);
      hashes_.insert(hashes_.end(), begin, begin + static_cast<std::ptrdiff_t>(number));
    });
  }
  try {
    file_.add(first, hashes_, results);
    return nullptr;
  } catch (const CheckpointError&) {
    file_.close();
    return std::current_exception();
  }
}

void Checkpoint::forget(std::uint64_t task) {
  const std::lock_guard lock(sent_mutex_);
  for_each_sent(task, 1, [](const Sent&, std::uint64_t, std::uint64_t) {});
}

std::exception_ptr Checkpoint::finish() {
  const std::lock_guard lock(file_mutex_);
  std::exception_ptr error;
  try {
    file_.sync();
  } catch (const CheckpointError&) {
    error = std::current_exception();
  }
  file_.close();
  return error;
}

void Checkpoint::close() noexcept {
  const std::lock_guard lock(file_mutex_);
  file_.close();
}

void Checkpoint::storing(const std::function<void()>& store) {
  const std::lock_guard lock(store_mutex_);
  const client::RefuseHandles refuse("a MapOptions::checkpoint cannot keep handles, which mean nothing in another run");
  store();
}

}  // namespace rankpool::detail
