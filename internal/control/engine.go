package control

import "io/fs"

// EngineSnapshot is what the control files say to qmail-rspawn alone.
type EngineSnapshot struct {
	PerHost    int  // concurrencyperhost, default 20: deliveries at once to one destination
	Concurrent int  // concurrencyremote, default 20: what qmail-send runs at most
	RemoteLog  bool // remotelog, non-zero: a line for each delivery on descriptor 2
}

// LoadEngine reads them; fsys is rooted at the qmail home. The error, if any, is
// an *Error.
func LoadEngine(fsys fs.FS) (EngineSnapshot, error) {
	r := reader{fsys: fsys}
	s := EngineSnapshot{
		PerHost:    r.number("control/concurrencyperhost", 20),
		Concurrent: r.number("control/concurrencyremote", 20),
		RemoteLog:  r.number("control/remotelog", 0) != 0,
	}
	return s, r.err
}

// Names are the files, and directories, of which a change is a change of either
// snapshot, or of smtproutes and the TLS patch's files.
func Names() []string {
	return []string{"me", "helohost", "timeoutconnect", "timeoutremote", "timeoutdns", "ipme", "trustanchors",
		"clientcert", "clientkey", "clientcert.pem", "tlsstrictness", "authsenders", "domainips", "domaincerts",
		"qmtproutes", "tlsdestinations", "smtproutes", "concurrencyperhost", "concurrencyremote", "remotelog",
		"tlshosts", "notlshosts"}
}
