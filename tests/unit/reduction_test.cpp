#include "scheduler/rank_reduction.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "scheduler/reduction_tree.hpp"

namespace rankpool::scheduler {
namespace {

using namespace std::chrono_literals;

// ---- the tree

TEST(ReductionTree, everybody_is_the_child_of_one) {
  for (std::uint64_t n = 1; n <= 70; ++n) {
    std::vector<std::uint32_t> children(n);
    for (std::uint64_t place = 0; place < n; ++place) {
      const TreePlace at = tree_place(place, n);
      if (place == 0) {
        EXPECT_EQ(at.parent, -1);
        continue;
      }
      ASSERT_GE(at.parent, 0);
      ASSERT_LT(at.parent, static_cast<std::int64_t>(place)) << "so there are no circles";
      ++children[static_cast<std::size_t>(at.parent)];
    }
    for (std::uint64_t place = 0; place < n; ++place)
      EXPECT_EQ(tree_place(place, n).children, children[place]) << place << " of " << n;
  }
  EXPECT_EQ(tree_place(0, 1024).children, 10u);
}

// ---- sets of tasks

TEST(TaskSet, is_a_set) {
  constexpr TaskIndex size = 60;
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    TaskSet tasks;
    std::set<TaskIndex> model;
    for (int step = 0; step < 60; ++step) {
      const TaskIndex first = random() % size;
      const std::uint64_t count = 1 + random() % std::min<TaskIndex>(12, size - first);
      if (random() % 2 == 0) {
        tasks.remove(first, count);
        for (TaskIndex task = first; task < first + count; ++task) model.erase(task);
      } else if (!std::any_of(model.begin(), model.end(),
                              [&](TaskIndex t) { return t >= first && t < first + count; })) {
        tasks.add(first, count);
        for (TaskIndex task = first; task < first + count; ++task) model.insert(task);
      }
      ASSERT_EQ(tasks.empty(), model.empty());
      for (TaskIndex from = 0; from < size; ++from) {
        const TaskSet::Part part = tasks.part(from, size - from);
        ASSERT_EQ(part.inside, model.contains(from));
        TaskIndex last = from;
        while (last < size && model.contains(last) == part.inside) ++last;
        ASSERT_EQ(part.count, last - from) << "intervals that touch are one";
      }
    }
  }
}

// ---- one rank

/// What happens in some fixed order.
class Reduction : public testing::Test {
 protected:
  using R = RankReduction;

  template <class Action>
  std::vector<Action> take() {
    std::vector<Action> found;
    for (const R::Action& action : std::exchange(state_.actions(), {}))
      if (const auto* wanted = std::get_if<Action>(&action)) found.push_back(*wanted);
    return found;
  }
  std::optional<R::PartialId> finished() {
    const auto ends = take<R::Finish>();
    EXPECT_EQ(ends.size(), 1u);
    return ends.empty() ? std::nullopt : ends.front().partial;
  }

