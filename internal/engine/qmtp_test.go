package engine

import (
	"strings"
	"testing"
	"testing/synctest"

	"postrider/internal/smtptest"
	"postrider/internal/smtptest/stage"
	"postrider/internal/spawn"
)

// TestQMTPCut: recipients of one package, of whom only some have their answers
// when the server is lost. Who has been answered is not sent to again; of the
// others nobody knows.
func TestQMTPCut(t *testing.T) {
	const (
		taken   = "K192.0.2.7 accepted message.\nRemote host said: "
		refused = "192.0.2.7 does not like recipient.\nRemote host said: no\n"
		died    = "ZConnected to 192.0.2.7 but connection died. Possible duplicate! (#4.4.2)\n"
	)
	for name, c := range map[string]struct {
		says string
		want [3]string
	}{
		"none":              {"!close", [3]string{died, died, died}},
		"one taken":         {`<+ "4:Kone,"` + "\n!close", [3]string{taken + "one\n", died, died}},
		"two taken":         {`<+ "4:Kone,4:Ktwo,"` + "\n!close", [3]string{taken + "one\n", taken + "two\n", died}},
		"and half of one":   {`<+ "4:Kone,4:Ktwo,6:Kthr"` + "\n!close", [3]string{taken + "one\n", taken + "two\n", died}},
		"refused":           {`<+ "3:Dno,3:Zno,"` + "\n!close", [3]string{"D" + refused, "Z" + refused + died[1:], died}},
		"taken and refused": {`<+ "4:Kone,3:Dno,"` + "\n!close", [3]string{taken + "one\n", "D" + refused, died}},
		"silence":           {`<+ "4:Kone,3:Dno,"` + "\n!stall", [3]string{taken + "one\n", "D" + refused, died}},
		"all, of each his":  {`<+ "4:Kone,4:Ktwo,3:Dno,"`, [3]string{taken + "one\n", taken + "two\n", "D" + refused}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := smtptest.ParseDialogue([]byte("QMTP\n" +
				"-- control/me --\nmail.example\n-- control/qmtproutes --\nexample.net:relay.example.org\n" +
				"-- message --\nhi\n-- argv --\nexample.net me@example.com a@example.net b@example.net c@example.net\n" +
				"-- dns --\nrelay.example.org. A 192.0.2.7\n-- 192.0.2.7:209 --\n" +
				`>+ "4:\nhi\n,14:me@example.com,51:13:a@example.net,13:b@example.net,13:c@example.net,,"` + "\n" + c.says + "\n" +
				"-- report --\nZ\\0\n"))
			if err != nil {
				t.Fatal(err)
			}
			home, orders, zone := furnish(t, d)
			synctest.Test(t, func(t *testing.T) {
				w := d.World()
				w.Settle = synctest.Wait
				e := New(home, spawn.MaxLimit)
				e.stage(zone, stage.Dialer(d, w, smtptest.Whole))
				lines := ask(t, e, home, orders, e.Healthy)
				e.Close()
				for _, wrong := range w.Finish() {
					t.Error(wrong)
				}
				for i, want := range c.want {
					if !strings.HasPrefix(lines[i], want) {
						t.Errorf("%s: got %q, want %q", orders[i].Recipient, lines[i], want)
					}
				}
			})
		})
	}
}
