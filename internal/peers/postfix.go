package peers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ServerConfig says what a mail server shall be. Every recipient of every domain is local, unless refused.
type ServerConfig struct {
	Listen string  // address:port
	Name   string  // what the server calls itself; empty means "peer.example"
	Cert   KeyPair // zero: no STARTTLS

	RequireTLS   bool   // MAIL before STARTTLS is answered 530
	ClientAnchor string // PEM file: clients must show a certificate it vouches for

	Users map[string]string // user to password: offer AUTH, after STARTTLS only if Cert is set, and require it

	Reject     []string // recipients answered 550 5.1.1
	TempReject []string // recipients answered 450 4.2.0

	SizeLimit  int // octets; 0 means no limit
	NoSMTPUTF8 bool

	// Of Postfix: everything is sent on to this address, [address]:port, if it is not empty, under TLS and only if a
	// certificate for mx.example.net is vouched for by RelayAnchor.
	Relay, RelayAnchor string
}

func (c ServerConfig) name() string {
	if c.Name == "" {
		return "peer.example"
	}
	return c.Name
}

// Server is a running mail server.
type Server struct {
	Addr  string // address:port
	log   string
	box   string
	queue []string // directories that are empty when nothing is on its way
	*process
}

// Messages returns what has been delivered so far.
func (s *Server) Messages(t testing.TB) []Message {
	t.Helper()
	return readMaildir(t, s.box)
}

// Wait returns what was delivered once that is at least n copies and nothing is left in the queue.
func (s *Server) Wait(t testing.TB, n int) []Message {
	t.Helper()
	s.until(t, fmt.Sprintf("deliver %d copies", n), func() bool {
		names, _ := filepath.Glob(filepath.Join(s.box, "new", "*")) // the pattern is well formed
		return len(names) >= n && s.idle()
	})
	return s.Messages(t)
}

// idle tells whether the queue is empty.
func (s *Server) idle() bool {
	busy := false
	for _, q := range s.queue {
		filepath.WalkDir(q, func(_ string, d fs.DirEntry, err error) error {
			// Entries vanish while we look: the queue moved, so it was not idle.
			if err != nil || !d.IsDir() {
				busy = true
				return fs.SkipAll
			}
			return nil
		})
	}
	return !busy
}

// Log returns the server's log so far.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.log) // missing while nothing was logged
	return string(b)
}

// Stop ends the server before the test does.
func (s *Server) Stop() { s.stop() }

// Postfix starts a Postfix (smtpd, cleanup, qmgr, virtual) that delivers into a maildir, and waits until it listens.
func Postfix(t testing.TB, c ServerConfig) *Server {
	t.Helper()
	ordinary(t, "Postfix")
	dir := directory(t, "postfix")
	uid := account(t, "postfix")
	postfixTree(t, dir, uid)
	write(t, dir+"/etc/main.cf", postfixMain(dir, strconv.Itoa(uid), c))
	write(t, dir+"/etc/master.cf", postfixMaster(c.Listen))
	// Postfix distrusts a main.cf of the last two seconds and waits until it has aged.
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(dir+"/etc/main.cf", old, old); err != nil {
		t.Fatal(err)
	}
	if len(c.Users) > 0 {
		saslUsers(t, dir, uid, c)
	}
	s := &Server{Addr: c.Listen, log: dir + "/log", box: dir + "/mail/box"}
	for _, q := range []string{"maildrop", "incoming", "active", "deferred"} {
		s.queue = append(s.queue, dir+"/queue/"+q)
	}
	s.process = launch(t, dir, "/usr/lib/postfix/sbin/master", "-c", dir+"/etc", "-d")
	s.listening(t, c.Listen)
	return s
}

// postfixTree makes the directories that postfix-script would: owned by mail_owner, but for the parents.
func postfixTree(t testing.TB, dir string, uid int) {
	t.Helper()
	for _, d := range []string{"etc", "etc/sasl", "queue", "queue/pid", "queue/etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range strings.Fields("data mail queue/active queue/bounce queue/corrupt queue/defer queue/deferred queue/flush queue/hold queue/incoming queue/maildrop queue/private queue/public queue/saved queue/trace") {
		own(t, filepath.Join(dir, d), uid)
	}
}

