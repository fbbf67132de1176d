# SPDX-License-Identifier: Apache-2.0
"""The rules that need nothing but the text of one file: arrows between folders, awaits, heavy headers, licence line.

Each rule takes a Source and yields (line, sentence). Comments and literals are blanked out first (same length, same
lines), so a rule may use plain regular expressions.
"""
import re
from dataclasses import dataclass

# Who may include whom. config/istiod speaks xDS over an HBONE session, so it alone in config may see hbone.
ARROWS = {
    "core": {"core"},
    "policy": {"core", "policy"},
    "config": {"core", "policy", "config"},
    "config/istiod": {"core", "policy", "config", "hbone"},
    "hbone": {"core", "hbone"},
    "l4": {"core", "policy", "config", "hbone", "l4"},
    "l7": {"core", "policy", "config", "hbone", "l7"},
    "test": {"core", "policy", "config", "hbone", "l4", "l7", "test"},
}
EXEMPT = {"core/main.cc"}  # the table of contents: it puts the layers together
HEAVY = re.compile(r"^(nlohmann/(?!json_fwd)|yaml-cpp/|boost/|catch2/|CLI/|re2/)")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
CATCH = "test/support/catch.h"  # the one header whose purpose is to choose a heavy one

TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])\'(?:\\.|[^\'\\\n])+\'', re.S)


@dataclass
class Source:
    path: str  # from the root of the repository
    text: str

    def __post_init__(self):
        self.code = TOKENS.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), self.text)

    def line(self, at):
        return self.text.count("\n", 0, at) + 1

    @property
    def layer(self):
        folders = self.path.split("/")[:-1]
        for depth in (2, 1):
            if "/".join(folders[:depth]) in ARROWS:
                return "/".join(folders[:depth])
        return None


def licence(source):
    head = source.text.split("\n", 2)[:2]
    if not any(line.endswith("SPDX-License-Identifier: Apache-2.0") for line in head):
        yield 1, "no SPDX line at the top"


def arrows(source):
    if source.layer is None or source.path in EXEMPT:
        return
    for match in INCLUDE.finditer(source.text):
        if match[1] == "<":
            continue
        folder = match[2].split("/")[0]
        if "/" not in match[2] or folder not in ARROWS:
            yield source.line(match.start()), f'include "{match[2]}" from the root of the repository'
        elif folder not in ARROWS[source.layer]:
            yield source.line(match.start()), f"{source.layer}/ may not include {folder}/"


def light_headers(source):
    if not source.path.endswith(".h") or source.path == CATCH:
        return
    for match in INCLUDE.finditer(source.text):
        if HEAVY.match(match[2]):
            yield source.line(match.start()), f"<{match[2]}> is heavy: include it in a .cc file, forward-declare here"


# What may stand before `{` when it opens a block of statements; anything else opens an initializer.
BLOCK = re.compile(r"(^|[;{}):]|\b(else|do|try|const|noexcept|override|final|mutable)|->[^;{}()]*)\s*$")


def enclosing(code, at):
    """The start of the statement around `at` and what encloses `at` within it: "", "(", "[" or "{" (an initializer)."""
    depth, where = 0, ""
    for i in range(at - 1, -1, -1):
        c = code[i]
        if c in ")]":
            depth += 1
        elif c in "([":
            if depth == 0:
                where = where or c
            else:
                depth -= 1
        elif depth == 0 and c == "{" and not BLOCK.search(code[max(0, i - 200):i]):
            where = where or c
        elif depth == 0 and (c in "{}" or c == ";" and not in_for(code, i)):
            return i + 1, where
    return 0, where


def in_for(code, at):
    """Whether the `;` at `at` separates the clauses of a `for`."""
    depth = 0
    for i in range(at - 1, -1, -1):
        c = code[i]
        if c in ")]}":
            depth += 1
        elif c in "([{":
            if depth == 0:
                return c == "(" and re.search(r"\bfor\s*$", code[:i][-20:]) is not None
            depth -= 1
    return False


def awaits(source):
    """style.md rule 12: older g++ skips or doubles awaits that are part of a larger expression."""
    seen = set()
    for match in re.finditer(r"\bco_await\b", source.code):
        start, where = enclosing(source.code, match.start())
        before = source.code[start:match.start()]
        line = source.line(match.start())
        if where:
            yield line, "co_await inside a condition, an argument list or an initializer: give it a statement of its own"
        elif re.search(r"(\?|&&|\|\||!)\s*$", before):
            yield line, "co_await as part of an expression: give it a statement of its own"
        elif start in seen:
            yield line, "two awaits in one statement"
        seen.add(start)


LAMBDA = re.compile(r"(?<![\w\])\[])\[([^\[\]]*)\]\s*(?=[({]|mutable|noexcept|->)")


def block_end(code, opening):
    depth = 0
    for i in range(opening, len(code)):
        depth += (code[i] == "{") - (code[i] == "}")
        if depth == 0:
            return i
    return len(code)


def lambdas(code):
    """(start, captures, body) of each lambda, innermost first; inner bodies are blanked out of outer ones."""
    for match in reversed(list(LAMBDA.finditer(code))):
        opening = code.find("{", match.end())
        if opening < 0 or ";" in code[match.end():opening]:
            continue
        end = block_end(code, opening)
        yield match.start(), match[1].strip(), code[opening:end]
        code = code[:opening] + re.sub(r"[^\n]", " ", code[opening:end]) + code[end:]


def coroutine_lambdas(source):
    for start, captures, body in lambdas(source.code):
        if captures and re.search(r"\bco_(await|return|yield)\b", body):
            yield source.line(start), "a coroutine lambda with captures: the captures die with the lambda, name a function"


RULES = (licence, arrows, light_headers, awaits, coroutine_lambdas)


def check(source):
    """All findings of one file as (line, sentence), in order. Files that are not C++ only need their licence line."""
    rules = RULES if source.path.endswith((".h", ".cc")) else (licence,)
    return sorted(finding for rule in rules for finding in rule(source))
