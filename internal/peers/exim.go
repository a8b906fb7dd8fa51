package peers

import (
	"strconv"
	"strings"
	"testing"
)

// Exim starts an Exim that offers PIPELINING, CHUNKING, SMTPUTF8 and SIZE, and AUTH PLAIN and LOGIN when there are
// users; it delivers into a maildir. Returns once it listens.
func Exim(t testing.TB, c ServerConfig) *Server {
	t.Helper()
	ordinary(t, "Exim")
	dir := directory(t, "exim")
	// Exim creates the spool, the log directory and the box itself, as its own user.
	uid := account(t, "Debian-exim")
	for _, d := range []string{"/spool", "/log", "/mail"} {
		own(t, dir+d, uid)
	}
	conf := dir + "/exim.conf"
	write(t, conf, eximConfig(dir, c))
	s := &Server{Addr: c.Listen, log: dir + "/log/main", box: dir + "/mail/box", queue: []string{dir + "/spool/input"}}
	s.process = launch(t, dir, "/usr/sbin/exim4", "-C", conf, "-bdf")
	s.listening(t, c.Listen)
	return s
}

// eximConfig is the whole configuration file; "begin" starts each of its sections.
func eximConfig(dir string, c ServerConfig) string {
	addr, port, _ := strings.Cut(c.Listen, ":")
	lines := []string{
		"primary_hostname = " + c.name(),
		"spool_directory = " + dir + "/spool", "log_file_path = " + dir + "/log/%s", "pid_file_path = " + dir + "/spool/exim.pid",
		"local_interfaces = <; " + addr, "daemon_smtp_ports = " + port,
		"log_selector = +pipelining", "keep_environment =", "host_lookup =", "rfc1413_query_timeout = 0s", "helo_allow_chars = _",
		// Delivering as one user saves Exim running itself again as root, where it would not know this file.
		"deliver_drop_privilege = true",
		"smtp_accept_max = 0", "smtp_accept_queue = 0", "smtp_accept_queue_per_connection = 0", "smtp_connect_backlog = 1024",
		"queue_run_max = 0", "remote_max_parallel = 1", "split_spool_directory = false", "message_logs = false",
		"chunking_advertise_hosts = *", "pipelining_advertise_hosts = *",
		"message_size_limit = " + strconv.Itoa(c.SizeLimit),
		"acl_smtp_mail = sender", "acl_smtp_rcpt = recipient",
	}
	if c.NoSMTPUTF8 {
		lines = append(lines, "smtputf8_advertise_hosts =")
	} else {
		lines = append(lines, "smtputf8_advertise_hosts = *")
	}
	if c.Cert.CertFile == "" {
		lines = append(lines, "tls_advertise_hosts =")
	} else {
		lines = append(lines, "tls_advertise_hosts = *", "tls_certificate = "+c.Cert.CertFile, "tls_privatekey = "+c.Cert.KeyFile)
	}
	if c.ClientAnchor != "" {
		lines = append(lines, "tls_verify_hosts = *", "tls_verify_certificates = "+c.ClientAnchor)
	}
	lines = append(lines, eximACL(c)...)
	lines = append(lines,
		"begin routers", "all:", "  driver = accept", "  transport = box",
		"begin transports", "box:", "  driver = appendfile", "  maildir_format = true", "  directory = "+dir+"/mail/box",
		"  user = Debian-exim", "  group = Debian-exim", "  envelope_to_add = true", "  return_path_add = true",
	)
	lines = append(lines, eximAuth(c)...)
	return strings.Join(lines, "\n") + "\n"
}

// eximACL holds the policy for MAIL and RCPT.
func eximACL(c ServerConfig) []string {
	lines := []string{"begin acl", "sender:"}
	if c.RequireTLS || c.ClientAnchor != "" {
		lines = append(lines, "  deny !encrypted = *", "    message = 530 5.7.0 must issue STARTTLS first")
	}
	if len(c.Users) > 0 {
		lines = append(lines, "  deny !authenticated = *", "    message = 530 5.7.0 authentication required")
	}
	lines = append(lines, "  accept", "recipient:")
	for _, r := range c.Reject {
		lines = append(lines, "  deny recipients = "+r, "    message = 550 5.1.1 no such user here")
	}
	for _, r := range c.TempReject {
		lines = append(lines, "  defer recipients = "+r, "    message = 450 4.2.0 greylisted, come back later")
	}
	return append(lines, "  accept")
}

// eximAuth offers PLAIN and LOGIN (RFC 4616; LOGIN has no standard) with the plaintext driver.
func eximAuth(c ServerConfig) []string {
	if len(c.Users) == 0 {
		return nil
	}
	var pairs []string
	for user, password := range c.Users {
		pairs = append(pairs, "and{{eq{USER}{"+user+"}}{eq{PASS}{"+password+"}}}")
	}
	condition := "${if or{{" + strings.Join(pairs, "}{") + "}}{yes}{no}}"
	ask := func(user, password string) string {
		return strings.NewReplacer("USER", user, "PASS", password).Replace(condition)
	}
	offer := "  server_advertise_condition = yes"
	if c.Cert.CertFile != "" {
		offer = "  server_advertise_condition = ${if def:tls_in_cipher}"
	}
	return []string{
		"begin authenticators",
		"plain:", "  driver = plaintext", "  public_name = PLAIN", offer,
		"  server_prompts = :", "  server_condition = " + ask("$auth2", "$auth3"), "  server_set_id = $auth2",
		"login:", "  driver = plaintext", "  public_name = LOGIN", offer,
		"  server_prompts = <| Username: | Password:", "  server_condition = " + ask("$auth1", "$auth2"), "  server_set_id = $auth1",
	}
}
