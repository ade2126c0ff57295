// The home side of a queue: its rules one by one, then random orders of events against a model that is just a list.
#include "objects/queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "../support/silent_home.hpp"
#include "wire/messages.hpp"

namespace rankpool::objects {
namespace {

using link::LeaseState;
using wire::QueueOp;
using wire::Status;

struct Answer {
  Status status = Status::ok;
  std::vector<std::byte> bytes;
};
struct Recall {
  wire::Address holder;
  std::uint32_t slot;
  std::uint64_t generation;
};

class Recorder final : public support::SilentHome {
 public:
  void reply(const Caller& to, Status status, std::span<const std::byte> fixed,
             const link::PayloadView& payload) override {
    if (to.request == 0) return;
    std::vector<std::byte> bytes(fixed.begin(), fixed.end());
    const auto more = payload.read();
    bytes.insert(bytes.end(), more.begin(), more.end());
    EXPECT_TRUE(answers.emplace(to.request, Answer{status, std::move(bytes)}).second) << "a second answer";
    if (on_answer) on_answer(to.request);
  }
  void note_all(std::uint64_t, std::uint32_t, std::span<const std::byte>) override { ++notes; }
  void recall_lease(std::uint64_t, wire::Address holder, std::uint32_t slot, std::uint64_t generation) override {
    recalls.push_back({holder, slot, generation});
  }
  bool may_lend(wire::Address to) const override { return to.rank == 0; }

  std::function<void(std::uint64_t)> on_answer;
  std::map<std::uint64_t, Answer> answers;
  std::deque<Recall> recalls;
  int notes = 0;
};

constexpr wire::Address process(std::uint32_t link) { return {0, link}; }

class QueueHome : public testing::Test {
 protected:
  template <class Body>
  static std::vector<std::byte> body_of(const Body& fixed, std::vector<int> items = {}) {
    std::vector<std::byte> bytes(sizeof fixed + items.size() * sizeof(int));
    std::memcpy(bytes.data(), &fixed, sizeof fixed);
    if (!items.empty()) std::memcpy(bytes.data() + sizeof fixed, items.data(), items.size() * sizeof(int));
    return bytes;
  }
  std::uint64_t ask(wire::Address from, QueueOp operation, const std::vector<std::byte>& body = {}) {
    const std::uint64_t request = ++last_request_;
    queue_.request({from, 1, request}, static_cast<std::uint32_t>(operation), body, {}, home_);
    return request;
  }
  void tell_put(int value) {
    queue_.request({process(1), 1, 0}, static_cast<std::uint32_t>(QueueOp::put), body_of(wire::QueuePut{}, {value}), {},
                   home_);
  }
  std::uint64_t put(int value, bool no_wait = false) {
    return ask(process(1), QueueOp::put, body_of(wire::QueuePut{no_wait, 0}, {value}));
  }
  std::uint64_t get(wire::Address from, const wire::QueueGet& wish = {}) {
    return ask(from, QueueOp::get, body_of(wish));
  }
  bool answered(std::uint64_t request) const { return home_.answers.contains(request); }
  Status status(std::uint64_t request) const {
    return answered(request) ? home_.answers.at(request).status : Status::gone;
  }
  /// The items in the answer to a get, the leased ones too.
  std::vector<int> items(std::uint64_t request) const {
    if (status(request) != Status::ok) return {};
    std::span<const std::byte> rest = home_.answers.at(request).bytes;
    const std::uint64_t leased = wire::take<wire::QueueItem>(rest).leased;
    if (leased == 0) return {wire::take<int>(rest)};
    std::vector<int> got;
    for (std::uint64_t i = 0; i <= leased; ++i) {
      EXPECT_EQ(wire::take<wire::QueueLength>(rest), sizeof(int));
      got.push_back(wire::take<int>(rest));
    }
    return got;
  }
  std::uint64_t size() {
    const std::uint64_t request = ask(process(9), QueueOp::look);
    if (!answered(request)) return ~std::uint64_t{0};
    std::span<const std::byte> body = home_.answers.at(request).bytes;
    return wire::take<wire::QueueState>(body).size;
  }
  static LeaseState state_of(std::uint64_t generation, std::uint64_t taken) {
    return {generation << LeaseState::generation_shift | taken};
  }
  /// Lets process 2 have a lease of some items from `first` on; returns how many it is lent besides the one it got.
  std::size_t lend(int first) {
    EXPECT_EQ(items(get(process(2), {.generation = 1})), std::vector<int>{first});
    return items(get(process(2), {.generation = 2})).size() - 1;
  }

