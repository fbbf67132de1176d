// SPDX-License-Identifier: Apache-2.0
#include "core/yaml_text.h"

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>

#include "test/support/catch.h"

using namespace ambientd;
using nlohmann::json;

TEST_CASE("JSON becomes block YAML") {
  json value =
      json::parse(R"({"a": [{"b": 1, "c": []}, [1, 2]], "d": {"e": null, "f": true}, "g": {}, "h": "x y"})");
  CHECK(yaml_text(value) ==
        "a:\n- b: 1\n  c: []\n- - 1\n  - 2\nd:\n  e: null\n  f: true\ng: {}\nh: \"x y\"\n");
  CHECK(yaml_text(json::array()) == "[]\n");
}

TEST_CASE("a string stays a string, whatever it looks like") {
  for (const char* text : {"true", "No", "null", "1.5", "", "a: b", "- x", "#", "multi\nline", "\"q\"", "~",
                           "plain", "spiffe://a/ns/b/sa/c", "[proxy{wl=a/b}]=debug", "a#b", "x:"}) {
    INFO(text);
    YAML::Node node = YAML::Load(yaml_text(json{{"k", text}}));
    CHECK(node["k"].as<std::string>() == text);
    bool quoted = node["k"].Tag() == "!";
    CHECK((quoted || std::string(text) == "plain"));
  }
}
