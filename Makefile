# SPDX-License-Identifier: MIT
# reqmeter: one non-recursive makefile. Everything generated goes to build/.
#   make            build/reqmeter
#   make help       the targets
VERSION  := 0.1.0
PREFIX   ?= /usr/local
DESTDIR  ?=
B        := build

CC       ?= gcc
CLANG    ?= clang
PYTHON   ?= /usr/bin/python3
BPFTOOL  ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
STRIP    := llvm-strip
PKGS     := libbpf libelf zlib libcjson libmicrohttpd libcurl

ifeq ($(V),1)
Q :=
else
Q := @
endif
say = @printf '  %-8s %s\n' '$(1)' '$(2)'

WARN     := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Wvla $(if $(filter 1 true,$(CI)),-Werror)
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) -D_GNU_SOURCE -DREQMETER_VERSION='"$(VERSION)"' \
             -Isrc -Iinclude -I$(B)/gen $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS      = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -lpthread
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# The multiarch include path: clang's BPF target does not look there for asm/types.h.
BPF_CFLAGS := -g -O2 -target bpf -D__TARGET_ARCH_x86 -mcpu=v3 -Isrc -Ibpf -idirafter /usr/include/$(shell gcc -dumpmachine) \
              -Wall -Wextra -Wno-unused-parameter -Wno-address-of-packed-member $(if $(filter 1 true,$(CI)),-Werror)

