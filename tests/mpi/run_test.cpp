// rankpool::run and what a program can ask about itself; other programs are run as processes of their own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/small_program.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using support::Ended;
using support::Failure;
using support::SmallProgram;
using support::StartOptions;

namespace {

constexpr auto contains = [](const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
};

/// What every object and question says outside of run.
int refusals() {
  int count = 0;
  const auto expect = [&](auto&& call) {
    const Failure failure(call);
    if (failure.is<rp::NotRunning>() && contains(failure.what(), "rankpool::run")) ++count;
  };
  expect([] { rp::Pool pool; });
  expect([] { rp::Pool pool(2); });
  expect([] { rp::Pool pool(rp::PoolOptions{.processes = 1}); });
  expect([] { static_cast<void>(rp::slot_count()); });
  expect([] { static_cast<void>(rp::rank_count()); });
  expect([] { static_cast<void>(rp::rank()); });
  expect([] { static_cast<void>(rp::current_process()); });
  return count;
}
const int refusals_before_main = refusals();

// ---- the other programs

const SmallProgram returns_seven("returns_seven",
                                 [](int argc, char** argv) { return rp::run(argc, argv, [] { return 7; }); });

const SmallProgram returns_nothing("returns_nothing", [](int argc, char** argv) {
  return rp::run(argc, argv, [] { std::cout << "was here\n"; });
});

const SmallProgram takes_arguments("takes_arguments", [](int argc, char** argv) {
  const auto program = [](int count, char** values) {
    std::cout << count << ' ' << values[0] << '\n';
    return rp::Pool(2).apply(support::square, 3L) == 9 ? 5 : 1;
  };
  return rp::run(argc, argv, program);
});

const SmallProgram throws("throws", [](int argc, char** argv) {
  return rp::run(argc, argv, [] { throw std::out_of_range("no such shelf"); });
});

const SmallProgram throws_a_number("throws_a_number",
                                   [](int argc, char** argv) { return rp::run(argc, argv, [] { throw 42; }); });

const SmallProgram throws_with_pool("throws_with_pool", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(2);
    const auto pending = pool.map_async(support::sleep_for_ever, std::vector<int>(100));
    throw std::length_error("the rope is too short");
  });
});

const SmallProgram task_throws("task_throws", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool(1);
    pool.map(
        [](int i) {
          if (i == 3) throw std::domain_error("three is refused");
        },
        std::vector<int>{1, 2, 3});
  });
});

const SmallProgram exits("exits", [](int argc, char** argv) {
  return rp::run(argc, argv, [] {
    rp::Pool pool;
    const long one = pool.apply(support::square, 1L);
    const auto pending = pool.map_async(support::sleep_for_ever, std::vector<int>(100));
    std::exit(one == 1 ? 3 : 4);
  });
});

const SmallProgram outside("outside", [](int argc, char** argv) {
  const int before = refusals();
  const int status = rp::run(argc, argv, [] { rp::Pool(1).apply(support::square, 2L); });
  std::cout << "refusals before and after: " << before << ' ' << refusals() << '\n';
  return status;
});

const SmallProgram result_outlives("result_outlives", [](int argc, char** argv) {
  static std::unique_ptr<rp::AsyncResult<long>> kept;
  const int status = rp::run(argc, argv, [] {
    rp::Pool pool(1);
    kept = std::make_unique<rp::AsyncResult<long>>(pool.apply_async(support::square, 5L));
  });
  std::cout << "kept " << kept->get() << '\n';
  return status;
});

const SmallProgram twice("twice", [](int argc, char** argv) {
  const int status = rp::run(argc, argv, [] {});
  const Failure again([&] { rp::run(argc, argv, [] { std::cout << "ran twice\n"; }); });
  std::cout << (again.is<std::logic_error>() ? again.what() : "no std::logic_error") << '\n';
  return status;
});

const SmallProgram slots("slots", [](int argc, char** argv) {
  return rp::run(argc, argv,
                 [] { std::cout << "slots " << rp::slot_count() << " pool " << rp::Pool().processes() << '\n'; });
});

const SmallProgram slots_in_source("slots_in_source", [](int argc, char** argv) {
  return rp::run(argc, argv, [] { std::cout << "slots " << rp::slot_count() << '\n'; },
                 {.slots = 2, .master_slots = {}});
});

}  // namespace

