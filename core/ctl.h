// SPDX-License-Identifier: Apache-2.0
// `ambientd ctl`: shows an operator what a running proxy knows, over its admin port, or what a saved dump
// says. It is only a client: everything it prints comes from the admin port's answers, so it works on any
// ztunnel.
#pragma once

#include <string>

#include "core/options.h"
#include "core/result.h"

namespace ambientd::ctl {

// What is to be printed. Runs a loop of its own on the calling thread. Errors say what to try next.
Result<std::string> run(const CtlOptions& options);

}  // namespace ambientd::ctl