  Recorder home_;
  Queue queue_{7, 0};
  std::uint64_t last_request_ = 0;
};

class BoundedQueueHome : public QueueHome {
 protected:
  BoundedQueueHome() { std::construct_at((std::destroy_at(&queue_), &queue_), 7, 2); }
};

TEST_F(QueueHome, getters_are_served_in_order) {
  const auto first = get(process(2));
  const auto second = get(process(3));
  tell_put(1);
  EXPECT_TRUE(answered(first));
  EXPECT_FALSE(answered(second));
  tell_put(2);
  EXPECT_EQ(items(first), std::vector<int>{1});
  EXPECT_EQ(items(second), std::vector<int>{2});
}

TEST_F(QueueHome, who_is_alone_is_lent_more_and_more) {
  for (int i = 0; i < 100; ++i) tell_put(i);
  EXPECT_EQ(items(get(process(2), {.generation = 1})), (std::vector<int>{0}));
  EXPECT_EQ(items(get(process(2), {.generation = 2})), (std::vector<int>{1, 2}));
  EXPECT_EQ(items(get(process(2), {.generation = 3, .last = state_of(2, 1).bits})), (std::vector<int>{3, 4, 5, 6}));
  EXPECT_EQ(items(get(process(2), {.generation = 4, .last = state_of(3, 3).bits})).size(), 8u);
  EXPECT_TRUE(home_.recalls.empty());
}

TEST_F(QueueHome, nothing_is_lent_to_who_does_not_offer_a_word) {
  for (int i = 0; i < 10; ++i) tell_put(i);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(items(get(process(2))), std::vector<int>{i});
}

TEST_F(QueueHome, nothing_is_lent_to_who_could_be_lost_with_its_rank) {
  for (int i = 0; i < 10; ++i) tell_put(i);
  for (std::uint64_t i = 0; i < 10; ++i)
    EXPECT_EQ(items(get({3, 2}, {.generation = i + 1})), std::vector<int>{static_cast<int>(i)});
}

TEST_F(QueueHome, a_lease_is_called_back_for_others_who_wait_in_order) {
  for (int i = 0; i < 10; ++i) tell_put(i);
  ASSERT_EQ(lend(0), 1u);  // 1 is got, 2 is lent
  const auto other = get(process(3));
  const auto look = ask(process(4), QueueOp::look);
  const auto third = get(process(5));
  EXPECT_FALSE(answered(other));
  ASSERT_EQ(home_.recalls.size(), 1u);
  EXPECT_EQ(home_.recalls[0].holder, process(2));
  EXPECT_EQ(home_.recalls[0].generation, 2u);
  queue_.lease_returned(process(2), 0, state_of(2, 0), home_);  // 2 was not taken
  EXPECT_EQ(items(other), std::vector<int>{2});
  std::span<const std::byte> body = home_.answers.at(look).bytes;
  EXPECT_EQ(wire::take<wire::QueueState>(body).size, 7u);
  EXPECT_EQ(items(third), std::vector<int>{3});
  EXPECT_EQ(size(), 6u);
}

TEST_F(QueueHome, after_a_recall_nothing_is_lent_for_a_while) {
  for (int i = 0; i < 1000; ++i) tell_put(i);
  lend(0);
  const auto other = get(process(3));
  queue_.lease_returned(process(2), 0, state_of(2, 1), home_);
  EXPECT_EQ(items(other), std::vector<int>{3});
  std::uint64_t generation = 2;
  for (int i = 0; i < 65; ++i) EXPECT_EQ(items(get(process(2), {.generation = ++generation})).size(), 1u);
  EXPECT_EQ(items(get(process(2), {.generation = ++generation})).size(), 2u);
}

TEST_F(QueueHome, an_old_word_says_nothing_about_a_new_lease) {
  for (int i = 0; i < 10; ++i) tell_put(i);
  lend(0);
  queue_.lease_returned(process(2), 0, state_of(1, 1), home_);
  queue_.lease_returned(process(2), 1, state_of(2, 1), home_);
  queue_.lease_returned(process(3), 0, state_of(2, 1), home_);
  const auto other = get(process(3));
  EXPECT_FALSE(answered(other));
  queue_.lease_returned(process(2), 0, state_of(2, 60'000), home_);  // a damaged word
  EXPECT_EQ(items(other), std::vector<int>{3});
}

TEST_F(QueueHome, what_the_dead_had_not_taken_is_still_there) {
  for (int i = 0; i < 20; ++i) tell_put(i);
  lend(0);
  ASSERT_EQ(items(get(process(2), {.generation = 3, .last = state_of(2, 1).bits})).size(), 4u);  // 3; lent 4 5 6
  link::LeaseStates words{};
  words[0] = state_of(3, 2);
  queue_.died(process(2), words, home_);
  EXPECT_EQ(items(get(process(3))), std::vector<int>{6});
}

TEST_F(QueueHome, the_dead_had_taken_all_if_it_had_gone_on) {
  for (int i = 0; i < 20; ++i) tell_put(i);
  lend(0);
  link::LeaseStates words{};
  words[0] = state_of(3, 0);
  const auto waiting = get(process(3));
  queue_.died(process(2), words, home_);
  EXPECT_EQ(items(waiting), std::vector<int>{3});
}

TEST_F(QueueHome, the_dead_do_not_wait) {
  const auto dead = get(process(2));
  const auto alive = get(process(3));
  queue_.died(process(2), {}, home_);
  tell_put(1);
  EXPECT_FALSE(answered(dead));
  EXPECT_EQ(items(alive), std::vector<int>{1});
}

TEST_F(QueueHome, a_request_that_is_held_can_be_withdrawn) {
  for (int i = 0; i < 10; ++i) tell_put(i);
  lend(0);
  const auto held = get(process(3));
  queue_.withdraw({process(3), 1, held}, home_);
  EXPECT_EQ(status(held), Status::withdrawn);
  queue_.lease_returned(process(2), 0, state_of(2, 1), home_);
  EXPECT_EQ(size(), 7u);
}

TEST_F(QueueHome, watch_is_answered_by_the_next_item_and_takes_nothing) {
  const auto watch = ask(process(2), QueueOp::watch);
  const auto second = ask(process(3), QueueOp::watch);
  queue_.withdraw({process(3), 1, second}, home_);
  EXPECT_EQ(status(second), Status::withdrawn);
  EXPECT_FALSE(answered(watch));
  tell_put(1);
  EXPECT_EQ(status(watch), Status::ok);
  EXPECT_EQ(status(ask(process(3), QueueOp::watch)), Status::ok);
  EXPECT_EQ(size(), 1u);
  get(process(2));
  const auto last = ask(process(3), QueueOp::watch);
  EXPECT_FALSE(answered(last));
  ask(process(1), QueueOp::shut_down);
  EXPECT_EQ(status(last), Status::ok);
}

TEST_F(QueueHome, watch_looks_behind_what_is_lent) {
  for (int i = 0; i < 3; ++i) tell_put(i);
  lend(0);  // 2, the last one, is lent
  const auto watch = ask(process(3), QueueOp::watch);
  EXPECT_FALSE(answered(watch));
  ASSERT_EQ(home_.recalls.size(), 1u);
  queue_.lease_returned(process(2), 0, state_of(2, 1), home_);
  EXPECT_FALSE(answered(watch));
  tell_put(3);
  EXPECT_EQ(status(watch), Status::ok);
}

TEST_F(QueueHome, a_put_without_a_question_is_taken_after_a_shutdown) {
  ask(process(2), QueueOp::shut_down);
  EXPECT_EQ(home_.notes, 1);
  tell_put(1);
  EXPECT_EQ(status(put(2)), Status::closed);
  EXPECT_EQ(items(get(process(2))), std::vector<int>{1});
  EXPECT_EQ(status(get(process(2))), Status::closed);
}

TEST_F(QueueHome, immediate_shutdown_lets_go_of_the_handles_in_it) {
  std::vector<std::byte> body = body_of(wire::QueuePut{0, 1}, {5});
  const wire::QueueCargo handle{{.rank = 0, .reserved = 0, .number = 5}, 33};
  body.insert(body.end(), wire::bytes_of(handle).begin(), wire::bytes_of(handle).end());
  ask(process(1), QueueOp::put, body);
  ask(process(1), QueueOp::put, body);
  EXPECT_EQ(items(get(process(2))), std::vector<int>{5});
  EXPECT_TRUE(home_.pins.empty());
  ask(process(2), QueueOp::shut_down_now);
  EXPECT_EQ(home_.pins[33], -1);
  EXPECT_EQ(status(ask(process(1), QueueOp::put, body)), Status::closed);
  EXPECT_EQ(home_.pins[33], -2);
  EXPECT_EQ(size(), 0u);
}

TEST_F(QueueHome, a_body_that_is_too_short_is_refused) {
  EXPECT_THROW(ask(process(1), QueueOp::put, {}), wire::BadFrame);
  EXPECT_THROW(ask(process(1), QueueOp::get, {}), wire::BadFrame);
  EXPECT_THROW(ask(process(1), QueueOp::put, body_of(wire::QueuePut{0, 2}, {1})), wire::BadFrame);
  EXPECT_THROW(ask(process(1), static_cast<QueueOp>(99)), wire::BadFrame);
}

TEST_F(QueueHome, join_waits_for_task_done) {
  EXPECT_EQ(status(ask(process(2), QueueOp::join)), Status::ok);
  EXPECT_EQ(status(ask(process(2), QueueOp::task_done)), Status::refused);
  tell_put(1);
  tell_put(2);
  const auto join = ask(process(2), QueueOp::join);
  get(process(2));
  EXPECT_EQ(status(ask(process(2), QueueOp::task_done)), Status::ok);
  EXPECT_FALSE(answered(join));
  ask(process(2), QueueOp::shut_down_now);
  EXPECT_EQ(status(join), Status::ok);
  EXPECT_EQ(status(ask(process(2), QueueOp::task_done)), Status::refused);
}

TEST_F(BoundedQueueHome, putters_wait_for_room_in_order) {
  EXPECT_EQ(status(put(1)), Status::ok);
  EXPECT_EQ(status(put(2)), Status::ok);
  EXPECT_EQ(status(put(3, true)), Status::full);
  const auto third = put(3);
  const auto fourth = put(4);
  const auto fifth = put(5);
  queue_.withdraw({process(1), 1, fourth}, home_);
  EXPECT_EQ(status(fourth), Status::withdrawn);
  EXPECT_FALSE(answered(third));
  EXPECT_EQ(items(get(process(2))), std::vector<int>{1});
  EXPECT_EQ(status(third), Status::ok);
  EXPECT_FALSE(answered(fifth));
  EXPECT_EQ(items(get(process(2))), std::vector<int>{2});
  EXPECT_EQ(status(fifth), Status::ok);
}

TEST_F(BoundedQueueHome, a_put_that_would_wait_asks_for_the_lease_first) {
  std::construct_at((std::destroy_at(&queue_), &queue_), 7, 3);
  for (int i = 0; i < 3; ++i) put(i);
  lend(0);  // 1 is got, 2 is lent
  EXPECT_EQ(status(put(3)), Status::ok);
  EXPECT_EQ(status(put(4)), Status::ok);
  const auto full = put(5, true);
  EXPECT_FALSE(answered(full));
  queue_.lease_returned(process(2), 0, state_of(2, 1), home_);
  EXPECT_EQ(status(full), Status::ok);
  EXPECT_EQ(size(), 3u);
}

// ---- random orders

/// A process with one handle that gets and is lent items, as client::Queue does.
struct Consumer {
  std::uint64_t generation = 0;
  LeaseState word{};
  std::deque<int> lent;
  std::uint64_t asked = 0;  // the get whose answer it has not looked at
  bool revoked = false;
};

/// Several producers' requests and consumers that take at random; whatever is delayed in a real job (answers to
/// recalls, the moment when a consumer looks at its answer) is delayed here. The model is the list of all values in the
/// order in which they were put: whoever takes one, it must be the next.
class RandomQueue : public QueueHome, public testing::WithParamInterface<unsigned> {
 protected:
  void SetUp() override {
    home_.on_answer = [this](std::uint64_t request) {
      if (const auto found = puts_.find(request); found != puts_.end()) {
        if (status(request) == Status::ok) accepted_.push_back(found->second);
        puts_.erase(found);
      } else if (gets_.contains(request) && status(request) == Status::ok) {
        taken_.push_back(items(request).front());
        lent_ += items(request).size() - 1;
      }
    };
  }

  std::uint64_t put_next(bool no_wait) {
    puts_[last_request_ + 1] = next_;
    return put(next_++, no_wait);
  }
  /// What one consumer does for its next item. It may have to wait.
  void get_one(std::uint32_t link, bool no_wait) {
    Consumer& consumer = consumers_[link];
    if (consumer.asked != 0) {
      if (!answered(consumer.asked)) return;
      const std::vector<int> values = items(std::exchange(consumer.asked, 0));
      if (!values.empty()) consumer.lent.assign(values.begin() + 1, values.end());
      return;
    }
    if (!consumer.lent.empty() && !consumer.revoked) {
      taken_.push_back(consumer.lent.front());
      consumer.lent.pop_front();
      ++consumer.word.bits;
      return;
    }
    const LeaseState last = consumer.word;
    renew(consumer);
    gets_.insert(last_request_ + 1);
    consumer.asked =
        get(process(link),
            {.generation = consumer.generation, .last = last.bits, .slot = link % 16, .no_wait = no_wait ? 1u : 0u});
  }
  void renew(Consumer& consumer) {
    consumer = {};
    consumer.generation = ++generations_;
    consumer.word = state_of(consumer.generation, 0);
  }
  void return_one_recall() {
    if (home_.recalls.empty()) return;
    const Recall recall = home_.recalls.front();
    home_.recalls.pop_front();
    Consumer& consumer = consumers_[recall.holder.link];
    if (consumer.generation != recall.generation) return;
    consumer.revoked = true;
    queue_.lease_returned(recall.holder, recall.slot, consumer.word, home_);
  }
  void die(std::uint32_t link) {
    Consumer& consumer = consumers_[link];
    link::LeaseStates words{};
    words[link % 16] = consumer.word;
    queue_.died(process(link), words, home_);
    renew(consumer);
  }
  void look() {
    const std::uint64_t size_now = size();
    if (size_now != ~std::uint64_t{0}) {
      EXPECT_EQ(size_now + taken_.size(), accepted_.size());
    }
  }

  /// `calm`: one consumer and the producer, undisturbed.
  void step(std::mt19937& random, bool calm) {
    const auto link = static_cast<std::uint32_t>(2 + (calm ? 0 : random() % 3));
    const Consumer& consumer = consumers_[link];
    const auto what = random() % (calm ? 12 : 18);
    if (what < 5) {
      if (puts_.size() < 3) put_next(random() % 2 == 0);
    } else if (what < 12) {
      get_one(link, random() % 4 == 0);
    } else if (what == 12) {
      if (!puts_.empty()) queue_.withdraw({process(1), 1, puts_.begin()->first}, home_);
    } else if (what == 13) {
      if (consumer.asked != 0 && !answered(consumer.asked)) queue_.withdraw({process(link), 1, consumer.asked}, home_);
    } else if (what == 14) {
      look();
    } else if (what == 15) {
      if (random() % 8 == 0) die(link);
    } else {
      return_one_recall();
    }
  }

  std::map<std::uint32_t, Consumer> consumers_;
  std::uint64_t generations_ = 0;
  std::map<std::uint64_t, int> puts_;  // that have no answer yet
  std::set<std::uint64_t> gets_;
  std::vector<int> accepted_;
  std::vector<int> taken_;  // or given in an answer
  std::size_t lent_ = 0;
  int next_ = 0;
};

TEST_P(RandomQueue, gives_every_item_once_and_in_order) {
  std::mt19937 random(GetParam());
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  const std::uint64_t maxsize = GetParam() % 3 == 0 ? 0 : GetParam() % 40;
  std::construct_at((std::destroy_at(&queue_), &queue_), 7, maxsize);
  bool calm = false;
  for (int i = 0; i < 6000 && !HasFailure(); ++i) {
    if (i % 500 == 0) calm = random() % 2 == 0;
    if (calm) return_one_recall();
    step(random, calm);
  }
  for (std::uint32_t link = 2; link < 5; ++link) die(link);
  for (;;) {
    const std::uint64_t request = last_request_ + 1;
    gets_.insert(request);
    if (items(get(process(8), {.no_wait = 1})).empty()) break;
  }
  EXPECT_TRUE(puts_.empty());
  EXPECT_EQ(taken_, accepted_);
  EXPECT_TRUE(std::is_sorted(accepted_.begin(), accepted_.end()));
  if (maxsize == 0) {
    EXPECT_GT(lent_, 20u);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomQueue, testing::Range(1u, 151u));

// ---- the line of items

TEST(ItemLine, keeps_items_of_all_sizes_in_order) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    ItemLine line;
    std::deque<std::vector<std::byte>> model;
    for (int i = 0; i < 3000; ++i) {
      if (random() % 5 < (i / 1000 == 1 ? 1u : 3u)) {
        const std::size_t size = random() % 8 == 0 ? random() % 40'000 : random() % 40;
        model.emplace_back(size, static_cast<std::byte>(random()));
        ItemLine::Cargo cargo(random() % 20 == 0 ? 2 : 0);
        line.push({model.back(), {}}, std::move(cargo));
      } else if (!model.empty()) {
        const auto front = line.front().read();
        ASSERT_TRUE(std::equal(front.begin(), front.end(), model.front().begin(), model.front().end()));
        line.pop();
        model.pop_front();
      }
      ASSERT_EQ(line.size(), model.size());
      if (i % 10 == 0) {
        std::vector<std::byte> out;
        const std::size_t count = line.copy_front(out, 50, 48 * 1024);
        ASSERT_LE(count, std::min<std::size_t>(50, model.size()));
        ASSERT_LE(out.size(), 48u * 1024);
        std::span<const std::byte> rest = out;
        for (std::size_t k = 0; k < count; ++k) {
          ASSERT_EQ(wire::take<wire::QueueLength>(rest), model[k].size());
          ASSERT_TRUE(std::equal(model[k].begin(), model[k].end(), rest.begin()));
          rest = rest.subspan(model[k].size());
        }
        EXPECT_TRUE(rest.empty());
      }
    }
  }
}

}  // namespace
}  // namespace rankpool::objects
