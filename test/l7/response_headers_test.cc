// SPDX-License-Identifier: Apache-2.0
#include "l7/response_headers.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

namespace {

const std::chrono::system_clock::time_point kNow{
    std::chrono::seconds(784111777)};  // RFC 9110 §5.6.7's example

Response response_with(int status, Fields fields) {
  return {.status = status, .fields = std::move(fields), .content_length = {}, .has_body = true};
}

}  // namespace

TEST_CASE("an upstream's fields of one hop stay behind") {
  Response response = response_with(200, {{"connection", "close, X-Hop"},
                                          {"keep-alive", "timeout=5"},
                                          {"x-hop", "1"},
                                          {"transfer-encoding", "chunked"},
                                          {"upgrade", "h2c"},
                                          {"content-type", "text/html"}});
  clean_response(response);
  CHECK(response.fields == Fields{{"content-type", "text/html"}});
}

TEST_CASE("a switch of protocols keeps the name of the new one") {
  Response response = response_with(101, {{"connection", "Upgrade"}, {"upgrade", "websocket"}});
  clean_response(response);
  CHECK(response.fields == Fields{{"upgrade", "websocket"}});
}

TEST_CASE("server is ours, date is the upstream's if it has one") {
  Response response = response_with(200, {{"server", "nginx"}, {"server", "twice"}});
  finish_response(response, kNow, std::chrono::milliseconds(12));
  CHECK(response.fields == Fields{{"server", "istio-envoy"},
                                  {"date", "Sun, 06 Nov 1994 08:49:37 GMT"},
                                  {"x-envoy-upstream-service-time", "12"}});
  response = response_with(200, {{"date", "theirs"}});
  finish_response(response, kNow);
  CHECK(response.fields == Fields{{"date", "theirs"}, {"server", "istio-envoy"}});
}

TEST_CASE("a route may change a response, but not its framing") {
  Response response = response_with(200, {{"a", "1"}, {"content-length", "3"}});
  apply(
      config::HeaderOps{
          .set = {{"content-length", "0"}, {"X-New", "1"}}, .add = {{":status", "500"}}, .remove = {"a"}},
      response);
  CHECK(response.fields == Fields{{"content-length", "3"}, {"x-new", "1"}});
}
