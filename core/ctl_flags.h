// SPDX-License-Identifier: Apache-2.0
// The arguments of `ambientd ctl`. One subcommand is one thing to show: a new one is a line in kCommands and
// a branch in ctl::run.
#pragma once

#include <string>

#include "core/options.h"

namespace CLI {
class App;
}

namespace ambientd::ctl {

// Adds `ctl` and what follows it to `app`; parsing fills `options`, which outlives `app`. The subcommand that
// was given is in options.what.
CLI::App* describe(CLI::App& app, CtlOptions& options);

}  // namespace ambientd::ctl
