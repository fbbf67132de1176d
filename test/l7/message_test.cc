// SPDX-License-Identifier: Apache-2.0
#include "l7/message.h"

#include "test/support/catch.h"

using namespace ambientd;
using namespace ambientd::l7;

TEST_CASE("a request is gRPC by its content type") {
  struct Case {
    std::string type;
    bool grpc;
  };
  for (const Case& c : std::vector<Case>{{"application/grpc", true},
                                         {"application/grpc+proto", true},
                                         {"application/grpc;charset=x", true},
                                         {"application/grpc-web", false},
                                         {"application/json", false},
                                         {"", false}}) {
    CAPTURE(c.type);
    Request request;
    if (!c.type.empty()) add_field(request.fields, "content-type", c.type);
    CHECK(request.is_grpc() == c.grpc);
  }
}

TEST_CASE("a path ends where its query begins") {
  Request request;
  request.path = "/a/b?c=d?e";
  CHECK(request.path_only() == "/a/b");
  CHECK(request.query() == "c=d?e");
  request.path = "/a";
  CHECK(request.path_only() == "/a");
  CHECK(request.query().empty());
}

TEST_CASE("field operations keep the order of what they leave") {
  Fields fields{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}};
  set_field(fields, "a", "9");
  CHECK(fields == Fields{{"a", "9"}, {"b", "2"}, {"c", "4"}});
  set_field(fields, "d", "5");
  add_field(fields, "b", "6");
  CHECK(fields == Fields{{"a", "9"}, {"b", "2"}, {"c", "4"}, {"d", "5"}, {"b", "6"}});
  remove_field(fields, "b");
  CHECK(fields == Fields{{"a", "9"}, {"c", "4"}, {"d", "5"}});
}
