# ambientd. `make demo` and `make test` do everything by themselves on a fresh Debian 12; README.md says the rest.
FLAVOR ?= release
CXX := clang++-19
B := build/$(FLAVOR)
J ?= $(shell nproc)

LAYERS := core policy config hbone l4 l7
PACKAGES := libuv libnghttp2 openssl yaml-cpp re2 fmt spdlog zlib

OPT_release := -O2 -g1
OPT_asan := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g1 -fno-omit-frame-pointer -fsanitize=thread
OPT_fuzz := -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null | sed 's/-I/-isystem /g')
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
CXXFLAGS := -std=c++23 $(OPT_$(FLAVOR)) $(WARN) -I. $(PKG_CFLAGS) -MMD -MP
LDFLAGS := $(OPT_$(FLAVOR)) -fuse-ld=lld-19 -pthread
LDLIBS := $(PKG_LIBS)
COMPILE := $(shell command -v ccache) $(CXX) $(CXXFLAGS)

src = $(filter-out core/main.cc,$(wildcard $(1)/*.cc $(1)/*/*.cc))
objs = $(patsubst %.cc,$(B)/%.o,$(call src,$(1)))
LIBS := $(foreach l,l7 l4 hbone config policy core,$(B)/lib$(l).a)

.PHONY: build
build: $(B)/ambientd

$(B)/ambientd: $(B)/core/main.o $(LIBS)
	$(CXX) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

define layer
$(B)/lib$(1).a: $$(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	llvm-ar-19 rcs $$@ $$^
$(B)/unit-$(1): $$(patsubst %.cc,$(B)/%.o,$$(wildcard test/$(1)/*_test.cc)) $(B)/libsupport.a $(LIBS)
	$(CXX) $(LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $(B)/libsupport.a $(LIBS) -Wl,--end-group $(LDLIBS)
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$(l))))

$(B)/libsupport.a: $(patsubst %.cc,$(B)/%.o,$(wildcard test/support/*.cc))
	@mkdir -p $(@D)
	@rm -f $@
	llvm-ar-19 rcs $@ $^

UNITS := $(foreach l,$(LAYERS),$(if $(wildcard test/$(l)/*_test.cc),$(B)/unit-$(l)))
.PHONY: unit
unit: $(UNITS)
	@for u in $(UNITS); do echo "== $$u"; $$u || exit 1; done

$(B)/%.o: %.cc
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)
