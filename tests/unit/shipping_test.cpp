// Callables of every shape, sent to another process of the same binary, which has its code and data elsewhere.
#include <gtest/gtest.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support/shipping_message.hpp"
#include "shipping/hash.hpp"
#include "shipping/module_map.hpp"
#include "shipping_other_tu.hpp"

extern char** environ;

namespace rankpool::test {
namespace {

void write_all(int fd, const void* from, std::size_t count) {
  const char* at = static_cast<const char*>(from);
  while (count > 0) {
    const ssize_t done = ::write(fd, at, count);
    if (done <= 0) throw std::runtime_error("the other process is gone");
    at += done;
    count -= static_cast<std::size_t>(done);
  }
}
/// False at the end of the stream.
bool read_all(int fd, void* into, std::size_t count) {
  char* at = static_cast<char*>(into);
  while (count > 0) {
    const ssize_t done = ::read(fd, at, count);
    if (done <= 0) return false;
    at += done;
    count -= static_cast<std::size_t>(done);
  }
  return true;
}
void send_message(int fd, const Bytes& message) {
  const std::uint64_t length = message.size();
  write_all(fd, &length, sizeof length);
  write_all(fd, message.data(), message.size());
}
bool receive_message(int fd, Bytes& message) {
  std::uint64_t length = 0;
  if (!read_all(fd, &length, sizeof length)) return false;
  message.resize(length);
  return read_all(fd, message.data(), message.size());
}

/// This program once more, serving calls.
class OtherProcess {
 public:
  OtherProcess() {
    int request[2];
    int reply[2];
    if (::pipe2(request, O_CLOEXEC) != 0 || ::pipe2(reply, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, request[0], STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, reply[1], STDOUT_FILENO);
    char name[] = "other";
    char serve[] = "--serve-calls";
    char* arguments[] = {name, serve, nullptr};
    if (::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments, environ) != 0) {
      throw std::runtime_error("posix_spawn");
    }
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(request[0]);
    ::close(reply[1]);
    to_ = request[1];
    from_ = reply[0];
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  ~OtherProcess() {
    ::close(to_);
    ::close(from_);
    ::waitpid(pid_, nullptr, 0);
  }
  Bytes exchange(const Bytes& message) {
    send_message(to_, message);
    Bytes reply;
    if (!receive_message(from_, reply)) throw std::runtime_error("the other process has crashed");
    return reply;
  }

 private:
  pid_t pid_ = 0;
  int to_ = -1;
  int from_ = -1;
};

int serve_calls() {
  Bytes message;
  while (receive_message(STDIN_FILENO, message)) send_message(STDOUT_FILENO, answer(message));
  return 0;
}

double heavy(double x) { return std::sqrt(x) + 1; }
double heavier(double x) { return x * 3; }
double quick(double x) noexcept { return x - 1; }
double local_function(double x) { return x + 1; }
auto local_lambda = [](double x) { return x + 2; };
std::uintptr_t address_of_heavy() { return reinterpret_cast<std::uintptr_t>(&heavy); }

double dot(const std::vector<double>& weights, double x) {
  double sum = 0;
  for (const double w : weights) sum += w * x;
  return sum;
}
double apply_twice(double (*f)(double), double x) { return f(f(x)); }

class Polynomial {
 public:
  Polynomial() = default;
  explicit Polynomial(std::vector<double> coefficients) : coefficients_(std::move(coefficients)) {}
  double operator()(double x) const {
    double sum = 0;
    for (auto at = coefficients_.rbegin(); at != coefficients_.rend(); ++at) sum = sum * x + *at;
    return sum;
  }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& coefficients_;
  }
  std::vector<double> coefficients_;
};

struct Scale {
  double factor;
  double operator()(double x) const { return factor * x; }
};

struct Account {
  double balance = 0;
  double plus(double x) const { return balance + x; }
  virtual double virtual_plus(double x) const { return balance + 10 * x; }
  virtual ~Account() = default;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& balance;
  }
};
struct Left {
  double l = 1;
};
struct Right {
  double r = 2;
  double value() const { return r; }
};
struct Both : Left, Right {};

class Shipping : public testing::Test {
 protected:
  template <class F, class... Args>
  auto call(const F& f, const Args&... args) {
    using R = detail::Result<std::decay_t<F>, std::tuple<detail::Stored<Args>...>, true>;
    return result_of<R>(other().exchange(make_call(f, args...)));
  }
  double call_encoded(void (*encode)(detail::Buffer&), double argument) {
    detail::Buffer callable;
    encode(callable);
    detail::Buffer message;
    const std::uint64_t length = callable.size();
    message.append(&length, sizeof length);
    message.append(callable.data(), callable.size());
    detail::encode_item(message, std::tuple<double>(argument));
    return result_of<double>(other().exchange(bytes_of(message)));
  }
  static OtherProcess& other() {
    static OtherProcess process;
    return process;
  }
};

/// False under a debugger or a sanitizer that switches it off.
bool addresses_are_random() {
#ifdef __PIE__
  std::ifstream setting("/proc/sys/kernel/randomize_va_space");
  return setting.get() != '0' && (::personality(0xffffffff) & ADDR_NO_RANDOMIZE) == 0;
#else
  return false;
#endif
}

TEST_F(Shipping, TheOtherProcessHasItsCodeElsewhere) {
  if (addresses_are_random()) {
    EXPECT_NE(call([] { return address_of_heavy(); }), address_of_heavy());
  }
  EXPECT_EQ(call([] { return shipping::program_build_id(); }), shipping::program_build_id());
}

TEST_F(Shipping, FunctionsAndPointersToThem) {
  EXPECT_EQ(call(heavy, 9.0), 4.0);
  EXPECT_EQ(call(&heavy, 9.0), 4.0);
  EXPECT_EQ(call(quick, 9.0), 8.0);
  EXPECT_EQ(call(&local_function, 1.0), 2.0);
  double (*table[])(double) = {heavy, heavier};
  EXPECT_EQ(call(table[0], 9.0), 4.0);
  EXPECT_EQ(call(table[1], 9.0), 27.0);
}

TEST_F(Shipping, Lambdas) {
  EXPECT_EQ(call([](double x) { return x * 2; }, 4.0), 8.0);
  int n = 3;
  double d = 0.5;
  EXPECT_EQ(call([n, d](double x) { return n * x + d; }, 2.0), 6.5);
  EXPECT_EQ(call([calls = 0]() mutable { return ++calls; }), 1);
  EXPECT_EQ(call([](auto x, auto y) { return x + y; }, 1, 2), 3);
  EXPECT_EQ(call([](std::string a, const std::string& b) { return a + b; }, "ab", "cd"), "abcd");
}

TEST_F(Shipping, Functors) {
  EXPECT_EQ(call(Polynomial({1, 2, 3}), 2.0), 17.0);
  EXPECT_EQ(call(Scale{2.5}, 2.0), 5.0);
  EXPECT_EQ(call(std::plus<>{}, 1, 2), 3);
}

TEST_F(Shipping, MemberPointers) {
  Account account;
  account.balance = 5;
  EXPECT_EQ(call(&Account::plus, account, 2.0), 7.0);
  EXPECT_EQ(call(&Account::virtual_plus, account, 2.0), 25.0);
  EXPECT_EQ(call(&Scale::factor, Scale{7}), 7.0);
  double (Both::*adjusted)() const = &Both::value;
  EXPECT_EQ(call(adjusted, Both{}), 2.0);
}

TEST_F(Shipping, BoundArguments) {
  EXPECT_EQ(call(partial(dot, std::vector<double>{1, 2}), 2.0), 6.0);
  EXPECT_EQ(call(partial([](const std::string& s, std::string t) { return s + t; }, "ab"), std::string("cd")), "abcd");
  EXPECT_EQ(call(partial(partial(std::plus<>{}, 40), 2)), 42);
  EXPECT_EQ(call(partial(heavy), 9.0), 4.0);
  EXPECT_EQ(call(partial(apply_twice, &heavier), 1.0), 9.0);
  EXPECT_EQ(call(partial(Polynomial({1, 1}), 2.0)), 3.0);
  EXPECT_EQ(call(partial([k = 2](const std::vector<int>& v, int i) { return k * v.at(static_cast<std::size_t>(i)); },
                         std::vector<int>{1, 2, 3}),
                 2),
            6);
}

TEST_F(Shipping, NamedFunctions) {
  EXPECT_EQ(call(fn<heavy>, 9.0), 4.0);
  EXPECT_EQ(call(fn<&heavy>, 9.0), 4.0);
  EXPECT_EQ(call(fn<&Account::plus>, Account{}, 2.0), 2.0);
}

TEST_F(Shipping, SameNamesInAnotherTranslationUnit) {
  ASSERT_EQ(other_lambda_type_name(), typeid(local_lambda).name()) << "the names do not clash, so nothing is proved";
  EXPECT_EQ(call_encoded(&encode_other_function, 1), 1001);
  EXPECT_EQ(call_encoded(&encode_other_lambda, 1), 2001);
  EXPECT_EQ(call(&local_function, 1.0), 2);
  EXPECT_EQ(call(local_lambda, 1.0), 3);
}

TEST_F(Shipping, Libraries) {
  EXPECT_EQ(call(&library_square, 5.0), 25.0);
  EXPECT_EQ(call_encoded(&encode_library_lambda, 1), 43);
}

TEST_F(Shipping, ResultsAndErrors) {
  call([](double) {}, 1.0);
  EXPECT_TRUE(call([](int x) { return x > 0; }, 1));
  EXPECT_EQ(call([](int n) { return std::vector<bool>(static_cast<std::size_t>(n), true); }, 11),
            std::vector<bool>(11, true));
  EXPECT_EQ(call([](int n) { return std::vector<std::string>(static_cast<std::size_t>(n), "x"); }, 3).size(), 3u);
  EXPECT_THROW(call([](int x) { return std::vector<int>(3).at(static_cast<std::size_t>(x)); }, 9), std::out_of_range);
  EXPECT_THROW(call([](int) -> int { throw 42; }, 9), RemoteError);
}

// ---- what must be refused

TEST_F(Shipping, UnknownHandle) {
  Bytes message = make_call(heavy, 1.0);
  message[8] ^= std::byte{1};
  EXPECT_THROW(result_of<double>(other().exchange(message)), UnknownFunction);
}

TEST_F(Shipping, DamagedFunctionPointer) {
  const Bytes message = make_call(heavy, 1.0);
  for (std::size_t at = 16; at < 40; ++at) {
    Bytes damaged = message;
    damaged[at] ^= std::byte{4};
    EXPECT_THROW(result_of<double>(other().exchange(damaged)), UnknownFunction) << at;
  }
}

Bytes forge(const Bytes& message, std::uint64_t module_change, std::uint64_t offset_change) {
  Bytes forged = message;
  detail::WireFunction wire;
  std::memcpy(&wire, &forged[16], sizeof wire);
  wire.module ^= module_change;
  wire.offset += offset_change;
  wire.check = shipping::mix(shipping::mix(wire.module, wire.offset), shipping::hash_of(typeid(double (*)(double))));
  std::memcpy(&forged[16], &wire, sizeof wire);
  return forged;
}

TEST_F(Shipping, ForgedHandlesWithAValidChecksum) {
  const Bytes message = make_call(heavy, 9.0);
  EXPECT_EQ(result_of<double>(other().exchange(forge(message, 0, 0))), 4.0);
  EXPECT_THROW(result_of<double>(other().exchange(forge(message, 0, 1))), UnknownFunction);
  EXPECT_THROW(result_of<double>(other().exchange(forge(message, 0, std::uint64_t{1} << 40))), UnknownFunction);
  EXPECT_THROW(result_of<double>(other().exchange(forge(message, 1, 0))), BinaryMismatch);
}

TEST_F(Shipping, DamagedMemberPointer) {
  const Bytes message = make_call(&Account::virtual_plus, Account{}, 2.0);
  for (std::size_t at = 16; at < 16 + sizeof(detail::WireMember); ++at) {
    Bytes damaged = message;
    damaged[at] ^= std::byte{8};
    EXPECT_THROW(result_of<double>(other().exchange(damaged)), UnknownFunction) << at;
  }
}

TEST_F(Shipping, TheSenderRefusesWhatIsNoFunction) {
  static int data = 0;
  using Pointer = double (*)(double);
  EXPECT_THROW(make_call(reinterpret_cast<Pointer>(0x1234), 1.0), UnknownFunction);
  EXPECT_THROW(make_call(reinterpret_cast<Pointer>(&data), 1.0), UnknownFunction);
  EXPECT_THROW(make_call(reinterpret_cast<Pointer>(reinterpret_cast<std::uintptr_t>(&heavy) + 1), 1.0),
               UnknownFunction);
  EXPECT_THROW(make_call(static_cast<Pointer>(nullptr), 1.0), UnknownFunction);
  double (Account::*none)(double) const = nullptr;
  EXPECT_THROW(make_call(none, Account{}, 1.0), UnknownFunction);
}

TEST_F(Shipping, ALibraryThatOnlyOneProcessHasLoaded) {
  call(heavy, 1.0);
  const std::unique_ptr<void, int (*)(void*)> library(::dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL), &::dlclose);
  ASSERT_NE(library, nullptr);
  void* symbol = ::dlsym(library.get(), "inet_net_pton");
  ASSERT_NE(symbol, nullptr);
  double (*function)(double) = nullptr;
  std::memcpy(&function, &symbol, sizeof function);
  EXPECT_THROW(call(function, 1.0), BinaryMismatch);
}

TEST_F(Shipping, ManyThreadsAtOnce) {
  constexpr int calls = 2000;
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < calls; ++i) {
        right += result_of<double>(answer(make_call(heavier, double(i)))) == 3.0 * i;
        right += result_of<double>(answer(make_call(partial(dot, std::vector<double>{1, 1}), double(i)))) == 2.0 * i;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8 * 2 * calls);
}

}  // namespace

// Not in the anonymous namespace, so that main can see it.
int serve() { return serve_calls(); }

}  // namespace rankpool::test

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--serve-calls") == 0) return rankpool::test::serve();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
