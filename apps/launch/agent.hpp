// `rankpool-launch --agent HOST COMMAND`: what mpirun calls instead of ssh.
#pragma once

namespace launch {

/// The first byte of the file that the launcher names to its agents.
enum class JobState : char { starting = 's', running = 'r', over = 'o' };

/// Runs the real agent with the same arguments and returns its status; but once the job runs it returns 0: a session
/// that breaks is the loss of a host, which mpirun would end the job for.
int run_agent(int argc, char** argv);

}  // namespace launch