// ---- run

TEST(Run, returns_what_the_program_returns) {
  for (const StartOptions& options : support::every_start()) {
    const Ended ended = support::start("returns_seven", options);
    EXPECT_EQ(ended.status, 7) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  }
}

TEST(Run, a_program_without_result_is_a_success) {
  const Ended ended = support::start("returns_nothing");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_EQ(ended.out, "was here\n");
  EXPECT_EQ(ended.err, "");
}

TEST(Run, gives_the_arguments_to_a_program_that_takes_them) {
  const Ended ended = support::start("takes_arguments");
  EXPECT_EQ(ended.status, 5) << ended;
  EXPECT_EQ(ended.out, "1 takes_arguments\n");
}

TEST(Run, prints_an_exception_that_leaves_the_program) {
  const Ended ended = support::start("throws");
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(contains(ended.err, "std::out_of_range")) << ended;
  EXPECT_TRUE(contains(ended.err, "no such shelf")) << ended;
}

TEST(Run, prints_something_of_an_exception_that_is_none) {
  const Ended ended = support::start("throws_a_number");
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(contains(ended.err, "int")) << ended;
}

TEST(Run, an_exception_ends_a_pool_at_work) {
  const Ended ended = support::start("throws_with_pool");
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(contains(ended.err, "the rope is too short")) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}

TEST(Run, prints_where_the_error_of_a_task_came_from) {
  const Ended ended = support::start("task_throws");
  EXPECT_EQ(ended.status, 1) << ended;
  for (const std::string part : {"std::domain_error", "three is refused", "task 2", "rank 0"})
    EXPECT_TRUE(contains(ended.err, part)) << "no \"" << part << "\" in\n" << ended;
}

TEST(Run, exit_in_the_middle_keeps_its_code_and_leaves_nothing) {
  for (const StartOptions& options : support::every_start()) {
    const Ended ended = support::start("exits", options);
    EXPECT_EQ(ended.status, 3) << ended;
    EXPECT_TRUE(ended.left.empty()) << ended;
  }
}

TEST(Run, nothing_works_outside_of_it) {
  EXPECT_EQ(refusals_before_main, 7);
  for (const StartOptions& options : support::every_start()) {
    const Ended ended = support::start("outside", options);
    EXPECT_EQ(ended.status, 0) << ended;
    std::string expected;
    for (int rank = 0; rank < std::max(1, options.ranks); ++rank) expected += "refusals before and after: 7 7\n";
    EXPECT_EQ(ended.out, expected);
  }
}

TEST(Run, results_that_have_come_can_be_read_after_it) {
  const Ended ended = support::start("result_outlives");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_EQ(ended.out, "kept 25\n");
}

TEST(Run, cannot_be_called_twice) {
  char name[] = "again";
  char* arguments[] = {name, nullptr};
  const Failure nested([&] { rp::run(1, arguments, [] {}); });
  ASSERT_TRUE(nested.is<std::logic_error>()) << nested;
  EXPECT_TRUE(contains(nested.what(), "twice")) << nested;

  const Ended ended = support::start("twice");
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_TRUE(contains(ended.out, "twice")) << ended;
  EXPECT_FALSE(contains(ended.out, "ran twice")) << ended;
}

// ---- slots

TEST(Slots, can_be_set_in_the_environment) {
  const Ended ended = support::start("slots", {.environment = {{"RANKPOOL_SLOTS", "3"}}});
  EXPECT_EQ(ended.status, 0) << ended;
  EXPECT_EQ(ended.out, "slots 3 pool 3\n") << ended;
}

TEST(Slots, can_be_set_per_rank) {
  if (support::launcher().empty()) return;
  const auto with = [](std::map<std::string, std::string> environment) {
    return support::start("slots", {.environment = std::move(environment), .ranks = 3});
  };
  const Ended all = with({{"RANKPOOL_SLOTS", "2"}});
  EXPECT_EQ(all.out, "slots 6 pool 6\n") << all;
  const Ended master = with({{"RANKPOOL_SLOTS", "2"}, {"RANKPOOL_MASTER_SLOTS", "0"}});
  EXPECT_EQ(master.out, "slots 4 pool 4\n") << master;
}

