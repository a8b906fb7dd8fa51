package control

import (
	"errors"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Error is a control file that is there and cannot be used, or (Err is
// fs.ErrNotExist) the one that must be there and is not.
type Error struct {
	File string // relative to the qmail home: "control/me"
	Line int    // 1 is the first; 0 when the file as a whole is meant
	Err  error
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += ":" + strconv.Itoa(e.Line)
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Blame is what a report says of an error of Load beside stock's sentence: the
// file and the line, and nothing where stock's own control/me is at fault.
func Blame(err error) string {
	var e *Error
	if errors.As(err, &e) && e.File != "control/me" {
		return e.Error()
	}
	return ""
}

// Errors in the content of a file; they come wrapped in an *Error.
var (
	ErrEmpty      = errors.New("no name in it")
	ErrStrictness = errors.New("must be 0, 1 or 2")
)

// longest is the largest number of seconds that a file may ask for; more means
// that. It is 68 years, and far from the limit of a time.Duration.
const longest = 1<<31 - 1

// Load reads every control file that a delivery needs. fsys is rooted at the
// qmail home, and home is that directory's absolute path: file names found in
// control files are relative to it, as they are for a qmail that has changed
// directory, and leave Load absolute.
//
// The error, if any, is an *Error. The work is one open and one read for each
// file that exists, and one refused open for each that does not.
func Load(fsys fs.FS, home string) (Snapshot, error) {
	r := reader{fsys: fsys, home: home}
	s := Snapshot{
		Me:             r.name("control/me"),
		HeloHost:       r.name("control/helohost"),
		TimeoutConnect: r.seconds("control/timeoutconnect", 60),
		TimeoutRemote:  r.seconds("control/timeoutremote", 1200),
		TimeoutDNS:     r.seconds("control/timeoutdns", 0),
		IPMe:           r.addrs("control/ipme"),

		TrustAnchors: r.path("control/trustanchors"),
		ClientCert:   r.path("control/clientcert"),
		ClientKey:    r.path("control/clientkey"),
		Strictness:   r.strictness("control/tlsstrictness"),

		AuthSenders:     r.list("control/authsenders"),
		DomainIPs:       r.list("control/domainips"),
		DomainCerts:     r.list("control/domaincerts"),
		QMTPRoutes:      r.list("control/qmtproutes"),
		TLSDestinations: r.list("control/tlsdestinations"),
	}
	if s.HeloHost == "" {
		s.HeloHost = s.Me
	}
	if s.HeloHost == "" {
		r.fail("control/me", 0, r.nameless())
	}
	if s.ClientCert == "" && r.exists("control/clientcert.pem") {
		s.ClientCert = r.absolute("control/clientcert.pem")
	}
	if s.ClientKey == "" {
		s.ClientKey = s.ClientCert
	}
	if r.err != nil {
		return Snapshot{}, r.err
	}
	return s, nil
}

// reader reads control files and keeps the first error; after it, every
// answer is empty and no file is touched.
type reader struct {
	fsys fs.FS
	home string
	err  error
}

func (r *reader) fail(file string, line int, err error) {
	if r.err != nil {
		return
	}
	// The operation and the name are in Error already.
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	r.err = &Error{File: file, Line: line, Err: err}
}

// text is the content of a file, and whether there is one.
func (r *reader) text(file string) (string, bool) {
	if r.err != nil {
		return "", false
	}
	b, err := fs.ReadFile(r.fsys, file)
	if err == nil {
		return string(b), true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		r.fail(file, 0, err)
	}
	return "", false
}

func (r *reader) exists(file string) bool {
	if r.err != nil {
		return false
	}
	_, err := fs.Stat(r.fsys, file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.fail(file, 0, err)
	}
	return err == nil
}

// name is the first line of a one-line file, "" when there is none.
func (r *reader) name(file string) string {
	text, _ := r.text(file)
	return first(text)
}

// nameless says what is wrong when neither me nor helohost has a name.
func (r *reader) nameless() error {
	if r.exists("control/me") || r.exists("control/helohost") {
		return ErrEmpty
	}
	return fs.ErrNotExist
}

// seconds is a one-line file with a number: its leading decimal digits, as
// stock reads them. Without any, and for 0, the default stands: no timeout at
// all, or one that has always passed, would each stop the mail.
func (r *reader) seconds(file string, def int) time.Duration {
	return time.Duration(r.number(file, def)) * time.Second
}

// number is leading digits, and def without any or for 0.
func (r *reader) number(file string, def int) int {
	n := 0
	for _, c := range []byte(r.name(file)) {
		if c < '0' || c > '9' {
			break
		}
		n = min(n*10+int(c-'0'), longest)
	}
	if n == 0 {
		n = def
	}
	return n
}

// strictness is stricter than seconds: a typing error must not send in clear
// what was to be encrypted.
func (r *reader) strictness(file string) int {
	text, there := r.text(file)
	if !there {
		return 0
	}
	line, _, _ := strings.Cut(text, "\n")
	n, err := strconv.ParseUint(trim(line), 10, 8)
	if err != nil || n > 2 {
		r.fail(file, 1, ErrStrictness)
		return 0
	}
	return int(n)
}

// path is a one-line file with the name of another file.
func (r *reader) path(file string) string {
	return r.absolute(r.name(file))
}

// absolute keeps a final slash, which means a directory in trustanchors.
func (r *reader) absolute(p string) string {
	if p == "" || p[0] == '/' {
		return p
	}
	return strings.TrimSuffix(r.home, "/") + "/" + p
}

// list is the lines of a file without blank ones and comments, nil when there
// are none. Compat(qmail): only a "#" at the very beginning makes a comment.
func (r *reader) list(file string) []string {
	text, _ := r.text(file)
	return lines(text)
}

func first(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return trim(line)
}

func lines(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = trim(line)
		if line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// addrs is a list of addresses. A line that is none is passed over: what it
// was to protect from, a loop, is noticed by other means, and all mail would wait.
func (r *reader) addrs(file string) []netip.Addr {
	var addrs []netip.Addr
	for _, line := range r.list(file) {
		addr, err := netip.ParseAddr(line)
		if err == nil {
			addrs = append(addrs, addr.Unmap().WithZone(""))
		}
	}
	return addrs
}

// trim drops trailing blanks. Compat(qmail): a CR is not one.
func trim(line string) string {
	return strings.TrimRight(line, " \t")
}
