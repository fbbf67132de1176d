// SPDX-License-Identifier: Apache-2.0
#include "l7/token.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;
using Texts = std::vector<std::string>;

namespace {

Request request(Fields fields, std::string path = "/") {
  Request out;
  out.method = "GET";
  out.path = std::move(path);
  out.fields = std::move(fields);
  return out;
}

policy::JwtRule usual_rule() {
  policy::JwtRule rule;
  rule.headers = {{"authorization", "Bearer "}};
  rule.params = {"access_token"};
  return rule;
}

}  // namespace

TEST_CASE("tokens are found in each value of a header, parameter and cookie") {
  policy::JwtRule rule = usual_rule();
  rule.headers.push_back({"x-token", ""});
  rule.cookies = {"session"};
  struct Case {
    Request asked;
    Texts want;
  };
  const Case cases[] = {
      {request({}), {}},
      {request({{"authorization", "Bearer a.b.c"}}), {"a.b.c"}},
      {request({{"authorization", "Bearer a"}, {"authorization", "Bearer b"}}), {"a", "b"}},
      {request({{"authorization", "Basic x, Bearer a"}}), {"a"}},
      {request({{"authorization", "Bearer   \"a\""}}), {"a\""}},
      {request({{"authorization", "bearer a"}}), {}},
      {request({{"authorization", "Bearer"}}), {}},
      {request({{"authorization", "Bearer "}}), {"Bearer "}},
      {request({{"x-token", "anything at all"}}), {"anything at all"}},
      {request({}, "/?access_token=a&access_token=b&x=c"), {"a", "b"}},
      {request({}, "/?access%5Ftoken=a%2Eb&access_token"), {"a.b", ""}},
      {request({}, "/access_token=a"), {}},
      {request({{"cookie", "a=b; session=s ;session=\"t\"; sessions=u"}}), {"s", "t"}},
      {request({{"cookie", "session=s"}, {"authorization", "Bearer h"}}, "/?access_token=p"),
       {"h", "p", "s"}},
  };
  for (const Case& c : cases) {
    INFO(c.asked.path << (c.asked.fields.empty() ? "" : " " + c.asked.fields[0].value));
    CHECK(find_tokens(rule, c.asked) == c.want);
  }
}

TEST_CASE("a header that held a token is taken out, one that held something else stays") {
  Request asked = request({{"authorization", "Bearer a"},
                           {"authorization", "Basic b"},
                           {"cookie", "session=s"},
                           {"x-token", "c"}},
                          "/?access_token=p");
  policy::JwtRule rule = usual_rule();
  rule.cookies = {"session"};
  remove_tokens(rule, asked);
  CHECK(asked.fields == Fields{{"authorization", "Basic b"}, {"cookie", "session=s"}, {"x-token", "c"}});
  CHECK(asked.path == "/?access_token=p");
}

TEST_CASE("a preflight is what a browser sends before the request") {
  Request asked = request({{"origin", "https://a"}, {"access-control-request-method", "GET"}});
  CHECK_FALSE(is_cors_preflight(asked));
  asked.method = "OPTIONS";
  CHECK(is_cors_preflight(asked));
  asked.fields.pop_back();
  CHECK_FALSE(is_cors_preflight(asked));
}
