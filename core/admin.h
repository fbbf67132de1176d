// SPDX-License-Identifier: Apache-2.0
// A small HTTP/1.1 server for the ports operators and kubelets talk to: admin, metrics, readiness. It runs on
// the main loop, so traffic never waits for it; handlers are registered by main and answer at once.
//
// The rule: before an Admin is destroyed, co_await stop() on its loop; its connections refer to it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http_message.h"
#include "core/ip.h"
#include "core/list.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/scope.h"
#include "core/socket.h"
#include "core/task.h"

namespace ambientd {

struct AdminRequest {
  std::string method;
  std::string path;   // before `?`
  std::string query;  // after it, as sent
  http1::Fields fields;
  std::string body;

  // A query parameter, percent-decoded; "" for one without a value, nothing when it is not there.
  std::optional<std::string> parameter(std::string_view name) const;
};

struct AdminResponse {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

using Handler = std::function<AdminResponse(const AdminRequest&)>;

struct AdminLimits {
  size_t header = 8 << 10;     // bytes, contract/ztunnel.md §2
  size_t body = 64 << 10;      // bytes
  size_t connections = 256;    // more are closed at once
  uint64_t header_ms = 2000;   // from its first byte, and for the first request from the accept
  uint64_t idle_ms = 90'000;   // between requests: longer than the pause between two scrapes
  uint64_t write_ms = 30'000;  // for one answer
};

// One port. Unknown paths are 404; garbage is 400; bodies are gzipped for those who accept it.
class Admin {
 public:
  explicit Admin(std::string name, AdminLimits limits = {});
  ~Admin();
  Admin(const Admin&) = delete;

  void route(std::string path, Handler handler);

  // Serves on `at` as well. Port 0 takes any: see addresses(). `mark` 0 sets none. Errors: those of
  // listen_on.
  Status listen(SockAddr at, uint32_t mark = 0);
  std::vector<SockAddr> addresses() const;

  // Stops listening, ends every connection, returns when none is left.
  Task<void> stop();

 private:
  struct Connection : Listed<Connection> {
    Scope scope;
  };

  void accepted(Fd fd);
  Task<void> serve(Fd fd);
  Task<bool> serve_one(Stream& stream, Scope& scope, http1::Parser& parser);
  AdminResponse answer(const AdminRequest& request) const;

  std::string name_;
  AdminLimits limits_;
  std::map<std::string, Handler, std::less<>> routes_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  List<Connection> connections_;
  size_t open_ = 0;
  Event idle_{"admin connections"};
};

}  // namespace ambientd
