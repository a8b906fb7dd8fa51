package peers

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// checkpassword is one in sh; the environment says joe's password.
const checkpassword = `#!/bin/sh
{ read -r user; read -r password; } <<end
$(tr '\0' '\n' <&3)
end
exec 3<&-
case $user in
joe) [ "$password" = "$password_joe" ] || exit 1 ;;
*) exit 1 ;;
esac
exec "$@"
`

// mailbox is a POP3 server in sh that tells of its world.
const mailbox = `#!/bin/sh
printf '+OK \r\n'
while read -r line; do
	case $line in
	STAT*) printf '+OK %s at %s\r\n' "$AUTHUP_USER" "$(pwd)" ;;
	SIGNALS*) sed -n 's/^SigIgn:.*\(...\).$/+OK \1/p' /proc/self/status ;;
	QUIT*) printf '+OK \r\n'; exit ;;
	*) printf '%s %s\r\n' -ERR "$line" ;;
	esac
done
`

// script makes an executable file.
func script(t testing.TB, path, text string) string {
	t.Helper()
	write(t, path, text)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPOP3UnderTCPServer: qmail-authup and qmail-popup where they live, with no
// program of ours around them.
func TestPOP3UnderTCPServer(t *testing.T) {
	home := control{"pop3capabilities": "TOP"}.home(t)
	check, box := script(t, home+"/checkpassword", checkpassword), script(t, home+"/mailbox", mailbox)
	popup := filepath.Join(directory(t, "bin"), "qmail-popup")
	if err := os.Symlink(program(t, "qmail-authup"), popup); err != nil {
		t.Fatal(err)
	}
	for addr, server := range map[string][]string{
		"192.0.2.30": {program(t, "qmail-authup"), "pop3"},
		"192.0.2.31": {popup, "pop.example.org"},
	} {
		argv := append([]string{"/usr/bin/env", "QMAILHOME=" + home, "password_joe=let me in", TCPServer(t), "-RHl0", addr, "110"}, server...)
		p := launch(t, directory(t, "tcpserver"), append(argv, check, box)...)
		p.listening(t, addr+":110")
		conn, err := net.Dial("tcp", addr+":110")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		// All of it at once: what is behind PASS is the mailbox's.
		if _, err := conn.Write([]byte("USER joe\r\nPASS let me in\r\nSTAT\r\nSIGNALS\r\nQUIT\r\n")); err != nil {
			t.Fatal(err)
		}
		var got []string
		for in := bufio.NewScanner(conn); in.Scan(); {
			got = append(got, in.Text())
		}
		where := home
		if server[1] != "pop3" {
			where = p.cmd.Dir
		}
		want := []string{"+OK ", "+OK ", "+OK joe at " + where, "+OK 000", "+OK "}
		if len(got) != 6 || strings.Join(got[1:], "\n") != strings.Join(want, "\n") {
			t.Errorf("%v: %q, want a greeting and %q", server, got, want)
		}
	}
}