  std::optional<WorkerId> spare_;
  R state_{{.runs = 2}, [this] { return spare_; }};
};

TEST_F(Reduction, of_one_worker_is_its_value) {
  state_.folded(7, 0, 10, 1us);
  EXPECT_TRUE(state_.actions().empty());
  state_.start(0);
  const auto flushes = take<R::Flush>();
  ASSERT_EQ(flushes.size(), 1u);
  EXPECT_EQ(flushes.front().worker, 7u);
  EXPECT_FALSE(flushes.front().keep);
  state_.flushed(7, 1, 8us);
  EXPECT_EQ(finished(), 1u);
}

TEST_F(Reduction, of_nothing_is_nothing) {
  state_.start(2);
  state_.from_rank(std::nullopt);
  EXPECT_TRUE(state_.actions().empty());
  state_.from_rank(std::nullopt);
  EXPECT_EQ(finished(), std::nullopt);
}

TEST_F(Reduction, the_others_come_to_one_worker) {
  for (const WorkerId worker : {1u, 2u, 3u}) state_.folded(worker, worker, 1, 1us);
  state_.start(1);
  EXPECT_EQ(take<R::Flush>().size(), 2u);
  state_.flushed(2, 20, 8us);
  auto merges = take<R::Merge>();
  ASSERT_EQ(merges.size(), 1u);
  EXPECT_EQ(merges.front().worker, 1u);
  EXPECT_EQ(merges.front().partial, 20u);
  state_.from_rank(30);
  state_.flushed(3, 40, 8us);
  EXPECT_EQ(take<R::Flush>().size(), 1u) << "now that all is here";
  state_.flushed(1, 50, 8us);
  EXPECT_EQ(take<R::Discard>().size(), 3u);
}

TEST_F(Reduction, what_a_worker_had_is_run_again) {
  state_.folded(1, 0, 4, 1us);
  state_.folded(1, 10, 2, 1us);
  state_.folded(2, 4, 6, 1us);
  state_.worker_died(1, true);
  EXPECT_EQ(take<R::Rerun>().size(), 2u);
  EXPECT_TRUE(state_.owed(0, 4).inside);
  EXPECT_FALSE(state_.owed(4, 6).inside);
  state_.start(0);
  EXPECT_TRUE(state_.actions().empty()) << "something is owed";
  state_.folded(2, 0, 4, 1us);
  state_.folded(3, 10, 2, 1us);
  EXPECT_EQ(take<R::Flush>().size(), 1u);
}

TEST_F(Reduction, a_copy_bounds_what_is_lost) {
  state_.folded(1, 0, 4, 2s);
  auto flushes = take<R::Flush>();
  ASSERT_EQ(flushes.size(), 1u);
  EXPECT_TRUE(flushes.front().keep);
  state_.folded(1, 4, 1, 10us);  // reported before the copy
  state_.flushed(1, 1, 8us);
  EXPECT_EQ(take<R::Release>().size(), 1u);
  state_.folded(1, 5, 1, 10us);
  state_.worker_died(1, true);
  const auto reruns = take<R::Rerun>();
  ASSERT_EQ(reruns.size(), 1u);
  EXPECT_EQ(reruns.front().first, 5u);
  EXPECT_EQ(reruns.front().count, 1u);
  state_.folded(2, 5, 1, 10us);
  state_.start(0);
  auto merges = take<R::Merge>();
  ASSERT_EQ(merges.size(), 1u);
  EXPECT_EQ(merges.front().partial, 1u);
  state_.flushed(2, 2, 8us);
  EXPECT_EQ(finished(), 2u);
}

TEST_F(Reduction, slow_copies_are_made_less_often) {
  state_.folded(1, 0, 1, 2s);
  EXPECT_EQ(take<R::Flush>().size(), 1u);
  state_.flushed(1, 1, 100ms);
  take<R::Release>();
  state_.folded(1, 1, 1, 2s);
  EXPECT_TRUE(take<R::Flush>().empty());
  state_.folded(1, 2, 1, 5s);
  EXPECT_EQ(take<R::Flush>().size(), 1u);
}

TEST_F(Reduction, a_value_that_may_be_large_is_not_copied_soon) {
  R large({.may_grow = true}, [] { return std::nullopt; });
  large.folded(1, 0, 1, 900ms);
  EXPECT_TRUE(large.actions().empty());
  large.folded(1, 1, 1, 200ms);
  EXPECT_EQ(large.actions().size(), 1u);
  large.flushed(1, 1, 1us);
  large.actions().clear();
  large.folded(1, 2, 1, 30ms);
  EXPECT_EQ(large.actions().size(), 1u) << "it was small";
}

TEST_F(Reduction, what_cannot_be_copied_is_not_asked_for_again) {
  state_.folded(1, 0, 1, 2s);
  EXPECT_EQ(take<R::Flush>().size(), 1u);
  state_.flushed(1, std::nullopt, 0us);
  state_.folded(1, 1, 1, 20s);
  EXPECT_TRUE(state_.actions().empty());
  state_.worker_died(1, true);
  EXPECT_EQ(take<R::Rerun>().front().count, 2u);
}

TEST_F(Reduction, a_worker_that_leaves_hands_over) {
  state_.folded(1, 0, 1, 1us);
  state_.worker_leaves(1);
  ASSERT_EQ(take<R::Flush>().size(), 1u);
  state_.flushed(1, 1, 8us);
  EXPECT_EQ(take<R::Release>().size(), 1u);
  state_.worker_died(1, true);
  state_.start(0);
  EXPECT_EQ(finished(), 1u) << "no other worker needs to see it";
}

TEST_F(Reduction, partials_do_not_pile_up) {
  spare_ = 100;
  std::set<R::PartialId> kept;
  for (R::PartialId id = 0; id < 200; ++id) {
    state_.folded(static_cast<WorkerId>(id), id, 1, 1us);
    state_.worker_leaves(static_cast<WorkerId>(id));
    kept.insert(id);
    state_.flushed(static_cast<WorkerId>(id), id, 8us);
    bool asked = false;
    for (const R::Action& action : std::exchange(state_.actions(), {})) {
      if (const auto* gone = std::get_if<R::Discard>(&action)) kept.erase(gone->partial);
      if (const auto* flush = std::get_if<R::Flush>(&action)) asked |= flush->worker == 100;
    }
    if (asked) {
      kept.insert(1000 + id);
      state_.flushed(100, 1000 + id, 8us);
      for (const R::Action& action : std::exchange(state_.actions(), {}))
        if (const auto* gone = std::get_if<R::Discard>(&action)) kept.erase(gone->partial);
    }
    ASSERT_LT(kept.size(), 20u);
  }
}

TEST_F(Reduction, waits_for_a_worker_to_put_partials_together) {
  state_.start(2);
  state_.from_rank(1);
  state_.from_rank(2);
  EXPECT_TRUE(state_.actions().empty());
  spare_ = 5;
  state_.worker_ready();
  EXPECT_EQ(take<R::Merge>().size(), 2u);
  spare_.reset();
  state_.worker_died(5, true);
  spare_ = 6;
  state_.worker_ready();
  state_.flushed(6, 3, 8us);
  EXPECT_EQ(finished(), 3u);
}

TEST_F(Reduction, gives_up_when_workers_die_of_it) {
  state_.start(2);
  state_.from_rank(1);
  state_.from_rank(2);
  int deaths = 0;
  for (WorkerId worker = 1; worker < 100; ++worker) {
    spare_ = worker;
    state_.worker_ready();
    spare_.reset();
    state_.worker_died(worker, true);
    ++deaths;
    if (const auto ends = take<R::GiveUp>(); !ends.empty()) {
      EXPECT_EQ(ends.front().deaths, deaths);
      break;
    }
  }
  EXPECT_GT(deaths, 3);
  EXPECT_LT(deaths, 10);
}

TEST_F(Reduction, an_owed_task_is_not_tried_for_ever) {
  state_.folded(1, 0, 2, 1us);
  state_.worker_died(1, true);
  EXPECT_EQ(take<R::Rerun>().size(), 1u);
  EXPECT_EQ(state_.lost(0), std::nullopt);
  EXPECT_EQ(take<R::Rerun>().size(), 1u);
  EXPECT_EQ(state_.lost(0), 2);
  EXPECT_TRUE(take<R::Rerun>().empty());
  EXPECT_FALSE(state_.owed(0, 1).inside);
}

// ---- random orders

/// A rank with its workers, their links, and a dealer without any sense of order.
class RandomRank {
 public:
  explicit RandomRank(unsigned seed) : random_(seed), tasks_(1 + one_of(60)), children_(static_cast<int>(one_of(4))) {
    for (TaskIndex task = 0; task < tasks_; ++task) queue_.push_back(task);
    for (int i = 0; i < 3; ++i) add_worker();
    deaths_left_ = one_of(12);
  }

