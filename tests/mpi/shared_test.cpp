// Pool::share: one constant for all processes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <rankpool/rankpool.hpp>

#include "../support/failure.hpp"
#include "../support/processes.hpp"
#include "../support/tasks.hpp"

namespace rp = rankpool;
using namespace std::chrono_literals;
using support::Failure;

namespace {

using Numbers = std::vector<double>;
using Words = std::map<std::string, int>;

Numbers numbers(std::size_t count) {
  Numbers values(count);
  std::iota(values.begin(), values.end(), 0.5);
  return values;
}
Words words() { return {{"one", 1}, {"two", 2}, {std::string(1000, 'x'), 3}}; }

/// Tells how often this process has encoded and decoded any of its kind.
struct Counted {
  std::string text;
  std::vector<int> values;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    if constexpr (Archive::is_saving::value) {
      ++encoded;
    } else {
      ++decoded;
    }
    archive& text& values;
  }
  friend bool operator==(const Counted&, const Counted&) = default;

  static inline std::atomic<int> encoded{0};
  static inline std::atomic<int> decoded{0};
};
Counted counted() { return {"a user's own", {1, 2, 3}}; }

struct Grid {
  int rows;
  int columns;
  std::array<float, 20'000> cells;
};
Grid grid() {
  Grid made{100, 200, {}};
  std::iota(made.cells.begin(), made.cells.end(), 1.0f);
  return made;
}

struct Order {
  int number = 0;
  rp::Shared<Words> words;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& number& words;
  }
};

/// Fails to be read on purpose.
struct Thorny {
  bool broken = true;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& broken;
    if (!Archive::is_saving::value && broken) throw std::domain_error("a thorn");
  }
};

/// Enough tasks for every worker of every rank to have one.
std::vector<int> tasks(const rp::Pool& pool) {
  return std::vector<int>(static_cast<std::size_t>(8 * pool.processes()));
}

template <class T, class Same>
void expect_everywhere(const T& value, Same same) {
  rp::Pool pool(2 * rp::slot_count());
  const auto shared = pool.share(value);
  for (const int ok : pool.map(rp::partial(same, shared), tasks(pool), {.chunksize = 1})) EXPECT_EQ(ok, 1);
  EXPECT_EQ(same(shared, 0), 1);
}

/// Everything that belongs to a value that is gone has been closed in this process, and at its rank. What is kept to
/// be written again goes when a process has waited for a while.
bool eventually_open(std::size_t wanted) {
  rp::Event never;
  return support::eventually([&] {
    never.wait_for(250ms);
    return support::open_descriptors() <= wanted;
  });
}

}  // namespace

