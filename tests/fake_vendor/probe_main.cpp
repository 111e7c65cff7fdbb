// SPDX-License-Identifier: Apache-2.0
#include "operate/discover.hpp"

int main(int argc, char** argv) { return centrale::probe_main(argc - 1, argv + 1); }
