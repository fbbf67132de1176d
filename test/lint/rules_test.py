# SPDX-License-Identifier: Apache-2.0
"""Each rule must catch its bad samples and stay silent on the good ones."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rules  # noqa: E402


def found(rule, text, path="core/x.cc"):
    return [line for line, _ in rule(rules.Source(path, text))]


class Arrows(unittest.TestCase):
    def test_lower_layers_do_not_see_higher_ones(self):
        bad = [("core/x.cc", "policy/a.h"), ("policy/x.h", "config/model.h"), ("hbone/x.cc", "policy/a.h"),
               ("l4/x.cc", "l7/a.h"), ("l7/x.h", "l4/a.h"), ("config/x.cc", "hbone/a.h"), ("core/x.cc", "test/support/a.h")]
        for path, header in bad:
            self.assertEqual(found(rules.arrows, f'#include "{header}"\n', path), [1], (path, header))

    def test_the_arrows_of_the_design_hold(self):
        good = [("l4/x.cc", "config/model.h"), ("l7/x.cc", "hbone/a.h"), ("config/istiod/x.cc", "hbone/a.h"),
                ("core/main.cc", "l7/a.h"), ("test/l4/x_test.cc", "l4/a.h")]
        for path, header in good:
            self.assertEqual(found(rules.arrows, f'#include "{header}"\n', path), [], (path, header))

    def test_includes_start_at_the_root(self):
        self.assertEqual(found(rules.arrows, '#include "ip.h"\n#include "../core/ip.h"\n'), [1, 2])

    def test_an_include_in_a_comment_after_code_is_still_code(self):
        self.assertEqual(found(rules.arrows, '  # include "l7/a.h"  // why\n'), [1])


class Headers(unittest.TestCase):
    def test_heavy_headers_stay_in_cc_files(self):
        for heavy in ("nlohmann/json.hpp", "boost/beast.hpp", "re2/re2.h", "CLI/CLI.hpp", "yaml-cpp/yaml.h"):
            self.assertEqual(found(rules.light_headers, f"#pragma once\n#include <{heavy}>\n", "core/x.h"), [2])
            self.assertEqual(found(rules.light_headers, f"#include <{heavy}>\n", "core/x.cc"), [])

    def test_a_forward_declaration_is_light(self):
        self.assertEqual(found(rules.light_headers, "#include <nlohmann/json_fwd.hpp>\n", "core/x.h"), [])

    def test_a_licence_line_is_wanted(self):
        self.assertEqual(found(rules.licence, "int x;\n"), [1])
        self.assertEqual(found(rules.licence, "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"), [])


class Awaits(unittest.TestCase):
    BAD = [
        "if (co_await x()) y();",
        "switch (co_await x()) { }",
        "while (co_await x()) { }",
        "for (; co_await x();) { }",
        "co_return f(co_await x());",
        "f(1, co_await x());",
        "auto v = g{co_await x()};",
        "Pair p = {co_await x(), 2};",
        "int n = a[co_await x()];",
        "bool b = ok && co_await x();",
        "int v = ok ? co_await x() : 0;",
        "bool b = !co_await x();",
        "(co_await x()).use();",
    ]
    GOOD = [
        "Result<int> r = co_await x(f(1), g{2});",
        "co_return co_await x();",
        "for (int i = 0; i < 3; ++i) co_await x();",
        "if (a) co_await x(); else co_await y();",
        "for (;;) { Result<int> r = co_await x(); if (!r) break; }",
        "switch (a) { case Kind::b: { co_await x(); } }",
        "auto f = [](int a) -> Task<void> { co_await x(); };",
        "// if (co_await x())\n",
        'log("if (co_await x())");',
    ]

    def test_an_await_stands_alone(self):
        for text in self.BAD:
            self.assertEqual(len(found(rules.awaits, f"Task<void> t() {{ {text} }}")), 1, text)

    def test_plain_awaits_are_fine(self):
        for text in self.GOOD:
            self.assertEqual(found(rules.awaits, f"Task<void> t() {{ {text} }}"), [], text)

    def test_one_await_per_statement(self):
        self.assertEqual(found(rules.awaits, "void t() {\n int n = co_await x() +\n  co_await y();\n}"), [3])


class Lambdas(unittest.TestCase):
    def test_a_coroutine_lambda_captures_nothing(self):
        for text in ("spawn([this] { co_await x(); });", "auto f = [&](int a) -> Task<void> { co_return; };",
                     "spawn([n = 1]() mutable -> Task<void> { co_return; });"):
            self.assertEqual(found(rules.coroutine_lambdas, text), [1], text)

    def test_other_lambdas_may(self):
        for text in ("spawn([](int a) -> Task<void> { co_await x(); });", "f([this] { return 1; });", "a[i] = b[j];",
                     "f([this] { g([](int a) -> Task<void> { co_return; }(1)); });"):
            self.assertEqual(found(rules.coroutine_lambdas, text), [], text)


if __name__ == "__main__":
    unittest.main()
