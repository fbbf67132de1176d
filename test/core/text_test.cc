// SPDX-License-Identifier: Apache-2.0
#include "core/text.h"

#include "test/support/catch.h"

using namespace ambientd;

TEST_CASE("base64url has one spelling for each value") {
  struct Case {
    const char* text;
    std::optional<std::string> want;
  };
  const Case cases[] = {
      {"", ""},     {"Zg", "f"},   {"Zm8", "fo"},  {"Zm9v", "foo"}, {"-_-_", "\xfb\xff\xbf"},
      {"Z", {}},    {"Zh", {}},    {"Zm9", {}},    {"Zg==", {}},    {"Zm8=", {}},
      {"+/+/", {}}, {"Zm 9v", {}}, {"Zm9v\n", {}}, {"Zm9vZ", {}}};
  for (const Case& c : cases) {
    INFO(c.text);
    CHECK(from_base64url(c.text) == c.want);
  }
}
