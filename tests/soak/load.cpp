#include "load.hpp"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace soak {

namespace rp = rankpool;
using namespace std::chrono_literals;

namespace {

constexpr long tasks = 500;

void expect(bool good, const std::string& what) {
  if (!good) throw std::runtime_error("soak: wrong: " + what);
}
template <class E, class Call>
void expect_error(Call&& call, const std::string& what) {
  try {
    call();
  } catch (const E&) {
    return;
  }
  expect(false, what + " did not fail as it should");
}

long square(long x) { return x * x; }
long fail_at_times(long x) {
  if (x % 10 == 3) throw std::out_of_range("on purpose: " + std::to_string(x));
  return x;
}
long die_at_times(long x) {
  if (x % 10 == 3 && rp::this_task().attempt == 0) ::raise(x % 20 == 3 ? SIGKILL : SIGTERM);
  return x;
}
long sleep_at_times(long x) {
  if (x == 3) std::this_thread::sleep_for(60s);
  return x;
}
long with_random_number(long x) { return x + (rp::task_rng()() == 0 ? 1 : 0); }
void wait_for_stop(long) {
  const std::stop_token stop = rp::this_task().stop;
  for (int i = 0; i < 10'000 && !stop.stop_requested(); ++i) std::this_thread::sleep_for(1ms);
}
std::string turned(const std::string& text) { return {text.rbegin(), text.rend()}; }
long nested(long n) {
  rp::Pool pool(1);
  const std::vector<long> results = pool.map(square, std::views::iota(0L, n));
  return std::accumulate(results.begin(), results.end(), 0L);
}

std::vector<long> squares(long n) {
  std::vector<long> all;
  for (long i = 0; i < n; ++i) all.push_back(i * i);
  return all;
}

}  // namespace

void Load::warm_up() {
  const std::vector<std::string> texts(100, std::string(10'000, 'w'));
  for (int i = 0; i < 15; ++i) {
    expect(pool_.map(turned, texts, {.chunksize = 1}) == texts, "warm pool");
    std::vector<rp::Future<std::string>> results;
    for (const std::string& text : texts) results.push_back(executor_.submit(turned, text));
    for (const auto& result : results) expect(result.result() == texts.front(), "warm executor");
  }
}

void Load::rest() {
  expect_error<rp::Empty>([&] { queue_.get(300ms); }, "an empty queue");
}

void Load::round() {
  maps();
  streams();
  futures();
  failures();
  short_pools();
  queues();
  pipes_and_processes();
  synchronisation();
  containers();
  large_payloads();
  ++number_;
}

void Load::maps() {
  expect(pool_.map(square, std::views::iota(0L, tasks)) == squares(tasks), "map");
  expect(pool_.map(with_random_number, std::vector<long>(tasks, 5)) == std::vector<long>(tasks, 5), "task_rng");
  expect(pool_.map_reduce(square, std::plus<>(), std::views::iota(0L, 100L), 1L) == 328'351, "map_reduce");
  const auto outcomes = pool_.try_map(fail_at_times, std::views::iota(0L, 100L));
  for (long i = 0; i < 100; ++i) expect(outcomes[static_cast<std::size_t>(i)].ok() == (i % 10 != 3), "try_map");
  std::vector<rp::AsyncResult<long>> results;
  for (long i = 0; i < 50; ++i) results.push_back(pool_.apply_async(square, i));
  for (long i = 0; i < 50; ++i) expect(results[static_cast<std::size_t>(i)].get() == i * i, "apply_async");
  expect(pool_.insights().waiting == 0, "insights");
}

void Load::streams() {
  long next = 0;
  for (const long result : pool_.imap(square, std::views::iota(0L, tasks))) {
    expect(result == next * next, "imap");
    ++next;
  }
  long sum = 0;
  for (const long result : pool_.imap_unordered(square, std::views::iota(0L, 100L))) sum += result;
  expect(sum == 328'350, "imap_unordered");
  auto given_up = pool_.imap(square, std::views::iota(0L));
  for (long i = 0; i < 20; ++i) expect(given_up.next() == i * i, "endless imap");
}

void Load::futures() {
  std::vector<rp::Future<long>> all;
  for (long i = 0; i < 100; ++i) all.push_back(executor_.submit({.priority = static_cast<int>(i % 5)}, square, i));
  const auto running = executor_.submit(wait_for_stop, 0L);
  std::vector<rp::Future<long>> unwanted;
  for (long i = 0; i < 50; ++i) unwanted.push_back(executor_.submit({.priority = -1}, square, i));
  for (auto& future : unwanted) future.cancel();
  auto twice = all.front().then([](long x) { return 2 * x; });
  for (long i = 0; i < 100; ++i) expect(all[static_cast<std::size_t>(i)].result() == i * i, "submit");
  expect(twice.result() == 0, "then");
  while (!running.done()) {
    running.cancel();
    std::this_thread::sleep_for(100us);
  }
  for (const auto& future : unwanted) {
    if (!future.cancelled()) future.result();
  }
}

void Load::failures() {
  expect_error<std::out_of_range>([&] { pool_.map(fail_at_times, std::views::iota(0L, 10L)); }, "a task");
  const auto all = [](long n) {
    std::vector<long> numbers(static_cast<std::size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  };
  rp::Pool sick(rp::PoolOptions{.processes = 2, .retries = 1});
  expect(sick.map(die_at_times, std::views::iota(0L, 40L)) == all(40), "map with deaths");
  expect_error<rp::WorkerLost>([&] { sick.apply([] { ::_exit(3); }); }, "an exit");
  if (number_ % 10 == 0)
    expect_error<rp::TaskTimeout>(
        [&] { sick.map(sleep_at_times, std::views::iota(0L, 8L), {.task_timeout = 100ms, .retries = 0}); },
        "a late task");
}

void Load::short_pools() {
  {
    rp::Pool pool(rp::PoolOptions{.processes = 2,
                                  .initializer = rp::partial([](int) {}, 5),
                                  .max_tasks_per_child = 10,
                                  .memory_limit = sanitized ? 0 : std::uint64_t{256} << 20});
    expect(pool.map(square, std::views::iota(0L, 40L), {.chunksize = 1}) == squares(40), "map of a short pool");
    if (!sanitized)
      expect_error<std::bad_alloc>([&] { pool.apply([] { return std::vector<char>(std::size_t{1} << 30).size(); }); },
                                   "much memory");
  }
  {
    rp::Pool pool(2);
    const auto never = pool.map_async([](int) { std::this_thread::sleep_for(60s); }, std::vector<int>(100));
    pool.terminate();
    expect_error<rp::CancelledError>([&] { never.get(); }, "a terminated pool");
  }
  rp::Pool pool(rp::PoolOptions{.processes = 1, .initializer = [] { throw std::domain_error("on purpose"); }});
  expect_error<std::domain_error>([&] { pool.apply(square, 1L); }, "an initializer");
  expect(pool_.apply(nested, 10L) == 285, "nested pool");
}

void Load::queues() {
  const auto feed = [](rp::Queue<long> queue, long n) {
    for (long i = 0; i < n; ++i) queue.put(i);
  };
  const auto fed = pool_.apply_async(feed, queue_, 200L);
  long sum = 0;
  for (long i = 0; i < 200; ++i) sum += queue_.get();
  fed.get();
  expect(sum == 19'900, "queue");

  const rp::JoinableQueue<std::string> jobs(10);
  const rp::Queue<std::string> done;
  const auto worker = pool_.apply_async(
      [](rp::JoinableQueue<std::string> from, rp::Queue<std::string> to) {
        for (std::string text = from.get(); !text.empty(); text = from.get()) {
          to.put(turned(text));
          from.task_done();
        }
        from.task_done();
      },
      jobs, done);
  for (int i = 0; i < 30; ++i) jobs.put("text " + std::to_string(i));
  jobs.put("");
  jobs.join();
  worker.get();
  expect(done.qsize() == 30 && done.get() == "0 txet", "joinable queue");  // what is left in it goes with it

  const auto give = [](rp::Queue<rp::Queue<long>> out) {
    const rp::Queue<long> inner;
    inner.put(7);
    out.put(inner);
  };
  const rp::Queue<rp::Queue<long>> of_queues;
  pool_.apply(give, of_queues);
  expect(of_queues.get().get() == 7, "queue of queues");
}

void Load::pipes_and_processes() {
  auto [here, there] = rp::Pipe();
  rp::Process echo(
      [](rp::Connection connection) {
        for (int i = 0; i < 20; ++i) connection.send(connection.recv<std::string>() + "!");
      },
      std::move(there));
  echo.start();
  for (int i = 0; i < 20; ++i) {
    here.send(std::string("hello"));
    expect(here.recv<std::string>() == "hello!", "pipe");
  }
  echo.join();
  expect(echo.exitcode() == 0, "process");
  std::vector<rp::Process> processes;
  for (int i = 0; i < 4; ++i) {
    processes.emplace_back([](int code) { std::exit(code); }, i);
    processes.back().start();
  }
  rp::Process killed([] { std::this_thread::sleep_for(60s); });
  killed.start();
  killed.kill();
  for (int i = 0; i < 4; ++i) {
    processes[static_cast<std::size_t>(i)].join();
    expect(processes[static_cast<std::size_t>(i)].exitcode() == i, "exit code");
  }
  killed.join();
  expect(killed.exitcode() == -SIGKILL, "killed process");
}

void Load::synchronisation() {
  value_.store(0);
  const auto count_up = [](rp::Lock lock, rp::Value<long> value, rp::Array<long> array, rp::Semaphore semaphore) {
    for (std::size_t i = 0; i < 20; ++i) {
      const std::scoped_lock guard(lock);
      value.store(value.load() + 1);
      semaphore.acquire();
      array.fetch_add(i, 1);
      semaphore.release();
    }
  };
  rp::Array<long> array(20);
  rp::Semaphore semaphore(2);
  std::vector<rp::AsyncResult<void>> all;
  for (int i = 0; i < 4; ++i) all.push_back(pool_.apply_async(count_up, lock_, value_, array, semaphore));
  for (auto& result : all) result.get();
  expect(value_.load() == 80 && array.get(7) == 4, "lock and value");

  rp::Event event;
  rp::Barrier barrier(3);
  rp::Condition condition;
  const auto meet = [](rp::Event go, rp::Barrier at, rp::Condition told) {
    go.wait();
    at.wait();
    const std::scoped_lock guard(told);
    told.notify_all();
  };
  std::vector<rp::Process> processes;
  for (int i = 0; i < 2; ++i) processes.emplace_back(meet, event, barrier, condition).start();
  std::unique_lock guard(condition);
  event.set();
  barrier.wait();
  condition.wait();
  guard.unlock();
  for (auto& process : processes) process.join();

  rp::Process dies(
      [](rp::Lock lock) {
        lock.lock();
        ::raise(SIGKILL);
      },
      lock_);
  dies.start();
  dies.join();
  const std::scoped_lock after(lock_);
  expect(lock_.previous_owner_died(), "lock of a dead process");
}

void Load::containers() {
  const auto add = [](rp::Dict<long, long> dict, long x) { dict.update(x % 10, [](long& sum) { ++sum; }); };
  dict_.clear();
  pool_.starmap(add,
                std::views::iota(0L, 50L) | std::views::transform([this](long x) { return std::tuple(dict_, x); }));
  expect(dict_.size() == 10 && dict_.get(3) == 5, "dict");
  rp::Manager manager;
  auto list = manager.list<std::string>();
  auto space = manager.space();
  for (int i = 0; i < 50; ++i) list.append("text " + std::to_string(i));
  space.set("number", number_);
  expect(list.get(-1) == "text 49" && space.get<long>("number") == number_, "list and space");
}

void Load::large_payloads() {
  const std::string large(1'000'000, static_cast<char>('a' + number_ % 26));
  expect(pool_.map(turned, std::vector<std::string>(4, large)) == std::vector<std::string>(4, large), "large payloads");
  const rp::Shared<std::string> shared = pool_.share(large);
  const auto size_of = [](const rp::Shared<std::string>& text, int) { return text.get().size(); };
  expect(pool_.map(rp::partial(size_of, shared), std::vector<int>(20)) == std::vector<std::size_t>(20, large.size()),
         "shared constant");
  const rp::Queue<std::string> queue;
  queue.put(large);
  expect(pool_.apply([](rp::Queue<std::string> from) { return from.get(); }, queue) == large, "large item of a queue");
}

}  // namespace soak
