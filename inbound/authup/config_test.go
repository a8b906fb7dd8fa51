package authup

import (
	"slices"
	"testing"
	"time"

	"postrider/internal/control"
)

// TestLoad reads control files.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		reason string
		files  map[string]string
		p      Protocol
		want   Config
		fails  string
	}{
		{"me and capabilities", map[string]string{"me": "me.example \nx\n", "smtpcapabilities": "# of ofmipd\nPIPELINING\n\n8BITMIME \n"}, SMTP,
			Config{Greeting: "me.example", Capabilities: []string{"PIPELINING", "8BITMIME"}, Patience: 1200 * time.Second}, ""},
		{"its own name, its own time", map[string]string{"smtpgreeting": "mx ready", "smtpcapabilities": "", "timeoutsmtpd": "30"}, SMTP,
			Config{Greeting: "mx ready", Patience: 30 * time.Second}, ""},
		{"POP3", map[string]string{"me": "m", "pop3greeting": "pop", "pop3capabilities": "TOP", "timeoutpop3d": "0"}, POP3,
			Config{Protocol: POP3, Greeting: "pop", Capabilities: []string{"TOP"}, Patience: time.Second}, ""},
		{"no name", map[string]string{"smtpcapabilities": ""}, SMTP, Config{}, "control/smtpgreeting: file does not exist"},
		{"no capabilities", map[string]string{"me": "m", "smtpcapabilities": ""}, POP3, Config{}, "control/pop3capabilities: file does not exist"},
	} {
		c2, err := Load(home(t, c.files), c.p)
		if c.fails != "" {
			if err == nil || err.Error() != c.fails {
				t.Errorf("%s: %v, want %s", c.reason, err, c.fails)
			}
			continue
		}
		if err != nil || c2.Protocol != c.want.Protocol || c2.Greeting != c.want.Greeting || c2.Patience != c.want.Patience || !slices.Equal(c2.Capabilities, c.want.Capabilities) {
			t.Errorf("%s: %+v, %v, want %+v", c.reason, c2, err, c.want)
		}
	}
	c, err := LoadPopup(home(t, nil), "pop.example")
	if err != nil || c.Greeting != "pop.example" || c.Patience != 1200*time.Second || !c.Popup || c.Protocol != POP3 {
		t.Errorf("qmail-popup: %+v, %v", c, err)
	}
	if _, err := Load(control.Dir("/proc/self/no-such-home"), SMTP); err == nil {
		t.Error("no home, no error")
	}
}