  /// The value in the end.
  std::map<int, int> run() {
    for (int step = 0; !result_ && step < 100'000; ++step) {
      switch (one_of(10)) {
        case 0:
          if (one_of(4) == 0) trouble();
          break;
        case 1:
          if (children_ > 0) send_from_child();
          break;
        case 2:
        case 3:
        case 4:
          deal();
          break;
        default:
          work();
      }
      if (!started_ && ended_.size() == tasks_ && one_of(5) == 0) {
        started_ = true;
        state_.start(static_cast<std::uint64_t>(children_ + children_sent_));
      }
      act();
    }
    if (!result_) return {};
    EXPECT_TRUE(partials_.empty()) << "all but the result have been discarded";
    EXPECT_EQ(released_.size(), tasks_);
    return *result_;
  }
  std::map<int, int> expected() const {
    std::map<int, int> all;
    for (TaskIndex task = 0; task < tasks_; ++task) all[static_cast<int>(task)] = 1;
    for (int child = 1; child <= children_sent_; ++child)
      if (child % 2 == 0) all[-child] = 1;
    return all;
  }

 private:
  using R = RankReduction;
  using Value = std::map<int, int>;  // how often each task is in it

  struct ToWorker {
    enum { run, flush, copy, merge, stop } what;
    TaskIndex task = 0;
    Value value = {};
  };
  struct FromWorker {
    enum { done, partial } what;
    std::vector<TaskIndex> tasks = {};
    Value value = {};
  };
  struct Worker {
    std::deque<ToWorker> in;
    std::deque<FromWorker> out;
    std::deque<TaskIndex> given;  // and not reported, as the dealer knows
    std::vector<TaskIndex> unreported;
    Value value;
    bool leaving = false;
    bool stopped = false;
  };

