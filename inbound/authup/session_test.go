package authup

import (
	"strings"
	"testing"
)

// TestNothingIsLost: what a client sends behind its password, without waiting,
// is the program's: all of it, once, in order, where the password is right, and
// ours where it is not.
func TestNothingIsLost(t *testing.T) {
	var script strings.Builder
	script.WriteString("S: 220 me.example ESMTP\nC: AUTH PLAIN AHUAcQ==\nS: 535 authup authorization failed (#5.7.0)\n" +
		"C: AUTH LOGIN dQ==\nS: 334 UGFzc3dvcmQ6\nC: cA==\nS: 235 ok, go ahead (#2.0.0)\n")
	for i := range 1000 {
		line := "line " + itoa(i) + strings.Repeat("x", i%97)
		script.WriteString("C: " + line + "\nS: heard " + line + "\n")
	}
	script.WriteString("exit 0")
	submission().play(t, script.String())
}

// TestLog: a line for each thing that happened, and no word in it is a client's.
func TestLog(t *testing.T) {
	k := submission()
	r := k.hold(t, false, inPieces("AUTH PLAIN "+encode("\\0evil\nauthup 1 user\x1b[2J\\0hunter2")+"\r\nAUTH PLAIN AHUAcA==\r\n", 1<<20))
	pids := strings.Fields(r.log)
	if len(pids) < 22 {
		t.Fatal(r.log)
	}
	first, second := pids[7], pids[21]
	want := "authup 18154 protocol smtp\n" +
		"authup 18154 checkpassword " + first + " attempt for evil?authup?1?user?[2J\n" +
		"authup 18154 checkpassword " + first + " failed, 4 remaining\n" +
		"authup 18154 checkpassword " + second + " attempt for u\n" +
		"authup 18154 checkpassword " + second + " succeeded, child completed\n"
	if r.log != want {
		t.Errorf("log\n%s\nwant\n%s", r.log, want)
	}
}
