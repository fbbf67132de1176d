// SPDX-License-Identifier: Apache-2.0
#include "l7/request_headers.h"

#include <set>

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

namespace {

Request request_with(Fields fields) {
  Request out;
  out.method = "GET";
  out.authority = "shop:80";
  out.path = "/a";
  out.fields = std::move(fields);
  return out;
}

// What is left of the fields, without those that are added to every request.
Fields cleaned(Fields fields) {
  fields.push_back({"x-forwarded-proto", "http"});
  fields.push_back({"x-request-id", "kept"});
  Request request = request_with(std::move(fields));
  REQUIRE(clean_request(request));
  remove_field(request.fields, "x-forwarded-proto");
  remove_field(request.fields, "x-request-id");
  return request.fields;
}

std::optional<Cause> refused(Request request) {
  std::expected<void, Cause> clean = clean_request(request);
  return clean ? std::nullopt : std::optional(clean.error());
}

}  // namespace

TEST_CASE("fields of one hop go no further") {
  CHECK(cleaned({{"connection", "keep-alive, X-Secret"},
                 {"keep-alive", "timeout=5"},
                 {"proxy-connection", "close"},
                 {"transfer-encoding", "chunked"},
                 {"upgrade", "h2c"},
                 {"http2-settings", "AAA"},
                 {"x-secret", "1"},
                 {"host", "other"},
                 {"x-kept", "2"},
                 {"connection", "x-second"},
                 {"x-second", "3"}}) == Fields{{"x-kept", "2"}});
}

TEST_CASE("te is reduced to trailers") {
  CHECK(cleaned({{"te", "gzip"}}).empty());
  CHECK(cleaned({{"te", "gzip"}, {"te", "deflate, trailers"}}) == Fields{{"te", "trailers"}});
  CHECK(cleaned({{"connection", "te"}, {"te", "trailers"}}) == Fields{{"te", "trailers"}});
}

TEST_CASE("nominations that hide or redirect are refused") {
  for (std::string_view value : {"x-forwarded-for", "X-Forwarded-Proto", "close, host", ":path",
                                 "content-length", "a,b,c,d,e,f,g,h,i,j"}) {
    CAPTURE(value);
    CHECK(refused(request_with({{"connection", std::string(value)}})) == Cause::bad_connection_header);
  }
  CHECK(!refused(request_with({{"connection", "a,b,c,d,e,f,g,h,i"}})));
  CHECK(refused(request_with({{"connection", "a,b,c,d,e"}, {"connection", "f,g,h,i,j"}})) ==
        Cause::bad_connection_header);
}

TEST_CASE("a client cannot steer the proxy") {
  for (std::string_view name :
       {"x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-retriable-status-codes",
        "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response",
        "x-envoy-expected-rq-timeout-ms", "x-envoy-force-trace", "x-envoy-ip-tags", "x-envoy-internal",
        "x-envoy-original-path", "x-forwarded-client-cert"}) {
    CAPTURE(name);
    CHECK(cleaned({{std::string(name), "1"}}).empty());
  }
  CHECK(cleaned({{"x-envoy-decorator-operation", "op"}}).size() == 1);
}

TEST_CASE("what is absent is added, what is there stays") {
  Request bare = request_with({});
  REQUIRE(clean_request(bare));
  CHECK(http1::find(bare.fields, "x-forwarded-proto") == "http");
  CHECK(http1::find(bare.fields, "x-request-id")->size() == 36);
  CHECK(bare.scheme == "http");

  Request full = request_with(
      {{"x-forwarded-for", "1.2.3.4"}, {"x-forwarded-proto", "https"}, {"x-request-id", "mine"}});
  Fields before = full.fields;
  REQUIRE(clean_request(full));
  CHECK(full.fields == before);
  CHECK(full.scheme == "https");
}

TEST_CASE("cookie lines become one") {
  CHECK(cleaned({{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}}) ==
        Fields{{"cookie", "a=1; b=2"}, {"x", "y"}});
}

TEST_CASE("requests that cannot be forwarded are refused with their cause") {
  Request request = request_with({});
  request.authority.clear();
  CHECK(refused(request) == Cause::missing_host);
  request = request_with({});
  request.path = "/a%00";
  CHECK(refused(request) == Cause::bad_path);
  request.path = "*";
  CHECK(refused(request) == Cause::bad_path);
  request.method = "OPTIONS";
  CHECK(!refused(request));
  request = request_with({});
  request.method = "CONNECT";
  CHECK(refused(request) == Cause::upgrade_refused);
  request.upgrade = "websocket";  // extended CONNECT
  CHECK(!refused(request));
  request = request_with({});
  request.upgrade = "tls/1.0";
  CHECK(refused(request) == Cause::upgrade_refused);
}

TEST_CASE("an offer of h2c is left unanswered") {
  Request request = request_with({{"connection", "upgrade, http2-settings"}, {"http2-settings", "AAA"}});
  request.upgrade = "h2c";
  REQUIRE(clean_request(request));
  CHECK(request.upgrade.empty());
  CHECK(!http1::find(request.fields, "http2-settings"));
}

TEST_CASE("the path is normalised before anyone reads it") {
  Request request = request_with({});
  request.path = "/public/%2e%2e/%61dmin?q=%2e";
  REQUIRE(clean_request(request));
  CHECK(request.path == "/admin?q=%2e");
}

TEST_CASE("operations remove, set and add") {
  Request request = request_with({{"a", "1"}, {"b", "1"}, {"b", "2"}, {"c", "1"}});
  config::HeaderOps ops{.set = {{"B", "9"}, {"new", "1"}}, .add = {{"c", "2"}, {"a", "3"}}, .remove = {"A"}};
  apply(ops, request);
  CHECK(request.fields == Fields{{"b", "9"}, {"c", "1"}, {"new", "1"}, {"c", "2"}, {"a", "3"}});
}

TEST_CASE("operations cannot break a message, but may rewrite its host") {
  Request request = request_with({{"content-length", "5"}});
  config::HeaderOps ops{.set = {{"Host", "other:81"}, {":path", "/b"}, {"transfer-encoding", "x"}},
                        .add = {{"host", "third"}, {":method", "PUT"}, {"connection", "close"}},
                        .remove = {"content-length", ":authority", "host"}};
  apply(ops, request);
  CHECK(request.fields == Fields{{"content-length", "5"}});
  CHECK(request.authority == "other:81");
  CHECK(request.path == "/a");
  apply(config::HeaderOps{.set = {{":authority", "fourth"}}, .add = {}, .remove = {}}, request);
  CHECK(request.authority == "fourth");
}

TEST_CASE("the last forwarded address is the trusted one") {
  CHECK(forwarded_address(request_with({{"x-forwarded-for", "1.1.1.1, 2.2.2.2"}})) == Ip::v4(2, 2, 2, 2));
  CHECK(forwarded_address(request_with({{"x-forwarded-for", "1.1.1.1"}, {"x-forwarded-for", "fd00::1"}})) ==
        Ip::parse("fd00::1"));
  CHECK(!forwarded_address(request_with({{"x-forwarded-for", "1.1.1.1, unknown"}})));
  CHECK(!forwarded_address(request_with({})));
}

TEST_CASE("request ids are random UUIDs of version 4") {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    std::string id = new_request_id();
    CHECK(id.size() == 36);
    CHECK(id[8] == '-');
    CHECK(id[14] == '4');
    CHECK(std::string_view("89ab").find(id[19]) != std::string_view::npos);
    seen.insert(id);
  }
  CHECK(seen.size() == 100);
}
