// SPDX-License-Identifier: Apache-2.0
// POST /logging of the admin port: shows and changes log levels at run time (contract/ztunnel.md §13), for
// all targets, for some, or for the lines about one pod.
#pragma once

#include "core/admin.h"
#include "core/log_filter.h"

namespace ambientd {

// Changes the log's filter as the query says and answers with the levels then in force. `at_start` is what
// `reset` goes back to. 405: not a POST; 400: a level, a pod or a combination that means nothing; nothing was
// changed then.
AdminResponse answer_logging(const AdminRequest& request, const log::Filter& at_start);

}  // namespace ambientd
