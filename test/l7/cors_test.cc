// SPDX-License-Identifier: Apache-2.0
#include "l7/cors.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

namespace {

config::Cors shop_policy() {
  config::Cors out;
  out.allow_origins = {{.value = "https://shop.example", .regex = {}}};
  out.allow_methods = {"GET", "PUT"};
  out.allow_headers = {"x-a", "x-b"};
  out.expose_headers = {"x-c"};
  out.max_age_s = 60;
  out.allow_credentials = true;
  return out;
}

Request from(std::string origin, std::string method = "OPTIONS", std::string wants = "PUT") {
  Request out;
  out.method = std::move(method);
  if (!origin.empty()) out.fields.push_back({"origin", std::move(origin)});
  if (!wants.empty()) out.fields.push_back({"access-control-request-method", std::move(wants)});
  out.fields.push_back({"access-control-request-headers", "x-z"});
  return out;
}

std::string value(const Response& response, std::string_view name) {
  return std::string(http1::find(response.fields, name).value_or("-"));
}

}  // namespace

TEST_CASE("a preflight of an allowed origin is answered with all the route allows") {
  config::Cors cors = shop_policy();
  Request request = from("https://shop.example");
  std::optional<CorsGrant> grant = grant_of(cors, request);
  REQUIRE(grant);
  std::optional<Response> answer = preflight(cors, grant, request);
  REQUIRE(answer);
  allow(*grant, *answer);
  CHECK(answer->status == 200);
  CHECK(value(*answer, "access-control-allow-origin") == "https://shop.example");
  CHECK(value(*answer, "access-control-allow-credentials") == "true");
  CHECK(value(*answer, "access-control-allow-methods") == "GET,PUT");
  CHECK(value(*answer, "access-control-allow-headers") == "x-a,x-b");
  CHECK(value(*answer, "access-control-max-age") == "60");
  CHECK(value(*answer, "access-control-expose-headers") == "x-c");
}

TEST_CASE("a lone star allows what was asked for") {
  config::Cors cors = shop_policy();
  cors.allow_origins = {{.value = "*", .regex = {}}};
  cors.allow_methods = cors.allow_headers = {"*"};
  Request request = from("null");
  std::optional<Response> answer = preflight(cors, grant_of(cors, request), request);
  REQUIRE(answer);
  CHECK(value(*answer, "access-control-allow-methods") == "PUT");
  CHECK(value(*answer, "access-control-allow-headers") == "x-z");
}

TEST_CASE("a preflight of another origin is answered without a word of allowance, or forwarded") {
  config::Cors cors = shop_policy();
  Request request = from("https://evil.example");
  CHECK_FALSE(grant_of(cors, request));
  std::optional<Response> answer = preflight(cors, {}, request);
  REQUIRE(answer);
  CHECK(answer->fields == Fields{{"content-length", "0"}});
  cors.forward_unmatched_preflights = true;
  CHECK_FALSE(preflight(cors, {}, request));
}

TEST_CASE("what is no preflight is never answered here") {
  config::Cors cors = shop_policy();
  for (const Request& request :
       {from("https://shop.example", "PUT"), from("https://shop.example", "OPTIONS", ""), from("")})
    CHECK_FALSE(preflight(cors, grant_of(cors, request), request));
  CHECK_FALSE(grant_of(cors, from("")));
  CHECK_FALSE(grant_of(cors, from("HTTPS://SHOP.EXAMPLE")));
}
