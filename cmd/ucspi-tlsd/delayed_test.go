package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// everyway runs test with both kinds of ucspi-tlsd-io.
func everyway(t *testing.T, test func(t *testing.T, bin string)) {
	t.Run("early", func(t *testing.T) { test(t, early) })
	t.Run("plain", func(t *testing.T) { test(t, plain) })
}

func TestStartTLS(t *testing.T) {
	everyway(t, func(t *testing.T, bin string) {
		r := serve(t, bin, keys(t), "sh", "-c", starttls+echo)
		r.hears("220 clear")
		r.say("STARTTLS\n")
		r.hears("220 go")
		r.secure(config("mx.example"))
		r.hears("SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=TLS_AES_128_GCM_SHA256", "SSL_VERIFIED=no", "SSL_TLS_SNI_SERVERNAME=mx.example",
			"SSL_PEER_CERT_HASH", "SSL_PEER_CERT_SUBJECT", ".")
		r.say("a\nquit\n")
		r.hears("heard a", "heard quit", "")
		if code, log := r.over(); code != 5 || log != "" {
			t.Errorf("exit %d: %s", code, log)
		}
	})
}

// "y" begins TLS in silence: the socket ends at once.
func TestStartTLSInSilence(t *testing.T) {
	everyway(t, func(t *testing.T, bin string) {
		r := serve(t, bin, keys(t), "-v2", "sh", "-c", `printf y >&$SSLCTLFD; cat <&$SSLCTLFD; echo go >&$SSLWRITEFD; exec <&$SSLREADFD >&$SSLWRITEFD; `+echo)
		r.secure(config("mx.example"))
		r.say("a\n")
		r.hears("go", "heard a")
		r.say("quit\n")
		if code, log := r.over(); code != 5 || log != "ucspi-tlsd: 192.0.2.1: TLSv1.3 TLS_AES_128_GCM_SHA256\n" {
			t.Errorf("exit %d: %s", code, log)
		}
	})
}

// Who does not want TLS hears nothing of it, and no process stays.
func TestDeclined(t *testing.T) {
	everyway(t, func(t *testing.T, bin string) {
		for what, prog := range map[string]string{
			"ends":             `echo hello`,
			"closes":           `eval "exec $SSLCTLFD>&-"; echo hello`,
			"closes and stays": `eval "exec $SSLCTLFD>&-"; echo hello; read -r x`,
			"is killed":        `echo hello; read -r x; kill -9 $$`,
		} {
			r := serve(t, bin, nil, "sh", "-c", prog)
			r.hears("hello")
			if code, log := r.end(); log != "" || code > 1 {
				t.Errorf("%s: exit %d: %s", what, code, log)
			}
		}
	})
	r := serve(t, early, nil, "-v2", "true")
	if code, log := r.over(); code != 0 || !strings.HasPrefix(log, "") {
		t.Errorf("exit %d: %s", code, log)
	}
	r = serve(t, plain, nil, "-v2", "true")
	if code, log := r.over(); code != 0 || log != "ucspi-tlsd: 192.0.2.1: declined\n" {
		t.Errorf("exit %d: %s", code, log)
	}
}

func TestNonsenseCommand(t *testing.T) {
	everyway(t, func(t *testing.T, bin string) {
		r := serve(t, bin, keys(t), "sh", "-c", `printf X >&$SSLCTLFD; cat <&$SSLCTLFD; echo end`)
		r.hears("end")
		if _, log := r.over(); !strings.Contains(log, "neither y nor Y") {
			t.Errorf("log %q", log)
		}
	})
}

