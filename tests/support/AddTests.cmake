# How a test is declared. Every test program runs through `no_leftovers` and has two time limits: an inner one that ends
# it in good order, and ctest's.
find_package(GTest REQUIRED)

set(rankpool_support ${CMAKE_CURRENT_LIST_DIR})
set(rankpool_no_leftovers ${CMAKE_CURRENT_LIST_DIR}/no_leftovers)
set(rankpool_test_env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 GTEST_COLOR=no)
set(rankpool_time_factor 1) # of every limit

# What the sanitizers are told; no_leftovers adds where they report.
set(rankpool_sanitizer_options "") # names of variables
set(deaths handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0) # tests look at true statuses
if(RANKPOOL_SANITIZE STREQUAL address)
  set(rankpool_time_factor 4)
  set(rankpool_sanitizer_options ASAN_OPTIONS UBSAN_OPTIONS)
  # LeakSanitizer looks at a process as a debugger does, which some containers refuse.
  include(CheckCXXSourceRuns)
  set(CMAKE_REQUIRED_FLAGS -fsanitize=address)
  check_cxx_source_runs("#include <sanitizer/lsan_interface.h>
                         int main() { return __lsan_do_recoverable_leak_check(); }" rankpool_finds_leaks)
  unset(CMAKE_REQUIRED_FLAGS)
  set(leaks 0)
  if(rankpool_finds_leaks)
    set(leaks 1)
  endif()
  list(APPEND rankpool_test_env ASAN_OPTIONS=detect_leaks=${leaks}:${deaths} UBSAN_OPTIONS=print_stacktrace=1:${deaths})
elseif(RANKPOOL_SANITIZE STREQUAL thread)
  set(rankpool_time_factor 8)
  set(rankpool_sanitizer_options TSAN_OPTIONS)
  list(APPEND rankpool_test_env
       TSAN_OPTIONS=suppressions='${CMAKE_CURRENT_LIST_DIR}/tsan.supp':atexit_sleep_ms=50:${deaths})
endif()

# `--timeout` and the rest are Open MPI's; other MPIs get the number of ranks alone.
execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE version ERROR_QUIET)
set(rankpool_open_mpi FALSE)
if(version MATCHES "Open MPI|OpenRTE")
  set(rankpool_open_mpi TRUE)
endif()

# rankpool_add_test(NAME RANKS COMMAND ... LABEL TIMEOUT PROCESSORS ... [HOSTS n] [STATUS n]
#   [RECOVERY]): one ctest. RANKS: a number, or `alone`: no mpirun. HOSTS: so many make-believe ones. STATUS: what the
#   command must return. RECOVERY: by rankpool-launch.
function(rankpool_add_test name ranks)
  cmake_parse_arguments(A "SERIAL;RECOVERY" "TIMEOUT;LABEL;PROCESSORS;HOSTS;STATUS" "COMMAND;ENV;EXPECT" ${ARGN})
  math(EXPR outer "${A_TIMEOUT} * ${rankpool_time_factor}")
  math(EXPR inner "${outer} - 5")
  set(guard ${rankpool_no_leftovers} --limit ${inner})
  if(A_STATUS)
    list(APPEND guard --status ${A_STATUS})
  endif()
  foreach(regex IN LISTS A_EXPECT)
    list(APPEND guard --expect ${regex})
  endforeach()

  set(launch "")
  set(by "")
  if(A_RECOVERY)
    set(by $<TARGET_FILE:rankpool-launch>)
    list(PREPEND A_COMMAND --)
  endif()
  if(A_HOSTS)
    math(EXPR mpi_limit "${inner} - 3")
    if(A_RECOVERY)
      list(PREPEND by --by)
    endif()
    set(launch ${rankpool_support}/cluster ${A_HOSTS} ${by} -- -n ${ranks} --timeout ${mpi_limit})
    foreach(variable IN LISTS A_ENV rankpool_sanitizer_options)
      list(APPEND launch -x ${variable})
    endforeach()
  elseif(A_RECOVERY)
    set(launch ${by} -n ${ranks} --oversubscribe --bind-to none)
  elseif(NOT ranks STREQUAL alone)
    set(launch ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks})
    if(rankpool_open_mpi)
      math(EXPR mpi_limit "${inner} - 3") # mpirun goes first: it says which rank did not end
      list(APPEND launch --oversubscribe --bind-to none --timeout ${mpi_limit})
    endif()
  endif()

  add_test(NAME ${name} COMMAND ${guard} -- ${launch} ${A_COMMAND})
  list(APPEND A_ENV ${rankpool_test_env})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${outer} LABELS "${A_LABEL}" PROCESSORS ${A_PROCESSORS}
                                          RUN_SERIAL ${A_SERIAL} ENVIRONMENT "${A_ENV}")
  if(A_HOSTS)
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77) # `cluster` has said why
  endif()
endfunction()

# add_unit_test(NAME LABEL SOURCE...): a GoogleTest program that sees the private headers of src/; one ctest.
function(add_unit_test name label)
  add_executable(${name} ${ARGN})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${name} PRIVATE rankpool::rankpool GTest::gtest GTest::gtest_main)
  rankpool_add_test(${name} alone COMMAND $<TARGET_FILE:${name}> LABEL ${label} TIMEOUT 60 PROCESSORS 1)