  unsigned one_of(unsigned n) { return static_cast<unsigned>(random_() % n); }
  static void add(Value& into, const Value& from) {
    for (const auto& [task, count] : from) into[task] += count;
  }
  void add_worker() {
    workers_[next_worker_++];
    state_.worker_ready();
  }
  Worker& any_worker(WorkerId& id) {
    const auto at =
        std::next(workers_.begin(), static_cast<std::ptrdiff_t>(one_of(static_cast<unsigned>(workers_.size()))));
    id = at->first;
    return at->second;
  }

  void deal() {
    WorkerId id = 0;
    Worker& worker = any_worker(id);
    for (unsigned n = 1 + one_of(4); n > 0 && !queue_.empty() && !worker.leaving; --n) {
      worker.in.push_back({ToWorker::run, queue_.front()});
      worker.given.push_back(queue_.front());
      queue_.pop_front();
    }
  }
  void work() {
    WorkerId id = 0;
    Worker& worker = any_worker(id);
    if (one_of(2) == 0) {
      hear(id, worker);
      if (worker.stopped && worker.out.empty()) die(id);
      return;
    }
    if (worker.in.empty() || worker.stopped) return;
    const ToWorker next = std::move(worker.in.front());
    worker.in.pop_front();
    if (next.what == ToWorker::run) {
      ++worker.value[static_cast<int>(next.task)];
      worker.unreported.push_back(next.task);
      if (one_of(3) == 0 || worker.in.empty()) report(worker);
      return;
    }
    report(worker);
    if (next.what == ToWorker::merge) {
      add(worker.value, next.value);
    } else if (next.what == ToWorker::stop) {
      worker.stopped = true;
    } else {
      worker.out.push_back({FromWorker::partial, {}, worker.value});
      if (next.what == ToWorker::flush) worker.value.clear();
    }
  }
  static void report(Worker& worker) {
    if (!worker.unreported.empty()) worker.out.push_back({FromWorker::done, std::exchange(worker.unreported, {}), {}});
  }
  void hear(WorkerId id, Worker& worker) {
    if (worker.out.empty()) return;
    const FromWorker said = std::move(worker.out.front());
    worker.out.pop_front();
    if (said.what == FromWorker::partial) {
      state_.flushed(id, keep(said.value), 8us);
      return;
    }
    for (const TaskIndex task : said.tasks) {
      ASSERT_EQ(worker.given.front(), task);
      worker.given.pop_front();
      if (!state_.owed(task, 1).inside) {
        ASSERT_TRUE(ended_.insert(task).second) << "the scheduler is told once";
      }
      state_.folded(id, task, 1, Nanoseconds(one_of(10) == 0 ? 50'000'000 : 100));
    }
    if (worker.given.empty() && one_of(30) == 0 && !worker.leaving) {
      worker.leaving = true;
      state_.worker_leaves(id);
      act();
      worker.in.push_back({ToWorker::stop});
      add_worker();
    }
  }
  void trouble() {
    if (deaths_left_ == 0) return;
    --deaths_left_;
    WorkerId id = 0;
    any_worker(id);
    die(id);
  }
  void die(WorkerId id) {
    while (!workers_.at(id).out.empty()) hear(id, workers_.at(id)), act();
    const Worker gone = std::move(workers_.at(id));
    workers_.erase(id);
    const bool held_task = !gone.given.empty() && one_of(2) == 0;
    state_.worker_died(id, !held_task);
    for (const TaskIndex task : gone.given) {
      if (held_task && task == gone.given.front() && state_.owed(task, 1).inside) {
        ASSERT_EQ(state_.lost(task), std::nullopt);
      } else {
        queue_.push_back(task);
      }
    }
    act();
    if (!gone.leaving) add_worker();
  }
  void send_from_child() {
    --children_;
    ++children_sent_;
    state_.from_rank(children_sent_ % 2 == 0 ? keep({{-children_sent_, 1}}) : std::nullopt);
  }
  std::optional<R::PartialId> keep(const Value& value) {
    if (value.empty()) return std::nullopt;
    partials_[next_partial_] = value;
    return next_partial_++;
  }