BPF_SRC  := $(sort $(wildcard bpf/*.bpf.c))
BPF_OBJ  := $(BPF_SRC:bpf/%.bpf.c=$(B)/bpf/%.bpf.o)
SKELETON := $(B)/gen/reqmeter.skel.h

SRC      := $(sort $(wildcard src/*/*.c src/protocol/*/*.c))
SDK_SRC  := $(sort $(wildcard src/sdk/*.c))
EXAMPLES := $(patsubst src/sdk/examples/%.c,$(B)/examples/%,$(sort $(wildcard src/sdk/examples/*.c)))
SDK_OBJ  := $(SDK_SRC:src/sdk/%.c=$(B)/sdk/%.o)
MAIN     := src/cli/main.c
OBJ      := $(SRC:src/%.c=$(B)/obj/%.o)
# The program does not contain the library; the unit tests do.
PROG_OBJ := $(filter-out $(B)/obj/sdk/%,$(OBJ))
LIB_OBJ  := $(filter-out $(B)/obj/cli/main.o,$(OBJ))
ASAN_OBJ := $(patsubst $(B)/obj/%,$(B)/asan/%,$(LIB_OBJ))

FUZZED   := address,undefined
FUZZ_OBJ := $(patsubst $(B)/obj/%,$(B)/fuzz/obj/%,$(LIB_OBJ))

UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/*.c)))
FUZZ     := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))

.PHONY: all lib examples python check test fuzz install clean help
.DELETE_ON_ERROR:
.SECONDARY:

MAN      := $(B)/man/reqmeter-fields.5 $(sort $(wildcard src/man/*.[1-8]))

all: $(B)/reqmeter $(B)/man/reqmeter-fields.5 lib ## build the program and the library (the default)

lib: $(B)/libreqmeter.so $(B)/libreqmeter.a ## the library alone: needs nothing but libc

$(B)/reqmeter: $(PROG_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(PROG_OBJ) $(LIBS)

# Thread-local variables in static TLS: one instruction, and the kernel side finds none of them by itself anyway.
$(B)/sdk/%.o: src/sdk/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARN) $(CFLAGS) -fPIC -fvisibility=hidden -ftls-model=initial-exec -D_GNU_SOURCE \
		-Isrc -Iinclude -MMD -MP -c -o $@ $<

# Threads keep pointing at its data: it must not be unloaded.
$(B)/libreqmeter.so: $(SDK_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,libreqmeter.so.0 -Wl,-Bsymbolic-functions -Wl,-z,nodelete -Wl,-z,defs -o $@ $(SDK_OBJ) -lpthread
	$(Q)ln -sf libreqmeter.so $@.0

# One object whose only names are the public ones.
$(B)/libreqmeter.a: $(SDK_OBJ)
	$(call say,AR,$@)
	$(Q)$(LD) -r -o $(B)/sdk/libreqmeter.o $(SDK_OBJ)
	$(Q)objcopy --localize-hidden $(B)/sdk/libreqmeter.o
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(B)/sdk/libreqmeter.o

$(B)/obj/%.o: src/%.c | $(SKELETON)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/asan/%.o: src/%.c | $(SKELETON)
	$(call say,CC asan,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<

# As a program outside of this tree would be built: the public header and the library, nothing else.
$(B)/examples/%: src/sdk/examples/%.c $(B)/libreqmeter.a include/reqmeter/reqmeter.h
	$(call say,EXAMPLE,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARN) $(CFLAGS) -D_GNU_SOURCE -Iinclude -o $@ $< $(B)/libreqmeter.a -lpthread

examples: $(EXAMPLES) ## build the library's examples

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
	$(Q)$(STRIP) -g $@

# The reference of fields comes from the tables that the report is written from.
$(B)/man/fields: scripts/manual/fields.c $(LIB_OBJ)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(LIB_OBJ) $(LIBS)

$(B)/man/reqmeter-fields.5: $(B)/man/fields
	$(call say,MAN,$@)
	$(Q)$< > $@

# Weak maps and knobs that several subjects share become one here.
$(B)/bpf/reqmeter.o: $(BPF_OBJ)
	$(call say,LINK BPF,$@)
	$(Q)$(BPFTOOL) gen object $@ $(BPF_OBJ)

$(SKELETON): $(B)/bpf/reqmeter.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name reqmeter > $@

$(B)/unit/%: tests/unit/%.c $(ASAN_OBJ)
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(SANITIZE) -Itests/unit -Ibpf -MMD -MP -MF $@.d -o $@ $< $(ASAN_OBJ) $(LIBS) -lcriterion

# Each target takes from the archive what it calls.
$(B)/fuzz/obj/%.o: src/%.c | $(SKELETON)
	$(call say,CC fuzz,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(ALL_CFLAGS) -O1 -fsanitize=fuzzer-no-link,$(FUZZED) -fno-sanitize-recover=undefined -MMD -MP -c -o $@ $<

$(B)/fuzz/all.a: $(FUZZ_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $(FUZZ_OBJ)

$(B)/fuzz/%: tests/fuzz/%.c $(B)/fuzz/all.a
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(ALL_CFLAGS) -O1 -fsanitize=fuzzer,$(FUZZED) -fno-sanitize-recover=undefined -Ibpf -MMD -MP -MF $@.d -o $@ $< $(B)/fuzz/all.a $(LIBS)

# Loads every BPF program, for scripts/kernels.
$(B)/verify: tests/kernels/verify.c $(patsubst %,$(B)/obj/%.o,probe/kernel_support probe/btf base/features system/preemption \
		system/file system/text) | $(SKELETON)
	$(call say,TEST,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $(filter %.c %.o,$^) $(LIBS)

check: $(UNIT) lib ## unit tests: no root, seconds
	@tests/unit/run $(UNIT)

fuzz: $(FUZZ) ## build the fuzz targets (clang, libFuzzer)

python: ## the Python package, in build/python/lib (needs the headers of $(PYTHON))
	$(call say,PYTHON,$(B)/python/lib/reqmeter)
	$(Q)cd src/sdk/python && REQMETER_NATIVE=1 PYTHONWARNINGS=ignore $(PYTHON) setup.py -q build --build-lib $(CURDIR)/$(B)/python/lib

test: ## everything scripts/test runs (root for the live part)
	scripts/test

install: all ## DESTDIR, PREFIX: program, library, header, pkg-config, man pages, systemd unit
	install -Dm755 $(B)/reqmeter $(DESTDIR)$(PREFIX)/bin/reqmeter
	install -Dm644 -t $(DESTDIR)$(PREFIX)/include/reqmeter include/reqmeter/*.h
	for page in $(MAN); do install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; done
	install -Dm755 $(B)/libreqmeter.so $(DESTDIR)$(PREFIX)/lib/libreqmeter.so.0
	ln -sf libreqmeter.so.0 $(DESTDIR)$(PREFIX)/lib/libreqmeter.so
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib $(B)/libreqmeter.a
	@mkdir -p $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@VERSION@,$(VERSION),' scripts/deploy/reqmeter.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/reqmeter.pc
	sed -e 's,@PREFIX@,$(PREFIX),' scripts/deploy/reqmeter.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/reqmeter.service

clean: ## remove build/
	rm -rf $(B)

help: ## this text
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

-include $(B)/verify.d $(FUZZ:=.d) $(FUZZ_OBJ:.o=.d) $(OBJ:.o=.d) $(SDK_OBJ:.o=.d) $(ASAN_OBJ:.o=.d) $(BPF_OBJ:.o=.d) $(UNIT:=.d) $(B)/man/fields.d