endfunction()

# add_mpi_test(NAME SOURCES file... RANKS alone 1 2 ... [LABEL mpi] [TIMEOUT 60] [ENV X=1 ...] [ALL_RANKS] [SERIAL])
#   The program of rank 0 runs GoogleTest and the other ranks serve. ALL_RANKS: every rank runs the same tests, which may
#   speak MPI. SERIAL: nothing runs beside it, for tests of time.
function(add_mpi_test name)
  cmake_parse_arguments(A "ALL_RANKS;SERIAL" "TIMEOUT;LABEL" "SOURCES;RANKS;ENV" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 60)
  endif()
  if(NOT A_LABEL)
    set(A_LABEL mpi)
  endif()

  add_executable(${name} ${A_SOURCES})
  if(A_ALL_RANKS)
    target_sources(${name} PRIVATE ${rankpool_support}/all_ranks_main.cpp)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${name} PRIVATE rankpool::rankpool GTest::gtest MPI::MPI_CXX Boost::mpi)
  else()
    target_link_libraries(${name} PRIVATE program_main)
  endif()

  set(serial "")
  if(A_SERIAL)
    set(serial SERIAL)
  endif()
  rankpool_add_tests_for_ranks(${name} "${A_RANKS}" COMMAND $<TARGET_FILE:${name}> LABEL ${A_LABEL} TIMEOUT ${A_TIMEOUT}
                               ENV ${A_ENV} ${serial})
endfunction()

# add_cluster_test(NAME TARGET ranks...): the program of a test also over three hosts with TCP between them, once for each
#   number of ranks: cluster.NAME.h3 with three, cluster.NAME.h3n4 with four, two of which share a host.
function(add_cluster_test name target)
  if(NOT rankpool_open_mpi)
    return()
  endif()
  foreach(count IN LISTS ARGN)
    set(suffix h3)
    if(NOT count EQUAL 3)
      set(suffix h3n${count})
    endif()
    math(EXPR processors "${count} + 1")
    rankpool_add_test(cluster.${name}.${suffix} ${count} HOSTS 3 COMMAND $<TARGET_FILE:${target}> LABEL cluster
                      TIMEOUT 90 PROCESSORS ${processors})
  endforeach()
endfunction()

# add_example_test(TARGET RANKS alone 2 4 EXPECT regex... [ARGS arg...] [TIMEOUT 60] [ENV X=1 ...])
#   Runs a program of the README; some line of its output must match each extended regular expression.
function(add_example_test target)
  cmake_parse_arguments(A "" "TIMEOUT" "ARGS;RANKS;EXPECT;ENV" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 60)
  endif()
  rankpool_add_tests_for_ranks(example.${target} "${A_RANKS}" COMMAND $<TARGET_FILE:${target}> ${A_ARGS} LABEL example
                               TIMEOUT ${A_TIMEOUT} ENV ${A_ENV} EXPECT ${A_EXPECT})
endfunction()

# add_same_output_test(TARGET [ARGS arg...]): a program of the README prints the same for any number of workers and ranks.
function(add_same_output_test target)
  cmake_parse_arguments(A "" "" "ARGS" ${ARGN})
  set(launch ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} 3)
  if(rankpool_open_mpi)
    list(APPEND launch --oversubscribe --bind-to none --timeout 50)
  endif()
  rankpool_add_test(example.${target}.same_output alone LABEL example TIMEOUT 60 PROCESSORS 4
                    COMMAND ${rankpool_support}/same_output $<TARGET_FILE:${target}> ${A_ARGS} -- ${launch})
endfunction()

# NAME.alone and NAME.n4: alone a program uses every core, so no number of ranks leaves room for a neighbour at -j2.
function(rankpool_add_tests_for_ranks name ranks)
  foreach(count IN LISTS ranks)
    if(count STREQUAL alone)
      rankpool_add_test(${name}.alone alone ${ARGN} PROCESSORS 2)
    else()
      math(EXPR processors "${count} + 1") # mpirun works too
      rankpool_add_test(${name}.n${count} ${count} ${ARGN} PROCESSORS ${processors})
    endif()
  endforeach()
endfunction()

# add_compile_fail_test(NAME SOURCE MACRO REGEX): compiling SOURCE with MACRO defined must print what REGEX matches.
# add_compile_control_test(NAME SOURCE MACRO): must compile, or the refusals would prove nothing.
function(add_compile_control_test name source macro)
  add_test(NAME ${name} COMMAND ${CMAKE_CXX_COMPILER} -std=c++20 -fsyntax-only -D${macro}
                                "-I$<JOIN:$<TARGET_PROPERTY:rankpool,INTERFACE_INCLUDE_DIRECTORIES>,;-I>" ${source}
           COMMAND_EXPAND_LISTS)
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS compile_fail ENVIRONMENT "LC_ALL=C")
endfunction()
function(add_compile_fail_test name source macro regex)
  add_compile_control_test(${name} ${source} ${macro})
  set_tests_properties(${name} PROPERTIES PASS_REGULAR_EXPRESSION "${regex}")
endfunction()