// The program is the process that the server has started, has its descriptors,
// and an environment without what does not concern it.
func TestProgram(t *testing.T) {
	env := append(keys(t), "CERTFILE:a.example=x", "KEYFILE:a.example=x", "CERTCHAINFILE=x", "CADIR=x", "CAFILE=x", "TLS_UID=1", "TLS_GID=1",
		"SSL_UID=1", "SSL_GID=1", "SSL_CHROOT=/", "SSL_CIPHER=stale", "SSL_PROTOCOL=stale", "SSL_PEER_CERT_SUBJECT=stale", "SSLCTLFD=99", "SSL_USER=x", "X=y")
	common := []string{"PATH=/usr/bin:/bin", "SSLCTLFD=", "SSLREADFD=", "SSLWRITEFD=", "SSL_USER=x", "TCPREMOTEIP=192.0.2.1", "X=y"}
	for option, more := range map[string][]string{
		"-z": nil,
		"-Z": {"CERTFILE=", "KEYFILE=", "CERTFILE:a.example=x", "KEYFILE:a.example=x", "CERTCHAINFILE=x", "CADIR=x", "CAFILE=x", "TLS_UID=1", "TLS_GID=1", "SSL_UID=1", "SSL_GID=1", "SSL_CHROOT=/"},
	} {
		r := serve(t, early, env, option, "env")
		want := slices.Sorted(slices.Values(append(more, common...)))
		var got []string
		for line := r.hear(); line != ""; line = r.hear() {
			got = append(got, line)
		}
		slices.Sort(got)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", option, got, want)
		}
		r.over()
	}
	r := serve(t, early, nil, "sh", "-c", `echo $$; echo $SSLCTLFD $SSLREADFD $SSLWRITEFD; exec ls /proc/self/fd`)
	r.hears(strconv.Itoa(r.cmd.Process.Pid))
	want := append(strings.Fields(r.hear()), "0", "1", "2", "3") // 3 is ls's own
	slices.Sort(want)
	var got []string
	for line := r.hear(); line != ""; line = r.hear() {
		if len(line) == 1 { // others may be whoever's has started the test
			got = append(got, line)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) || len(slices.Compact(want)) != 7 {
		t.Errorf("descriptors %q, want %q", got, want)
	}
	r.over()
}

func TestUsage(t *testing.T) {
	for reason, c := range map[string]struct {
		code int
		args []string
	}{
		"no program":     {100, nil},
		"only options":   {100, []string{"-t"}},
		"unknown option": {100, []string{"-x", "true"}},
		"no such":        {111, []string{"/nonexistent/prog"}},
		"no such at all": {111, []string{"nonexistent-prog"}},
	} {
		r := serve(t, early, nil, c.args...)
		if code, log := r.over(); code != c.code || strings.Count(log, "\n") != 1 || !strings.HasPrefix(log, "ucspi-tlsd: ") {
			t.Errorf("%s: exit %d: %s", reason, code, log)
		}
	}
}

// Whatever is wrong with our files, the program hears that there is no session,
// in clear, and the log names the file.
func TestBrokenKeys(t *testing.T) {
	good := keys(t)
	cert := strings.TrimPrefix(good[0], "CERTFILE=")
	half := file(t, []byte("a key\n\n-----BEGIN PRIVATE KEY-----\nMC4CAQ\n"))
	for reason, c := range map[string]struct {
		env  []string
		says string
	}{
		"nothing is named": {nil, "CERTFILE is not set"},
		"absent":           {[]string{"CERTFILE=/nonexistent/cert"}, "open /nonexistent/cert: no such file"},
		"absent key":       {[]string{good[0], "KEYFILE=/nonexistent/key"}, "open /nonexistent/key: no such file"},
		"no key":           {good[:1], cert + ": holds no private key"},
		"half a key":       {[]string{good[0], "KEYFILE=" + half}, half + ": line 3: "},
	} {
		r := serve(t, early, c.env, "sh", "-c", starttls)
		r.hears("220 clear")
		r.say("STARTTLS\n")
		r.hears("220 go", "454 no TLS")
		r.say("hello\n")
		r.hears("clear hello")
		if code, log := r.over(); code != 7 || !strings.HasPrefix(log, "ucspi-tlsd: 192.0.2.1: "+c.says) || strings.Count(log, "\n") != 1 {
			t.Errorf("%s: exit %d: %s", reason, code, log)
		}
		r = serve(t, early, c.env, "-t", "echo", "started")
		r.hears("")
		if code, log := r.over(); code != 96 || !strings.Contains(log, c.says) {
			t.Errorf("%s, at once: exit %d: %s", reason, code, log)
		}
	}
}