TEST(Shared, is_the_same_in_every_task) {
  expect_everywhere(1'000'000, [](const rp::Shared<int>& n, int) { return n.get() == 1'000'000 ? 1 : 0; });
  expect_everywhere(true, [](const rp::Shared<bool>& b, int) { return *b ? 1 : 0; });
  expect_everywhere(std::string("text"), [](const rp::Shared<std::string>& s, int) { return *s == "text" ? 1 : 0; });
  expect_everywhere(std::string(), [](const rp::Shared<std::string>& s, int) { return s->empty() ? 1 : 0; });
  expect_everywhere(std::string(100'000, 'x'),
                    [](const rp::Shared<std::string>& s, int) { return s->size() == 100'000 ? 1 : 0; });
  expect_everywhere(words(), [](const rp::Shared<Words>& w, int) { return *w == words() ? 1 : 0; });
  expect_everywhere(counted(), [](const rp::Shared<Counted>& c, int) { return *c == counted() ? 1 : 0; });
}

TEST(Shared, may_be_large) {
  expect_everywhere(numbers(1'000'000),
                    [](const rp::Shared<Numbers>& n, int) { return *n == numbers(1'000'000) ? 1 : 0; });
}

TEST(Shared, plain_struct_is_read_in_place) {
  expect_everywhere(grid(), [](const rp::Shared<Grid>& g, int) {
    return g->rows == 100 && g->columns == 200 && g->cells == grid().cells ? 1 : 0;
  });
  rp::Pool pool(1);
  const auto shared = pool.share(grid());
  const auto writable = [](const rp::Shared<Grid>& g) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto address = reinterpret_cast<std::size_t>(&g->cells) / page * page;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      std::size_t end = 0;
      const std::size_t begin = std::stoull(line, &end, 16);
      const std::size_t behind = std::stoull(line.substr(end + 1), nullptr, 16);
      if (address >= begin && address < behind) return line.substr(line.find(' ') + 1, 4);
    }
    return std::string("not mapped");
  };
  EXPECT_EQ(pool.apply(writable, shared), "r--s");
}

TEST(Shared, is_encoded_once_and_decoded_once_in_each_process) {
  rp::Pool pool;
  const int before = Counted::encoded;
  const auto shared = pool.share(counted());
  const auto look = [](const rp::Shared<Counted>& c, int) {
    for (int i = 0; i < 3; ++i) c.get();
    std::this_thread::sleep_for(1ms);
    return std::tuple(::getpid(), Counted::encoded.load(), Counted::decoded.load());
  };
  // the workers were forked before, so their counts begin with what this process had then
  const auto base = pool.apply([] { return std::pair(Counted::encoded.load(), Counted::decoded.load()); });
  for (int round = 0; round < 3; ++round) {  // a worker has no handle between them, and keeps the value
    for (const auto& [pid, encoded, decoded] : pool.map(rp::partial(look, shared), tasks(pool), {.chunksize = 1})) {
      EXPECT_EQ(encoded, base.first) << "in process " << pid;
      EXPECT_EQ(decoded, base.second + 1) << "in process " << pid;
    }
  }
  EXPECT_EQ(Counted::encoded, before + 1);
}

TEST(Shared, handles_of_one_process_have_one_value) {
  rp::Pool pool(1);
  const auto shared = pool.share(words());
  const rp::Shared<Words> copy = shared;
  EXPECT_EQ(&copy.get(), &shared.get());
  const auto same = [](const rp::Shared<Words>& a, const std::vector<rp::Shared<Words>>& more) {
    return &a.get() == &more.at(0).get() && &more.at(0).get() == &more.at(1).get();
  };
  EXPECT_TRUE(pool.apply(same, shared, std::vector{shared, copy}));
}

TEST(Shared, get_from_several_threads) {
  rp::Pool pool(1);
  const auto shared = pool.share(counted());
  const auto race = [](const rp::Shared<Counted>& c) {
    const int before = Counted::decoded;
    std::array<const Counted*, 6> seen{};
    {
      std::vector<std::jthread> threads;
      for (auto& at : seen) threads.emplace_back([&at, &c] { at = &c.get(5s); });
    }
    return std::set<const Counted*>(seen.begin(), seen.end()).size() == 1 && Counted::decoded == before + 1;
  };
  EXPECT_TRUE(race(shared));
  EXPECT_TRUE(pool.apply(race, shared));
}

TEST(Shared, travels_inside_of_other_values) {
  using Tables = std::map<std::string, rp::Shared<Words>>;
  rp::Pool pool;
  const Tables tables{{"a", pool.share(words())}, {"b", pool.share(Words{{"only", 5}})}};
  const auto sum = [](const Tables& all, int n) {
    int total = n;
    for (const auto& [name, table] : all)
      for (const auto& [key, value] : *table) total += value;
    return total;
  };
  for (const int total : pool.map(rp::partial(sum, tables), tasks(pool))) EXPECT_EQ(total, 11);
  EXPECT_EQ(pool.apply(sum, tables, 100), 111);
}

TEST(Shared, may_be_a_member) {
  rp::Pool pool(2);
  Order order;
  EXPECT_THROW(order.words.get(), rp::Closed);
  EXPECT_THROW(pool.apply([](const Order&) {}, order), std::logic_error);
  order = {4, pool.share(words())};
  const auto use = [](Order o) {
    o.number += static_cast<int>(o.words->size());
    return o;
  };
  const Order back = pool.apply(use, order);
  EXPECT_EQ(back.number, 7);
  EXPECT_EQ(&back.words.get(), &order.words.get());
}

TEST(Shared, may_have_handles_in_it) {
  using Pair = std::pair<rp::Queue<int>, rp::Shared<std::string>>;
  rp::Pool pool;
  std::optional<rp::Shared<Pair>> shared;
  {
    rp::Queue<int> queue;  // these handles go: the value keeps what they stand for
    shared = pool.share(Pair{queue, pool.share(std::string(50'000, 'n'))});
  }
  const auto put = [](const rp::Shared<Pair>& pair, int i) {
    rp::Queue<int> queue = pair->first;
    queue.put(i);
    return pair->second->size();
  };
  std::vector<int> items(50);
  std::iota(items.begin(), items.end(), 0);
  for (const std::size_t size : pool.map(rp::partial(put, *shared), items)) EXPECT_EQ(size, 50'000u);
  rp::Queue<int> queue = shared->get().first;
  shared.reset();
  std::set<int> got;
  for (std::size_t i = 0; i < items.size(); ++i) got.insert(queue.get(20s));
  EXPECT_EQ(got, std::set<int>(items.begin(), items.end()));
}

TEST(Shared, refuses_a_connection) {
  rp::Pool pool(1);
  const Failure failure([&] { pool.share(rp::Pipe().first); });
  EXPECT_TRUE(failure.is<std::logic_error>()) << failure;
}

TEST(Shared, in_a_process) {
  rp::Pool pool(1);
  rp::Queue<std::size_t> sizes;
  const auto shared = pool.share(numbers(100'000));
  for (int rank = 0; rank < rp::rank_count(); ++rank) {
    rp::Process process(
        rp::ProcessOptions{.rank = rank},
        [](const rp::Shared<Numbers>& n, rp::Queue<std::size_t> q) { q.put(n->size() + (n->back() == 99'999.5)); },
        shared, sizes);
    process.start();
    process.join();
    EXPECT_EQ(process.exitcode(), 0);
    EXPECT_EQ(sizes.get(20s), 100'001u);
  }
}

TEST(Shared, in_pools_of_tasks) {
  rp::Pool pool(2);
  const auto shared = pool.share(words());
  const auto outer = [](const rp::Shared<Words>& w, int) {
    rp::Pool inner(2);
    const auto own = inner.share(std::string("inner"));
    const auto look = [](const rp::Shared<Words>& a, const rp::Shared<std::string>& b, int) {
      return a->size() + b->size();
    };
    const auto sizes = inner.map(rp::partial(look, w, own), std::vector<int>(4));
    return std::pair(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), own);
  };
  for (const auto& [size, own] : pool.map(rp::partial(outer, shared), std::vector<int>(3))) {
    EXPECT_EQ(size, 32u);
    EXPECT_EQ(*own, "inner");  // its maker has dropped it, and it lives on with this handle
  }
}

TEST(Shared, outlives_its_maker_in_a_queue) {
  rp::Queue<rp::Shared<Numbers>> queue;
  rp::Pool pool;
  for (const std::size_t count : {10u, 200'000u}) {
    queue.put(pool.share(numbers(count)));
    const auto take = [](rp::Queue<rp::Shared<Numbers>> q) {
      const auto shared = q.get();
      std::this_thread::sleep_for(20ms);
      return *shared;
    };
    EXPECT_EQ(pool.apply(take, queue), numbers(count));
  }
}

TEST(Shared, outlives_its_maker_in_a_task_and_its_process) {
  rp::Pool pool;
  const auto make = [](rp::Queue<rp::Shared<std::string>> q) {
    rp::Pool inner(1);
    q.put(inner.share(std::string(70'000, 'm')));
  };
  rp::Queue<rp::Shared<std::string>> queue;
  rp::Process process(make, queue);
  process.start();
  process.join();
  EXPECT_EQ(process.exitcode(), 0);
  const auto shared = queue.get(20s);
  EXPECT_EQ(shared->size(), 70'000u);
  EXPECT_EQ(pool.apply([](const rp::Shared<std::string>& s) { return s->size(); }, shared), 70'000u);
}

TEST(Shared, outlives_its_pool) {
  std::optional<rp::Shared<Words>> closed, terminated;
  {
    rp::Pool pool(1);
    closed = pool.share(words());
    pool.close();
    EXPECT_THROW(pool.share(1), rp::PoolClosed);
    pool.join();
  }
  {
    rp::Pool pool(1);
    terminated = pool.share(words());
    pool.terminate();
    EXPECT_THROW(pool.share(1), rp::PoolClosed);
  }
  EXPECT_EQ(**closed, words());
  rp::Pool pool;
  EXPECT_EQ(pool.apply([](const rp::Shared<Words>& w) { return *w; }, *terminated), words());
}

TEST(Shared, get_for_a_while) {
  rp::Pool pool(1);
  const auto shared = pool.share(numbers(50'000));
  EXPECT_EQ(shared.get(10s).size(), 50'000u);
  EXPECT_EQ(shared.get(0s).size(), 50'000u);  // it is here
  const auto hasty = [](const rp::Shared<Numbers>& n) {
    try {
      n.get(-1s);
    } catch (const rp::TimeoutError&) {
    }
    return n.get(20s).size();
  };
  EXPECT_EQ(pool.apply(hasty, shared), 50'000u);
}

TEST(Shared, says_what_went_wrong) {
  rp::Pool pool(1);
  auto shared = pool.share(Thorny{});
  for (int i = 0; i < 2; ++i) EXPECT_THROW(shared.get(), std::domain_error);
  const auto moved = std::move(shared);
  EXPECT_THROW(shared.get(), rp::Closed);  // NOLINT: on purpose
  EXPECT_THROW(pool.apply([](const rp::Shared<Thorny>& t) { return t->broken; }, moved), std::domain_error);
}

TEST(Shared, outlives_the_processes_that_die_with_it) {
  rp::Pool pool(2);
  const auto shared = pool.share(grid());
  const auto use = [](const rp::Shared<Grid>& g, int i) {
    if (g->rows == 100 && i % 3 == 0) support::die(support::Death::kill);
    return g->columns;
  };
  for (int i = 0; i < 6; ++i) {
    const Failure failure([&] { EXPECT_EQ(pool.apply(use, shared, i), 200); });
    EXPECT_EQ(failure.is<rp::WorkerLost>(), i % 3 == 0) << failure;
  }
}

TEST(Shared, leaves_the_workers_that_have_used_it) {
  rp::Pool pool;
  const auto workers = support::worker_pids(pool);
  const auto most_open = [&] {
    const auto look = [](int) {
      std::this_thread::sleep_for(1ms);
      return support::open_descriptors();
    };
    return std::ranges::max(pool.map(look, tasks(pool), {.chunksize = 1}));
  };
  const std::size_t before = most_open();
  {
    std::vector<rp::Shared<Grid>> grids;
    for (int i = 0; i < 4; ++i) grids.push_back(pool.share(grid()));
    const auto use = [](const std::vector<rp::Shared<Grid>>& all, int) {
      int rows = 0;
      for (const auto& one : all) rows += one->rows;
      return rows;
    };
    for (const int rows : pool.map(rp::partial(use, grids), tasks(pool), {.chunksize = 1})) EXPECT_EQ(rows, 400);
    EXPECT_GE(most_open(), before + 4);  // no task has a handle now, but the values may be used again
  }
  EXPECT_TRUE(support::eventually([&] { return most_open() <= before; }));
  EXPECT_EQ(support::worker_pids(pool), workers);
}

TEST(Shared, is_gone_with_its_last_handle) {
  rp::Pool pool;
  const auto use = [](const rp::Shared<Numbers>& n, int) { return n->size(); };
  const auto use_grid = [](const rp::Shared<Grid>& g, int) { return g->rows; };
  const auto round = [&] {
    std::vector<rp::Shared<Numbers>> many;
    for (int i = 0; i < 5; ++i) many.push_back(pool.share(numbers(100'000)));
    for (const auto& one : many)
      for (const std::size_t size : pool.map(rp::partial(use, one), tasks(pool))) EXPECT_EQ(size, 100'000u);
    const auto plain = pool.share(grid());
    for (const int rows : pool.map(rp::partial(use_grid, plain), tasks(pool))) EXPECT_EQ(rows, 100);
    EXPECT_EQ(plain->columns, 200);
  };
  round();
  rp::Event never;
  for (int i = 0; i < 3; ++i) never.wait_for(250ms);
  const std::size_t before = support::open_descriptors();
  for (int i = 0; i < 6; ++i) round();
  EXPECT_TRUE(eventually_open(before)) << before << " open before, " << support::open_descriptors() << " now";
}