  void act() {
    for (std::size_t i = 0; i < state_.actions().size(); ++i) {
      const R::Action action = state_.actions()[i];
      if (const auto* again = std::get_if<R::Rerun>(&action)) {
        for (std::uint64_t n = 0; n < again->count; ++n) queue_.push_back(again->first + n);
      } else if (const auto* end = std::get_if<R::Release>(&action)) {
        for (std::uint64_t n = 0; n < end->count; ++n) {
          ASSERT_TRUE(released_.insert(end->first + n).second);
        }
      } else if (const auto* flush = std::get_if<R::Flush>(&action)) {
        workers_.at(flush->worker).in.push_back({flush->keep ? ToWorker::copy : ToWorker::flush});
      } else if (const auto* merge = std::get_if<R::Merge>(&action)) {
        workers_.at(merge->worker).in.push_back({ToWorker::merge, 0, partials_.at(merge->partial)});
      } else if (const auto* gone = std::get_if<R::Discard>(&action)) {
        ASSERT_EQ(partials_.erase(gone->partial), 1u);
      } else if (const auto* finish = std::get_if<R::Finish>(&action)) {
        result_ = Value{};
        if (finish->partial) result_ = partials_.extract(*finish->partial).mapped();
      } else {
        FAIL() << "nothing is hopeless here";
      }
    }
    state_.actions().clear();
  }

  std::mt19937 random_;
  std::uint64_t tasks_;
  int children_;  // ranks below that have not sent anything
  int children_sent_ = 0;
  unsigned deaths_left_ = 0;
  std::deque<TaskIndex> queue_;
  std::map<WorkerId, Worker> workers_;
  WorkerId next_worker_ = 1;
  std::set<TaskIndex> ended_;  // as the scheduler knows
  std::set<TaskIndex> released_;
  std::map<R::PartialId, Value> partials_;
  R::PartialId next_partial_ = 0;
  bool started_ = false;
  std::optional<Value> result_;
  R state_{{.runs = 1000}, [this]() -> std::optional<WorkerId> {
             for (const auto& [id, worker] : workers_)
               if (!worker.leaving) return id;
             return std::nullopt;
           }};
};

TEST(RandomReductions, have_every_task_once) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    RandomRank rank(seed);
    const std::map<int, int> value = rank.run();
    ASSERT_EQ(value, rank.expected()) << "seed " << seed;
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace rankpool::scheduler