TEST(Slots, can_be_set_in_the_source_and_the_environment_wins) {
  const Ended source = support::start("slots_in_source");
  EXPECT_EQ(source.out, "slots 2\n") << source;
  const Ended both = support::start("slots_in_source", {.environment = {{"RANKPOOL_SLOTS", "5"}}});
  EXPECT_EQ(both.out, "slots 5\n") << both;
}

TEST(Slots, refuses_numbers_without_sense) {
  for (const std::string value : {"0", "-1", "abc", "3x", "99999999999"}) {
    const Ended ended = support::start("slots", {.environment = {{"RANKPOOL_SLOTS", value}}});
    EXPECT_EQ(ended.status, 1) << value << ": " << ended;
    EXPECT_TRUE(contains(ended.err, "RANKPOOL_SLOTS")) << value << ": " << ended;
    EXPECT_TRUE(contains(ended.err, value)) << ended;
    EXPECT_TRUE(ended.left.empty()) << value << ": " << ended;
  }
}

TEST(Slots, are_the_cores_when_it_is_alone) {
  const Ended ended = support::start("slots");
  const std::string cores = std::to_string(rp::cpu_count());
  EXPECT_EQ(ended.out, "slots " + cores + " pool " + cores + "\n") << ended;
  EXPECT_EQ(ended.status, 0) << ended;
}

TEST(Slurm, a_step_without_pmix_is_refused) {
  const Ended ended = support::start("slots", {.environment = {{"SLURM_STEP_NUM_TASKS", "4"}}});
  EXPECT_EQ(ended.status, 1) << ended;
  EXPECT_TRUE(contains(ended.err, "srun --mpi=pmix")) << ended;
  EXPECT_TRUE(ended.left.empty()) << ended;
}

TEST(Slurm, a_step_of_one_task_is_alone) {
  const Ended ended =
      support::start("returns_seven", {.environment = {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}}});
  EXPECT_EQ(ended.status, 7) << ended;
}

// ---- what a program can ask

TEST(About, ranks_and_slots) {
  const char* const size = std::getenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_EQ(rp::rank_count(), size == nullptr ? 1 : std::atoi(size));
  EXPECT_EQ(rp::rank(), 0);
  EXPECT_GE(rp::slot_count(), std::max(1, rp::rank_count() - 1)) << "every worker rank has a slot";
  EXPECT_GE(rp::cpu_count(), 1);
  EXPECT_LE(rp::cpu_count(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(About, the_main_program) {
  const rp::ProcessInfo self = rp::current_process();
  EXPECT_EQ(self.name, "MainProcess");
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_EQ(self.rank, 0);
  EXPECT_FALSE(self.host.empty());
}

namespace {

struct Answers {
  std::string name;
  int pid = 0;
  int told_pid = 0;
  int rank = 0;
  int told_rank = 0;
  int ranks = 0;
  int slots = 0;
  std::string host;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& name& pid& told_pid& rank& told_rank& ranks& slots& host;
  }
};

Answers ask(int) {
  ::usleep(2000);
  const rp::ProcessInfo self = rp::current_process();
  return {self.name, ::getpid(), self.pid, rp::rank(), self.rank, rp::rank_count(), rp::slot_count(), self.host};
}

}  // namespace

TEST(About, the_workers) {
  rp::Pool pool;
  std::set<std::pair<std::string, int>> workers;
  for (const Answers& answers : pool.map(ask, std::vector<int>(100), {.chunksize = 1})) {
    EXPECT_EQ(answers.pid, answers.told_pid);
    EXPECT_NE(answers.pid, ::getpid());
    EXPECT_EQ(answers.rank, answers.told_rank);
    EXPECT_GE(answers.rank, 0);
    EXPECT_LT(answers.rank, rp::rank_count());
    EXPECT_EQ(answers.ranks, rp::rank_count());
    EXPECT_EQ(answers.slots, rp::slot_count());
    EXPECT_EQ(answers.host, rp::current_process().host);
    EXPECT_EQ(answers.name.rfind("PoolWorker-", 0), 0u) << answers.name;
    workers.emplace(answers.name, answers.pid);
  }
  std::set<std::string> names;
  for (const auto& [name, pid] : workers) names.insert(name);
  EXPECT_EQ(names.size(), workers.size()) << "two workers have one name";
  EXPECT_LE(static_cast<int>(workers.size()), pool.processes());
}
