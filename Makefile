# Postrider: see README.md. `make` builds, `make demo` shows, `make test` proves.

QMAIL   = /var/qmail
DESTDIR =
GO      = go

# How many deliveries qmail-rspawn offers to run at once, 255 at the most.
SPAWN   = 255

PROGRAMS = qmail-remote qmail-remote-io ucspi-tlsc qmail-tcpto qmail-tcpok qmail-rspawn qmail-rstat qmail-smtpd \
	ucspi-tlsd ucspi-tlsd-io fixsmtpio smtpd-starttls-proxy-io qmail-qfilter-addtlsheader qmail-authup checknotroot \
	qmail-ofmipd
LDFLAGS = -s -w -X postrider/internal/home.Default=$(QMAIL)
BUILD   = CGO_ENABLED=0 $(GO) build -trimpath -ldflags

HELPERS = ucspi-tlsc ucspi-tlsd qmail-smtpd qmail-ofmipd qmail-authup checknotroot fixsmtpio \
	smtpd-starttls-proxy-io qmail-qfilter-addtlsheader

# Programs that report to qmail begin before the Go runtime does, where there
# are instructions for it: see internal/entry.
PLATFORM := $(shell $(GO) env GOOS GOARCH | tr '\n' ' ')
ENTRY    := $(if $(findstring linux amd64,$(PLATFORM))$(findstring linux arm64,$(PLATFORM)),-E postrider_)
REPORT   = qmail-remote qmail-remote-io ucspi-tlsd-io
$(REPORT:%=bin/%): LDFLAGS += $(ENTRY:_=_start)
$(HELPERS:%=bin/%): LDFLAGS += $(ENTRY:_=_helper)

# Most of them end before any garbage is collected, and none is profiled: no profile,
# no names for mappings, and, as long as Go still has it, the collector whose heap
# touches fewer pages. GODEBUG of the environment still counts.
COLLECTOR := $(shell GOEXPERIMENT=nogreenteagc $(GO) env GOVERSION >/dev/null 2>&1 && echo nogreenteagc)
BRIEF      = $(REPORT:%=bin/%) $(HELPERS:%=bin/%)
$(BRIEF): LDFLAGS += -X runtime.godebugDefault=memprofilerate=0,profstackdepth=0,decoratemappings=0
$(BRIEF): export GOEXPERIMENT := $(or $(GOEXPERIMENT),$(COLLECTOR))
bin/qmail-rspawn: LDFLAGS += -X main.defaultLimit=$(SPAWN)

all: $(PROGRAMS:%=bin/%) bin/qmail-smtpc bin/authup bin/qmail-popup

.PHONY: all $(PROGRAMS:%=bin/%) bin/qmail-smtpc bin/authup bin/qmail-popup demo test check bench fuzz sweep soak check-limits install uninstall clean

$(PROGRAMS:%=bin/%):
	$(BUILD) '$(LDFLAGS)' -o $@ ./cmd/$(notdir $@)

bin/qmail-smtpc: bin/qmail-remote-io
	ln -f bin/qmail-remote-io $@

bin/authup bin/qmail-popup: bin/qmail-authup
	ln -f bin/qmail-authup $@

demo: all
	$(GO) run ./examples/demo -bin bin

check:
	@wrong=$$(find . -name '*.go' -not -path './.*/*' -exec gofmt -l {} +); [ -z "$$wrong" ] || { echo "not gofmt: $$wrong"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

test: check all
	sh .ci/test

# Ten seconds a target are part of `make test`; this gives each FUZZTIME.
FUZZTIME = 2m
fuzz:
	sh .ci/fuzz $(FUZZTIME)

# qmail-remote and its helpers killed at every system call of theirs, one run
# each; `make test` kills them at some.
sweep:
	POSTRIDER_KILL_EVERY=1 $(GO) test -count=1 -v -run TestKilledAtCalls ./cmd/qmail-remote

bench: all
	sh .ci/bench

# Two hundred thousand deliveries through qmail-rspawn: to unwell servers, while
# its engines are killed, and into a Postfix, which needs root. Some minutes.
soak:
	$(GO) test -count=1 -v -timeout 30m -run '^(TestSoak|TestLedger|TestRspawn)$$' ./internal/engine ./internal/peers ./cmd/qmail-rspawn -soak

check-limits: all
	sh .ci/check-limits

# Programs go to $(QMAIL)/bin, man pages to $(QMAIL)/man. What stood there is
# kept once as NAME.orig, and comes back with `make uninstall`. qmail-rspawn
# stays as it is, and qmail-rstat away, unless RSPAWN=yes; qmail-smtpd stays as it
# is unless SMTPD=yes, qmail-popup unless POPUP=yes.
install: all
	RSPAWN=$(RSPAWN) SMTPD=$(SMTPD) POPUP=$(POPUP) sh .ci/install '$(DESTDIR)$(QMAIL)'

uninstall:
	sh .ci/uninstall '$(DESTDIR)$(QMAIL)'

clean:
	rm -rf bin
