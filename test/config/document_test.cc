// SPDX-License-Identifier: Apache-2.0
#include "config/document.h"

#include <fmt/format.h>

#include <sstream>

#include "test/support/catch.h"

namespace ambientd::config {
namespace {

std::vector<Document> read(const std::string& text, Format format = Format::yaml) {
  std::istringstream in(text);
  std::vector<Document> out;
  std::expected<void, Fault> end = read_documents(in, format, [&](const Document& d) { out.push_back(d); });
  INFO((end ? "" : end.error().message));
  REQUIRE(end);
  return out;
}

Fault fault_of(const std::string& text, Format format = Format::yaml) {
  std::istringstream in(text);
  std::expected<void, Fault> end = read_documents(in, format, [](const Document&) {});
  REQUIRE_FALSE(end);
  return end.error();
}

}  // namespace

TEST_CASE("documents come one by one, empty ones not at all") {
  std::vector<Document> all = read("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n");
  REQUIRE(all.size() == 2);
  CHECK(all[0].root.find("a")->text == "1");
  CHECK(all[1].root.find("b")->line == 7);
}

TEST_CASE("the items of a list come before what is left of the document") {
  std::vector<Document> all = read("items:\n- {a: 1}\n- {a: 2}\nkind: List\n");
  REQUIRE(all.size() == 3);
  CHECK(all[0].list == "items");
  CHECK(all[1].index == 1);
  CHECK(all[1].root.line == 3);
  CHECK(all[2].list.empty());
  CHECK(all[2].root.find("kind")->text == "List");
  CHECK(all[2].root.find("items")->values.empty());
}

TEST_CASE("a list of that name further down is an ordinary one") {
  std::vector<Document> all = read("spec: {items: [1, 2]}\n");
  REQUIRE(all.size() == 1);
  CHECK(all[0].root.find("spec")->find("items")->values.size() == 2);
}

TEST_CASE("a scalar knows whether it was quoted, and its tag") {
  std::vector<Document> all = read("a: '1'\nb: 1\nc: !Exact x\nd: ~\ne: 'null'\n");
  const Value& root = all.at(0).root;
  CHECK_FALSE(root.find("a")->plain);
  CHECK(root.find("b")->plain);
  CHECK(root.find("c")->tag == "!Exact");
  CHECK(root.find("d")->kind == Value::Kind::null);
  CHECK(root.find("e")->text == "null");
}

TEST_CASE("JSON values know their line too") {
  std::vector<Document> all = read("{\"a\": 1,\n \"b\": [2,\n 3\n],\n\"c\": {\"d\": null}}", Format::json);
  const Value& root = all.at(0).root;
  CHECK(root.find("a")->line == 1);
  CHECK(root.find("b")->values.at(1).line == 3);
  CHECK(root.find("c")->find("d")->line == 5);
}

TEST_CASE("aliases are copies of what they name") {
  std::vector<Document> all = read("a: &x {b: 1}\nc: *x\n");
  CHECK(all.at(0).root.find("c")->find("b")->text == "1");
}

TEST_CASE("nested aliases cannot blow up memory") {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    text += fmt::format("a{0}: &a{0} [*a{1}", i, i - 1);
    for (int j = 0; j < 9; ++j) text += fmt::format(", *a{}", i - 1);
    text += "]\n";
  }
  CHECK_THAT(fault_of(text).message, Catch::Contains("aliases count as often as they are used") ||
                                         Catch::Contains("too many anchored values"));
}

TEST_CASE("what cannot be read has one place and one reason") {
  struct Case {
    const char* what;
    std::string text;
    int line;
    std::string reason;
  };
  std::string deep = std::string(70, '[') + std::string(70, ']');
  const Case cases[] = {
      {"not YAML", "a: 1\nb: [1, 2\nc: }", 3, "not YAML"},
      {"a tab as indent", "a:\n\tb: 1\n", 2, "not YAML"},
      {"a stray comma", "a: 1\n---\n, b\n", 3, "cannot begin"},
      {"a double key", "a: 1\nb: 2\na: 3\n", 1, "the key \"a\" is there twice"},
      {"a list as key", "? [a]\n: 1\n", 1, "a key must be a word"},
      {"an empty key", "~: 1\n", 1, "a key is empty"},
      {"a merge key", "a: &a {x: 1}\nb:\n  <<: *a\n", 3, "merge keys"},
      {"an alias to itself", "a: &a [*a]\n", 1, "not complete"},
      {"an alias to nothing", "a: *b\n", 1, "not YAML"},
      {"too deep", deep, 1, "nested deeper than 64 levels"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    Fault fault = fault_of(c.text);
    CHECK(fault.line == c.line);
    CHECK_THAT(fault.message, Catch::Contains(c.reason));
  }
  CHECK(fault_of("{\"a\": 1,\n \"b\": }", Format::json).line == 2);
  CHECK_THAT(fault_of("{\"a\": 1, \"a\": 2}", Format::json).message, Catch::Contains("twice"));
  CHECK_THAT(fault_of(deep, Format::json).message, Catch::Contains("nested deeper"));
}

TEST_CASE("a tree of too many values is refused, a long list of small ones is not") {
  std::string items = "kind: List\nitems:\n", flat = "a:\n";
  for (size_t i = 0; i < kMaxNodes / 2; ++i) items += "- {a: 1, b: 2}\n";
  for (size_t i = 0; i <= kMaxNodes; ++i) flat += "- x\n";
  CHECK(read(items).size() == kMaxNodes / 2 + 1);
  CHECK_THAT(fault_of(flat).message, Catch::Contains("more than 200000 values"));
}

}  // namespace ambientd::config
