package resolver

import (
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func at(s string, trusted bool) Server { return Server{netip.MustParseAddrPort(s), trusted} }

func TestLoadConfig(t *testing.T) {
	local := []Server{at("127.0.0.1:53", true), at("[::1]:53", true)}
	base := Config{Servers: local, Timeout: 5 * time.Second, Attempts: 2}
	with := func(change func(*Config)) Config { c := base; change(&c); return c }
	servers := func(front int, s ...Server) Config {
		return with(func(c *Config) { c.Servers, c.Front = s, front })
	}
	options := func(timeout, attempts int) Config {
		return with(func(c *Config) { c.Timeout, c.Attempts = time.Duration(timeout)*time.Second, attempts })
	}
	tests := []struct {
		name, conf, env string
		want            Config
	}{
		{"C21 empty", "", "", base},
		{"C21 garbled", "\x00\xff\nnameserver\nnameserver 192.0.2.300\nnameserver example.net\n nonsense\noptions\noptions : timeout: attempts:x\n", "", base},
		{"C21 commented out", "# nameserver 192.0.2.1\n; nameserver 192.0.2.2\n", "", base},
		{"one", "nameserver 192.0.2.1\n", "", servers(0, at("192.0.2.1:53", false))},
		{"no line end, comment behind", "nameserver\t192.0.2.1 # ours", "", servers(0, at("192.0.2.1:53", false))},
		{"CRLF", "nameserver 192.0.2.1\r\n", "", servers(0, at("192.0.2.1:53", false))},
		{"three at most", "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", "",
			servers(0, at("192.0.2.1:53", false), at("192.0.2.2:53", false), at("192.0.2.3:53", false))},
		{"v6 and zone", "nameserver fe80::1%eth0\nnameserver 2001:db8::1\n", "",
			servers(0, at("[fe80::1%eth0]:53", false), at("[2001:db8::1]:53", false))},
		{"loopback is trusted", "nameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::ffff:127.0.0.1\n", "",
			servers(0, at("127.0.0.53:53", true), at("192.0.2.1:53", false), at("127.0.0.1:53", true))},
		{"C20 trust-ad, before or after", "options trust-ad\nnameserver 192.0.2.1\n", "", servers(0, at("192.0.2.1:53", true))},
		{"the same twice", "nameserver 192.0.2.1\nnameserver 192.0.2.1\n", "", servers(0, at("192.0.2.1:53", false))},

		{"options", "options ndots:2 timeout:3 attempts:4 edns0\noptions rotate use-vc\n", "", with(func(c *Config) {
			c.Timeout, c.Attempts, c.Rotate, c.UseTCP = 3*time.Second, 4, true, true
		})},
		{"too much", "options timeout:31 attempts:6\n", "", options(30, 5)},
		{"the most", "options timeout:30 attempts:5\n", "", options(30, 5)},
		{"too little", "options timeout:0 attempts:-1\n", "", options(1, 1)},
		{"no numbers", "options timeout attempts:two timeout:9999999999999999999\n", "", options(5, 2)},

		{"DNSCACHEIP alone", "", "192.0.2.9", servers(1, at("192.0.2.9:53", false))},
		{"DNSCACHEIP in front", "nameserver 192.0.2.1\n", "127.0.0.1", servers(1, at("127.0.0.1:53", true), at("192.0.2.1:53", false))},
		{"DNSCACHEIP with ports", "", "127.0.0.1:5300,[::1]:5300", servers(2, at("127.0.0.1:5300", true), at("[::1]:5300", true))},
		{"DNSCACHEIP separators", "", " 192.0.2.1;192.0.2.2/ [2001:db8::1]\t2001:db8::2\n", servers(4,
			at("192.0.2.1:53", false), at("192.0.2.2:53", false), at("[2001:db8::1]:53", false), at("[2001:db8::2]:53", false))},
		{"DNSCACHEIP garbled", "nameserver 192.0.2.1\n", "localhost 1.2.3 [] [::1 127.0.0.1:0 127.0.0.1:70000", servers(0, at("192.0.2.1:53", false))},
		{"C20 trust-ad is not DNSCACHEIP's", "options trust-ad\nnameserver 192.0.2.1\n", "192.0.2.9",
			servers(1, at("192.0.2.9:53", false), at("192.0.2.1:53", true))},
		{"the same in both", "nameserver 192.0.2.1\nnameserver 192.0.2.9\noptions trust-ad\n", "192.0.2.9",
			servers(1, at("192.0.2.9:53", true), at("192.0.2.1:53", true))},
	}
	for _, tt := range tests {
		if got := LoadConfig(strings.NewReader(tt.conf), tt.env); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
	if got := LoadConfig(nil, ""); !reflect.DeepEqual(got, base) {
		t.Errorf("no file: %+v", got)
	}
	half := io.MultiReader(strings.NewReader("nameserver 192.0.2.1\n"), iotest.ErrReader(errors.New("disk")))
	if got, want := LoadConfig(half, ""), servers(0, at("192.0.2.1:53", false)); !reflect.DeepEqual(got, want) {
		t.Errorf("unreadable half-way: %+v", got)
	}
	if got := LoadConfig(nil, "192.0.2.1:1 192.0.2.1:2 192.0.2.1:3 192.0.2.1:4 192.0.2.1:5 192.0.2.1:6 "+
		"192.0.2.2:1 192.0.2.2:2 192.0.2.2:3 192.0.2.2:4 192.0.2.2:5 192.0.2.2:6 192.0.2.3:1 192.0.2.3:2 192.0.2.3:3 192.0.2.3:4 192.0.2.3:5"); len(got.Servers) != maxFront {
		t.Errorf("17 in DNSCACHEIP: %d servers", len(got.Servers))
	}
}

func FuzzLoadConfig(f *testing.F) {
	f.Add("nameserver 192.0.2.1\noptions timeout:3 attempts:4 rotate trust-ad\n", "127.0.0.1:5300 [::1]")
	f.Add("nameserver fe80::1%\noptions timeout:-9\n", "[::1]:65536,::ffff:1.2.3.4%x")
	f.Fuzz(func(t *testing.T, conf, env string) {
		c := LoadConfig(strings.NewReader(conf), env)
		if len(c.Servers) == 0 || len(c.Servers) > maxFront+maxNameservers || c.Front > len(c.Servers) {
			t.Errorf("%d servers, %d in front", len(c.Servers), c.Front)
		}
		if c.Timeout < time.Second || c.Timeout > 30*time.Second || c.Attempts < 1 || c.Attempts > 5 {
			t.Errorf("timeout %v, attempts %d", c.Timeout, c.Attempts)
		}
		for _, s := range c.Servers {
			if !s.Addr.IsValid() || s.Addr.Port() == 0 {
				t.Errorf("server %v", s.Addr)
			}
		}
	})
}
