// Python's multiprocessing for C++20, on MPI: everything.
#pragma once

#include <rankpool/async_result.hpp>
#include <rankpool/callable.hpp>
#include <rankpool/errors.hpp>
#include <rankpool/event.hpp>
#include <rankpool/pool.hpp>
#include <rankpool/register_exception.hpp>
#include <rankpool/run.hpp>
