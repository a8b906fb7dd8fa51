module postrider

go 1.26.0

// Who owns what, and what it is for:
//   github.com/miekg/dns            internal/dnstest: the test server; the measure of resolver in its tests
//   github.com/colinmarc/cdb        internal/constmap: reading and writing constant databases
//   golang.org/x/sync               remote, resolver: groups of look-ups that end together
//   github.com/emersion/go-sasl     smtpc: the client side of AUTH (PLAIN, LOGIN, OAUTHBEARER)
//   golang.org/x/net/idna           remote.ParseJob: names become A-labels once, there
//   golang.org/x/sys                internal/chain, fdconn, nettest, cmd: signal masks, descriptors, namespaces
//   github.com/prometheus/client_golang  internal/observe: metrics in Prometheus' text form
//   github.com/rogpeppe/go-internal tests: testscript runs the real binaries, txtar holds dialogues
//   gonum.org/v1/plot               bench/plot, a tool: pictures of what was measured; nothing of it is linked
//   honnef.co/go/tools              staticcheck, a tool: nothing of it is linked

require (
	github.com/colinmarc/cdb v0.0.0-20190223170904-60f317823f70
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6
	github.com/miekg/dns v1.1.73
	github.com/prometheus/client_golang v1.25.0
	github.com/rogpeppe/go-internal v1.16.0
	golang.org/x/net v0.62.0
	golang.org/x/sync v0.24.0
	golang.org/x/sys v0.49.0
	gonum.org/v1/plot v0.17.0
)

require (
	codeberg.org/go-fonts/liberation v0.5.0 // indirect
	codeberg.org/go-latex/latex v0.2.0 // indirect
	codeberg.org/go-pdf/fpdf v0.11.1 // indirect
	git.sr.ht/~sbinet/gg v0.7.0 // indirect
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/ajstarks/svgo v0.0.0-20211024235047-1546f124cd8b // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/golang/freetype v0.0.0-20170609003504-e2365dfdc4a0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/image v0.30.0 // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)

tool honnef.co/go/tools/cmd/staticcheck
