// SPDX-License-Identifier: Apache-2.0
// Why a call goes where it goes, before a byte is sent: every way it may take, and what the far end would
// say. The rule: nothing here decides. It asks decide(), validate() and policy::judge(), as the data path
// does, and keeps what they went by.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/snapshot.h"
#include "l4/decide.h"
#include "l4/validate.h"
#include "policy/authorization.h"

namespace ambientd::l4 {

struct Question {
  config::WorkloadPtr source;
  Ip from;  // one of its addresses
  SockAddr target;
};

// How people name things. `source`: a workload's uid, `ns/name` or address. `destination`: IP:port, a
// service's hostname:port (`echo`, `echo.default` and `echo.default.svc` stand for the whole one), or a
// workload's ns/name:port. Errors, for whoever asked: invalid (it cannot be read), not_found.
Result<Question> understand(const config::Snapshot& snapshot, std::string_view network,
                            std::string_view cluster_domain, const std::string& source,
                            const std::string& destination);

// What the ztunnel of the called pod makes of a CONNECT.
struct FarEnd {
  struct Judged {
    config::AuthorizationPtr policy;
    std::optional<size_t> rule;  // the first one that matches
  };
  Result<Admission> admission;
  policy::Verdict verdict;  // when it is admitted
  std::vector<Judged> policies;
  std::vector<std::string> unknown;  // policies that the workload names and nobody has sent
  int status = 0;                    // that answers the CONNECT; 200: if the application accepts
};

// One of the ways: which of them a call takes is drawn by weight.
struct Way {
  Result<Decision> decision;
  std::optional<FarEnd> far_end;  // nothing: no ztunnel of this network judges it
};

struct Explanation {
  Question question;
  std::string uncaptured;  // why a ztunnel never sees this call; empty: it does
  Trace trace;             // every choice on any of the ways, once
  std::vector<Way> ways;
  bool complete = true;  // false: there are more ways
};

// Looks through all workloads a few times: for people, not for each call.
Explanation explain(const config::Snapshot& snapshot, const Rules& rules, Question question);

}  // namespace ambientd::l4
