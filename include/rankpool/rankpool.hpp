// Python's multiprocessing for C++20, on MPI: everything.
#pragma once

#include <rankpool/array.hpp>
#include <rankpool/async_result.hpp>
#include <rankpool/barrier.hpp>
#include <rankpool/callable.hpp>
#include <rankpool/condition.hpp>
#include <rankpool/connection.hpp>
#include <rankpool/errors.hpp>
#include <rankpool/event.hpp>
#include <rankpool/lock.hpp>
#include <rankpool/manager.hpp>
#include <rankpool/pool.hpp>
#include <rankpool/process.hpp>
#include <rankpool/queue.hpp>
#include <rankpool/register_exception.hpp>
#include <rankpool/run.hpp>
#include <rankpool/semaphore.hpp>
#include <rankpool/value.hpp>
#include <rankpool/wait_ready.hpp>
