// What must not compile, one section a macro. Beside each: the text that the compiler must say (a regular expression).
// With RANKPOOL_CASE_control, or no macro at all, it compiles: so the sections fail for their own reason only.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include <rankpool/callable.hpp>
#include <rankpool/event.hpp>
#include <rankpool/executor.hpp>
#include <rankpool/manager.hpp>
#include <rankpool/pool.hpp>
#include <rankpool/process.hpp>
#include <rankpool/register_exception.hpp>

namespace {

using rankpool::partial;

// A method that takes a callable, as Pool has them.
template <class F, class Range>
requires rankpool::detail::Task < std::decay_t<F>, rankpool::detail::ItemOf<Range>,
false > void map(F&&, const Range&) {}
template <class F, class Range>
requires(!rankpool::detail::Task<std::decay_t<F>, rankpool::detail::ItemOf<Range>, false>) void map(F&&, const Range&) {
  rankpool::detail::require_task<std::decay_t<F>, rankpool::detail::ItemOf<Range>, false>();
}
template <class F, class Range>
requires(!rankpool::detail::Task<std::decay_t<F>, rankpool::detail::ItemOf<Range>, true>) void starmap(F&&,
                                                                                                       const Range&) {
  rankpool::detail::require_task<std::decay_t<F>, rankpool::detail::ItemOf<Range>, true>();
}

struct NoSerialize {
  std::vector<int> data;
};
struct Pointing {
  int number;
  const int* pointer;
};
struct Padded {
  char letter;
  int number;
};
struct NoDefault {
  explicit NoDefault(int) {}
  template <class Archive>
  void serialize(Archive&, unsigned) {}
  std::string text;
};
struct PointingFunctor {
  const int* pointer;
  int operator()(int x) const { return x; }
};
struct NoDefaultFunctor {
  explicit NoDefaultFunctor(std::string t) : text(std::move(t)) {}
  int operator()(int x) const { return x; }
  template <class Archive>
  void serialize(Archive&, unsigned) {}
  std::string text;
};
struct FinalError final : std::exception {
  template <class Archive>
  void serialize(Archive&, unsigned) {}
};

}  // namespace

void control() {
  const std::vector<int> numbers{1, 2, 3};
  const std::string text = "text";
  map([](int x) { return x; }, numbers);
  map(partial([](const std::string& s, int x) { return s + std::to_string(x); }, text), numbers);
  rankpool::Process([](const std::string& s) { return s.c_str(); }, "text");
  rankpool::Pool().share(text);
  rankpool::ProcessPoolExecutor().submit(
      {.priority = 1}, [](const std::string& s) { return s; }, "text");
  rankpool::Pool().map_reduce([](int x) { return x; }, std::plus<>(), numbers, 0L);
}

