// SPDX-License-Identifier: Apache-2.0
// centrale-task DIR: the supervisor of the task in DIR (docs/local-driver.md). The centre starts it; a person may, too.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "task/reply.hpp"
#include "task/supervise.hpp"

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    std::fputs(
        "usage: centrale-task DIR\n"
        "Runs the task that DIR/task.json describes, in the background, and leaves DIR/exit.json.\n"
        "Exit code 0: a supervisor was made; what became of it, it writes on descriptor 3, else into DIR.\n",
        stderr);
    return argc == 2 && std::string(argv[1]) == "--help" ? 0 : 64;
  }
  // Blocked before anything else: a request to stop that comes early waits until it can be served.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  char folder[PATH_MAX];
  if (realpath(argv[1], folder) == nullptr) {
    std::perror(argv[1]);
    return 66;
  }
  if (fcntl(centrale::task::kReplyFd, F_GETFD) < 0) {
    const int null = open("/dev/null", O_WRONLY);  // so that no file of ours becomes the reply
    if (null >= 0 && null != centrale::task::kReplyFd) {
      dup2(null, centrale::task::kReplyFd);
      close(null);
    }
  }
  close_range(centrale::task::kReplyFd + 1, ~0U, 0);
  const pid_t child = fork();
  if (child != 0) {
    return child < 0 ? 71 : 0;  // the centre has this one to wait for; the other is nobody's child
  }
  setsid();  // a session of its own: no terminal, and no signal meant for the centre's group, reaches the task
  return centrale::task::supervise(folder);
}
