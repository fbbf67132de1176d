#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make lint`: the text rules of rules.py, clang-format, headers that compile alone, and the short clang-tidy list.

The last two need the compiler and are slow, so what passed is remembered in build/lint.json under a digest of the
file, of every header of ours it includes and of the command; only what changed is checked again. Takes the compile
command from $COMPILE and the number of parallel jobs from $J. Exit status 0 only if nothing was found.
"""
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import rules

STAMP = pathlib.Path("build/lint.json")
COMPILE = shlex.split(os.environ.get("COMPILE", "clang++-19 -std=c++23 -I."))
JOBS = int(os.environ.get("J", "2"))


def tracked():
    """Files of the repository, new ones included, deleted and ignored ones not."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True)
    return [path for path in sorted(out.stdout.split("\n")) if path and os.path.isfile(path)]


def is_script(path):
    with open(path, "rb") as file:
        return path.endswith(".py") or file.read(2) == b"#!"


def text_findings(paths):
    for path in paths:
        if path.endswith((".h", ".cc")) or is_script(path):
            with open(path, encoding="utf-8") as file:
                for line, sentence in rules.check(rules.Source(path, file.read())):
                    yield f"{path}:{line}: {sentence}"


def format_findings(paths):
    if not paths:
        return []
    done = subprocess.run(["clang-format-19", "--dry-run", "--ferror-limit=1", *paths], capture_output=True, text=True)
    first = dict.fromkeys(re.findall(r"^([^:\s]+:\d+):\d+: (?:warning|error): code should be", done.stderr, re.M))
    if done.returncode != 0 and not first:
        return [done.stderr.strip()]
    return [f"{where}: not in clang-format's shape (make format)" for where in first]


class Memory:
    """Which (check, file) passed, with which bytes."""

    def __init__(self):
        try:
            self.passed = json.loads(STAMP.read_text())
        except (OSError, ValueError):
            self.passed = {}
        self.digests = {}

    def of(self, path):
        if path not in self.digests:
            try:
                self.digests[path] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
            except OSError:
                self.digests[path] = "gone"
        return self.digests[path]

    def digest(self, command, inputs):
        return hashlib.sha256("\n".join([*command, *map(self.of, inputs)]).encode()).hexdigest()

    def holds(self, key, command):
        entry = self.passed.get(key)
        return entry is not None and entry["digest"] == self.digest(command, entry["inputs"])

    def keep(self, key, command, inputs):
        self.passed[key] = {"inputs": inputs, "digest": self.digest(command, inputs)}

    def save(self):
        STAMP.parent.mkdir(exist_ok=True)
        STAMP.write_text(json.dumps(self.passed, indent=0, sort_keys=True))


def proven(header):
    """Whether the build itself proves that a header compiles alone: its .cc includes it before anything else."""
    source = pathlib.Path(header).with_suffix(".cc")
    first = rules.INCLUDE.search(source.read_text()) if source.exists() else None
    return first is not None and first[2] == header


def inputs_of(path):
    """The file and the headers of ours it sees, by the compiler's own account."""
    done = subprocess.run([*COMPILE, "-x", "c++", "-MM", path], capture_output=True, text=True)
    names = done.stdout.replace("\\\n", " ").split(":", 1)[-1].split()
    return [path, ".clang-tidy", *sorted({os.path.normpath(name) for name in names} - {path})]


def compiler_findings(kind, command, paths):
    """Runs `command path` where its outcome is not known yet; what it prints is the finding."""
    memory = Memory()
    todo = [path for path in paths if not memory.holds(f"{kind} {path}", command)]

    def check(path):
        argv = [path if word == "{}" else word for word in command]
        done = subprocess.run(argv, capture_output=True, text=True)
        return path, inputs_of(path) if done.returncode == 0 else None, done.stdout + done.stderr

    with ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(check, todo))
    for path, inputs, _ in results:
        if inputs:
            memory.keep(f"{kind} {path}", command, inputs)
    memory.save()
    print(f"{kind}: {len(paths)} files, {len(todo)} checked now", flush=True)
    return [f"{path}: {kind}\n{output.strip()}" for path, inputs, output in results if not inputs]


def main():
    paths = tracked()
    headers = [path for path in paths if path.endswith(".h")]
    sources = [path for path in paths if path.endswith(".cc")]
    alone = [*COMPILE, "-Wno-pragma-once-outside-header", "-fsyntax-only", "-x", "c++", "{}"]
    tidy = ["clang-tidy-19", "--quiet", "{}", "--", *COMPILE[1:]]
    findings = [*text_findings(paths), *format_findings(headers + sources)]
    findings += compiler_findings("stand-alone header", alone, [path for path in headers if not proven(path)])
    findings += compiler_findings("clang-tidy", tidy, sources)
    print("\n".join(findings) or "lint: nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