void refused() {
  [[maybe_unused]] const std::vector<int> numbers{1, 2, 3};
  [[maybe_unused]] int i = 1;
  [[maybe_unused]] std::string text = "text";
#if defined(RANKPOOL_CASE_reference_capture)  // captures by reference; the worker is another process
  map([&i](int x) { return x + i; }, numbers);
#elif defined(RANKPOOL_CASE_default_reference_capture)  // captures by reference; the worker is another process
  map([&](int x) { return x + i; }, numbers);
#elif defined(RANKPOOL_CASE_string_capture)             // bind the data with rankpool::partial\(f, data...\)
  map([text](int x) { return x + static_cast<int>(text.size()); }, numbers);
#elif defined(RANKPOOL_CASE_vector_capture)             // bind the data with rankpool::partial\(f, data...\)
  map([numbers](int x) { return x + numbers[0]; }, numbers);
#elif defined(RANKPOOL_CASE_std_function)  // its content is a run-time secret: pass the function or lambda itself
  map(std::function<int(int)>([](int x) { return x; }), numbers);
#elif defined(RANKPOOL_CASE_reference_to_callable)       // std::ref means nothing in another process
  auto f = [](int x) { return x; };
  map(std::ref(f), numbers);
#elif defined(RANKPOOL_CASE_functor_with_pointer)        // this functor holds a pointer or a reference
  map(PointingFunctor{&i}, numbers);
#elif defined(RANKPOOL_CASE_functor_without_default)     // a functor with a Boost serialize\(\) needs
  map(NoDefaultFunctor("x"), numbers);
#elif defined(RANKPOOL_CASE_not_callable)                // this is nothing that can be called
  map(5, numbers);
#elif defined(RANKPOOL_CASE_element_type)                // this type has no Boost serialize\(\)
  map([](const NoSerialize& n) { return n.data.size(); }, std::vector<NoSerialize>{});
#elif defined(RANKPOOL_CASE_nested_element_type)         // this type has no Boost serialize\(\)
  map([](const std::map<int, NoSerialize>& m) { return m.size(); }, std::vector<std::map<int, NoSerialize> >{});
#elif defined(RANKPOOL_CASE_element_without_default)     // needs a public default constructor
  map([](const NoDefault& n) { return n.text; }, std::vector<NoDefault>{});
#elif defined(RANKPOOL_CASE_pointer_elements)            // a pointer means nothing in another process
  map([](int* p) { return *p; }, std::vector<int*>{&i});
#elif defined(RANKPOOL_CASE_char_pointer_elements)       // a char pointer means nothing
  map([](const char* p) { return *p; }, std::vector<const char*>{"x"});
#elif defined(RANKPOOL_CASE_view_elements)               // this type only points into memory of this process
  map([](std::string_view s) { return s.size(); }, std::vector<std::string_view>{text});
#elif defined(RANKPOOL_CASE_span_elements)               // this type only points into memory of this process
  map([](std::span<const int> s) { return s.size(); }, std::vector<std::span<const int> >{numbers});
#elif defined(RANKPOOL_CASE_smart_pointer_elements)      // a smart pointer means nothing in another process
  map([](const std::unique_ptr<int>& p) { return *p; }, std::vector<std::unique_ptr<int> >{});
#elif defined(RANKPOOL_CASE_struct_with_pointer)         // this type holds a pointer or a reference
  map([](const Pointing& p) { return p.number; }, std::vector<Pointing>{{1, &i}});
#elif defined(RANKPOOL_CASE_wrong_argument)              // the function cannot be called with the element type
  map([](const std::string& s) { return s.size(); }, numbers);
#elif defined(RANKPOOL_CASE_wrong_arguments)             // the function cannot be called with these arguments
  starmap([](int a, int b, int c) { return a + b + c; }, std::vector<std::pair<int, int> >{{1, 2}});
#elif defined(RANKPOOL_CASE_starmap_without_tuples)      // starmap needs a range of std::tuple, std::pair or std::array
  starmap([](int a) { return a; }, numbers);
#elif defined(RANKPOOL_CASE_pointer_result)              // the function returns a pointer or a view
  map([](int) { return "literal"; }, numbers);
#elif defined(RANKPOOL_CASE_view_result)                 // the function returns a pointer or a view
  map([](int) { return std::string_view("literal"); }, numbers);
#elif defined(RANKPOOL_CASE_result_type)                 // the result of the function cannot be sent back
  map([](int) { return NoSerialize{}; }, numbers);
#elif defined(RANKPOOL_CASE_bound_pointer)               // a pointer means nothing in another process
  map(partial([](int* p, int x) { return *p + x; }, &i), numbers);
#elif defined(RANKPOOL_CASE_bound_to_reference_capture)  // captures by reference; the worker is another process
  map(partial([&i](int a, int b) { return a + b + i; }, 1), numbers);
#elif defined(RANKPOOL_CASE_key_with_padding)            // this type cannot be a key of a dict
  rankpool::Manager().dict<Padded, int>();
#elif defined(RANKPOOL_CASE_key_that_is_a_handle)        // a handle cannot be a key of a dict
  rankpool::Manager().dict<rankpool::Event, int>();
#elif defined(RANKPOOL_CASE_unordered_key)               // an unordered container cannot be a key of a dict
  rankpool::Manager().dict<std::unordered_set<int>, int>();
#elif defined(RANKPOOL_CASE_register_final_exception)    // E must not be final
  rankpool::register_exception<FinalError>();
#elif defined(RANKPOOL_CASE_register_own_exception)      // the errors of rankpool keep their types anyway
  rankpool::register_exception<rankpool::PoolClosed>();
#elif defined(RANKPOOL_CASE_process_reference_capture)   // captures by reference; the worker is another process
  rankpool::Process([&i] { ++i; });
#elif defined(RANKPOOL_CASE_process_argument)            // a pointer means nothing in another process
  rankpool::Process(
      rankpool::ProcessOptions{.name = "p"}, [](int* p) { ++*p; }, &i);
#elif defined(RANKPOOL_CASE_process_arguments)           // the function cannot be called with these arguments
  rankpool::Process([](int, int) {}, 1);
#elif defined(RANKPOOL_CASE_shared_pointer)              // a pointer means nothing in another process
  rankpool::Pool().share(&i);
#elif defined(RANKPOOL_CASE_shared_text)                 // a char pointer means nothing in another process
  rankpool::Pool().share("literal");
#elif defined(RANKPOOL_CASE_shared_type)                 // this type has no Boost serialize\(\)
  rankpool::Pool().share(NoSerialize{});
#elif defined(RANKPOOL_CASE_submit_reference_capture)    // captures by reference; the worker is another process
  rankpool::ProcessPoolExecutor().submit([&i] { ++i; });
#elif defined(RANKPOOL_CASE_submit_arguments)            // the function cannot be called with these arguments
  rankpool::ProcessPoolExecutor().submit(
      {.priority = 1}, [](int, int) { return 1; }, 1);
#elif defined(RANKPOOL_CASE_submit_future)               // this type has no Boost serialize
  rankpool::ProcessPoolExecutor executor;
  executor.submit([](const rankpool::Future<int>&) {}, executor.submit([] { return 1; }));
#elif defined(RANKPOOL_CASE_reduce_nothing)              // the function returns nothing
  rankpool::Pool().map_reduce([](int) {}, std::plus<>(), numbers, 0);
#elif defined(RANKPOOL_CASE_reduce_other_type)           // the result of the function does not convert
  rankpool::Pool().map_reduce([](int x) { return x; }, std::plus<>(), numbers, std::string());
#elif defined(RANKPOOL_CASE_reduce_arguments)            // reduce cannot be called with two values
  rankpool::Pool().map_reduce([](int x) { return x; }, [](int a) { return a; }, numbers, 0);
#elif defined(RANKPOOL_CASE_reduce_reference_capture)    // captures by reference; the worker is another process
  rankpool::Pool().map_reduce([](int x) { return x; }, [&i](int a, int b) { return a + b + i; }, numbers, 0);
#elif !defined(RANKPOOL_CASE_control)                    // no macro: an editor, or a build of everything
#endif
}
