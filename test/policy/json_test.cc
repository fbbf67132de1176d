// SPDX-License-Identifier: Apache-2.0
#include "policy/json.h"

#include "test/support/catch.h"

using namespace ambientd::policy;

TEST_CASE("JSON text becomes a tree") {
  std::optional<Json> json =
      parse_json(R"({"a": [1, -2, 1.5, true, null, "x"], "b": {"c": 18446744073709551615}})");
  REQUIRE(json);
  const Json* a = json->find("a");
  REQUIRE(a);
  REQUIRE(a->values.size() == 6);
  CHECK(a->values[0].integer == 1);
  CHECK(a->values[1].integer == -2);
  CHECK(a->values[2].number == 1.5);
  CHECK(a->values[3].flag);
  CHECK(a->values[4].is(Json::Kind::null));
  CHECK(a->values[5].text == "x");
  const Json* c = json->find("b")->find("c");
  REQUIRE(c);
  CHECK(c->is(Json::Kind::number));
  CHECK(json->find("d") == nullptr);
  CHECK(json->text_of("a") == std::nullopt);
}

TEST_CASE("JSON that two readers could read in two ways is refused") {
  for (const char* text : {R"({"a": 1, "a": 2})", R"({"b": {"a": 1, "\u0061": 2}})", "{} {}", "{", "",
                           "{'a': 1}", "[1,]", "\"\xff\"", "nul", "{\"a\": 01}"}) {
    INFO(text);
    CHECK_FALSE(parse_json(text));
  }
}

TEST_CASE("the depth of JSON and the number of its values are bounded") {
  auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_json(nested(kMaxJsonDepth)));
  CHECK_FALSE(parse_json(nested(kMaxJsonDepth + 1)));
  std::string many = "[0";
  for (size_t i = 0; i < kMaxJsonValues; ++i) many += ",0";
  CHECK_FALSE(parse_json(many + "]"));
}