// postfixMain is the text of main.cf (postconf(5)).
func postfixMain(dir, uid string, c ServerConfig) string {
	lines := []string{
		"compatibility_level = 3.6",
		"queue_directory = " + dir + "/queue", "data_directory = " + dir + "/data",
		"maillog_file = " + dir + "/log", "maillog_file_prefixes = " + dir,
		"myhostname = " + c.name(), "mydestination =", "mynetworks = 127.0.0.0/8",
		"inet_interfaces = all", "inet_protocols = all",
		"alias_maps =", "alias_database =", "local_recipient_maps =", "notify_classes =",
		// The message must arrive as it was sent.
		"local_header_rewrite_clients =", "remote_header_rewrite_domain =",
		// A test is one client with many connections.
		// The process limit is the length of the queue of connections too. When that overflows, Linux forgets
		// connections their client believes in, and the client waits for a greeting as long as it may.
		"default_process_limit = 2000",
		// Nor is it less patient when it is busy.
		"smtpd_timeout = 600s", "smtpd_starttls_timeout = 600s",
		"smtpd_client_connection_count_limit = 0", "smtpd_client_connection_rate_limit = 0",
		"smtpd_peername_lookup = no", "smtpd_error_sleep_time = 0", "in_flow_delay = 0",
		"virtual_mailbox_domains = static:all", "virtual_mailbox_maps = static:box/", "virtual_mailbox_base = " + dir + "/mail",
		"virtual_uid_maps = static:" + uid, "virtual_gid_maps = static:" + uid, "virtual_minimum_uid = 1",
		"message_size_limit = " + strconv.Itoa(c.SizeLimit), "mailbox_size_limit = 0", "virtual_mailbox_limit = 0",
		"smtpd_recipient_restrictions = " + postfixRecipients(c),
	}
	if c.NoSMTPUTF8 {
		lines = append(lines, "smtputf8_enable = no")
	} else {
		lines = append(lines, "smtputf8_enable = yes")
	}
	if c.Cert.CertFile != "" {
		lines = append(lines, "smtpd_tls_security_level = may", "smtpd_tls_loglevel = 1", "smtpd_tls_received_header = yes",
			"smtpd_tls_chain_files = "+c.Cert.KeyFile+", "+c.Cert.CertFile)
	}
	if c.RequireTLS || c.ClientAnchor != "" {
		lines = append(lines, "smtpd_tls_security_level = encrypt")
	}
	if c.ClientAnchor != "" {
		lines = append(lines, "smtpd_tls_req_ccert = yes", "smtpd_tls_CAfile = "+c.ClientAnchor)
	}
	if c.Relay != "" {
		lines = append(lines, "virtual_mailbox_domains =", "mynetworks = 192.0.2.0/24", "smtpd_relay_restrictions = permit_mynetworks, reject", "relayhost = "+c.Relay, "smtp_tls_security_level = verify", "smtp_tls_CAfile = "+c.RelayAnchor,
			"smtp_tls_verify_cert_match = mx.example.net", "smtp_tls_loglevel = 1", "disable_dns_lookups = yes", "smtp_host_lookup = native")
	}
	if len(c.Users) > 0 {
		lines = append(lines, "smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = cyrus", "smtpd_sasl_path = smtpd",
			"cyrus_sasl_config_path = "+dir+"/etc/sasl", "smtpd_sasl_local_domain = "+c.name(), "smtpd_sasl_authenticated_header = yes",
			"smtpd_sasl_security_options = noanonymous", "smtpd_sender_restrictions = permit_sasl_authenticated, reject")
		if c.Cert.CertFile != "" {
			lines = append(lines, "smtpd_tls_auth_only = yes")
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// postfixRecipients is the recipient policy as one inline access table.
func postfixRecipients(c ServerConfig) string {
	var rows []string
	for _, r := range c.Reject {
		rows = append(rows, "{ "+r+" = 550 5.1.1 no such user here }")
	}
	for _, r := range c.TempReject {
		rows = append(rows, "{ "+r+" = 450 4.2.0 greylisted, come back later }")
	}
	if rows == nil {
		return "permit"
	}
	return "check_recipient_access inline:{ " + strings.Join(rows, ", ") + " }, permit"
}

// postfixMaster is the text of master.cf (master(5)); nothing is chrooted.
func postfixMaster(listen string) string {
	rows := []string{
		listen + " inet n - n - 100 smtpd",
		"cleanup unix n - n - 0 cleanup",
		"qmgr unix n - n 300 1 qmgr",
		"rewrite unix - - n - 5 trivial-rewrite",
		"bounce unix - - n - 0 bounce",
		"defer unix - - n - 0 bounce",
		"trace unix - - n - 0 bounce",
		"verify unix - - n - 1 verify",
		"proxymap unix - - n - 5 proxymap",
		"tlsmgr unix - - n 1000? 1 tlsmgr",
		"anvil unix - - n - 1 anvil",
		"virtual unix - n n - 20 virtual",
		"smtp unix - - n - - smtp",
		"error unix - - n - 5 error",
		"retry unix - - n - 5 error",
		"discard unix - - n - 5 discard",
		"postlog unix-dgram n - n - 1 postlogd",
	}
	return strings.Join(rows, "\n") + "\n"
}

// saslUsers makes the password database that the SASL library inside smtpd reads.
func saslUsers(t testing.TB, dir string, uid int, c ServerConfig) {
	t.Helper()
	db := dir + "/etc/sasldb2"
	write(t, dir+"/etc/sasl/smtpd.conf", strings.Join([]string{
		"pwcheck_method: auxprop", "auxprop_plugin: sasldb", "sasldb_path: " + db,
		"mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256", "",
	}, "\n"))
	for name, password := range c.Users {
		if err := saslPassword(db, c.name(), name, password); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(db, uid, uid); err != nil {
		t.Fatal(err)
	}
}
