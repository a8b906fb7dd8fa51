package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/tlspolicy"
)

// desk is Sessions with a server to use them on.
type desk struct {
	t        *testing.T
	sessions *Sessions
	server   *tls.Config
}

// outcome is what became of one handshake.
type outcome struct {
	info    tlspolicy.Info
	offered bool
	resumed bool
	err     error
}

// shake runs p under key.
func (d *desk) shake(key string, p tlspolicy.Policy) (o outcome) {
	return d.chance(&tlspolicy.Session{Key: key}, p)
}

func (d *desk) chance(chance *tlspolicy.Session, p tlspolicy.Policy) (o outcome) {
	d.t.Helper()
	conn := connect(d.t, func(c net.Conn) {
		s := tls.Server(c, d.server)
		if s.Handshake() == nil {
			_, _ = io.WriteString(s, "220\r\n")
		}
		_, _ = io.Copy(io.Discard, s)
	})
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	var secured net.Conn
	secured, o.info, o.err = d.sessions.Secure(ctx, chance, p, conn)
	o.offered = chance.Offered
	if o.err != nil {
		if _, e := conn.Write([]byte("x")); !errors.Is(e, net.ErrClosed) {
			d.t.Errorf("the connection outlived %v: %v", o.err, e)
		}
		return o
	}
	line := make([]byte, 5)
	if _, err := io.ReadFull(secured, line); err != nil || string(line) != "220\r\n" {
		d.t.Errorf("after the handshake: %q, %v", line, err)
	}
	o.resumed = secured.(*tls.Conn).ConnectionState().DidResume
	secured.Close()
	return o
}

// wants wants a handshake to succeed, resumed or in full.
func (d *desk) wants(what string, o outcome, resumed bool) {
	d.t.Helper()
	if o.err != nil || o.resumed != resumed {
		d.t.Errorf("%s: resumed %v (offered %v), %v; want resumed %v", what, o.resumed, o.offered, o.err, resumed)
	}
}

func newDesk(t *testing.T, max uint16, id *identity) *desk {
	return &desk{t: t, sessions: NewSessions(), server: &tls.Config{MaxVersion: max, Certificates: []tls.Certificate{id.tls(len(id.above))}}}
}

func each(t *testing.T, test func(*testing.T, uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { test(t, v) })
	}
}

// TestResumption: message after message under one key, none under another; what
// is known of the server is the same each time.
func TestResumption(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		id := issue(t, nil, "self", server("mx.example"))
		d := newDesk(t, version, id)
		p := tlspolicy.Policy{Mode: tlspolicy.DANE, TLSA: []tlspolicy.TLSA{id.record(3, 1, 1)}, ServerName: "mx.example"}
		first := d.shake("a", p)
		d.wants("the first", first, false)
		for range 3 {
			o := d.shake("a", p)
			d.wants("a later one", o, true)
			if o.info.Verified != "dane" || o.info.Version != first.info.Version || o.info.Cipher != first.info.Cipher || string(o.info.Peer) != string(id.cert.Raw) {
				t.Errorf("%+v, at first %+v", o.info, first.info)
			}
		}
		d.wants("another key", d.shake("b", p), false)
		if s := d.sessions.Stats(); s != (SessionStats{Full: 2, Resumed: 3, Keys: 2}) {
			t.Errorf("%+v", s)
		}
	})
}

// TestWithdrawnRecord: a session of a server that a TLSA record vouched for is
// worth nothing when the record has gone. Its key tells; and were it the same,
// the server's certificate would be looked at again.
func TestWithdrawnRecord(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		old, next := issue(t, nil, "old", server("mx.example")), issue(t, nil, "next", server("mx.example"))
		dane := func(records ...tlspolicy.TLSA) tlspolicy.Policy {
			return tlspolicy.Policy{Mode: tlspolicy.DANE, TLSA: records, ServerName: "mx.example"}
		}
		key := func(p tlspolicy.Policy) string {
			text, err := p.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		d := newDesk(t, version, old)
		both, only := dane(old.record(3, 1, 1), next.record(3, 1, 1)), dane(next.record(3, 1, 1))
		d.wants("at first", d.shake(key(both), both), false)
		d.wants("while both are published", d.shake(key(both), both), true)
		o := d.shake(key(only), only)
		wantFailure(t, "once withdrawn", o.err, tlspolicy.DANEMismatch)
		if o.offered {
			t.Error("a session that a withdrawn record vouched for was offered")
		}
		o = d.shake(key(both), only) // as if the key did not tell
		wantFailure(t, "once withdrawn, under the same key", o.err, tlspolicy.DANEMismatch)
		if !o.offered {
			t.Error("nothing was offered, so nothing was tested")
		}
		d.server.Certificates = []tls.Certificate{next.tls(0)}
		d.wants("the server follows", d.shake(key(both), only), false)
	})
}

// TestAnchorsChanged: a session is verified by the anchors of today.
func TestAnchorsChanged(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		root, other := issue(t, nil, "root", ca), issue(t, nil, "other", ca)
		d := newDesk(t, version, issue(t, root, "mx", server("mx.example")))
		file := writePEM(t, "anchors.pem", "CERTIFICATE", root.cert.Raw)
		p := tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: file, Names: []string{"mx.example"}, ServerName: "mx.example"}
		d.wants("at first", d.shake("k", p), false)
		d.wants("again", d.shake("k", p), true)
		writePEM(t, file, "CERTIFICATE", other.cert.Raw)
		o := d.shake("k", p)
		wantFailure(t, "root withdrawn", o.err, tlspolicy.PKIX)
		if !o.offered {
			t.Error("nothing was offered, so nothing was tested")
		}
		d.server.Certificates = []tls.Certificate{issue(t, other, "mx", server("mx.example")).tls(1)}
		d.wants("the server follows", d.shake("k", p), false) // the old session is gone
	})
}

// TestOwnCertificate: a session is one of the certificate that we showed.
func TestOwnCertificate(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		d := newDesk(t, version, issue(t, nil, "mx", server("mx.example")))
		d.server.ClientAuth = tls.RequireAnyClientCert
		me, you := issue(t, nil, "me", nil), issue(t, nil, "you", nil)
		cert := writePEM(t, "cert.pem", "CERTIFICATE", me.cert.Raw)
		key := writePEM(t, "key.pem", "PRIVATE KEY", me.keyDER(t))
		p := tlspolicy.Policy{Mode: tlspolicy.Encrypt, Cert: cert, Key: key}
		d.wants("at first", d.shake("k", p), false)
		d.wants("again", d.shake("k", p), true)
		writePEM(t, cert, "CERTIFICATE", you.cert.Raw)
		writePEM(t, key, "PRIVATE KEY", you.keyDER(t))
		d.wants("as somebody else", d.shake("k", p), false)
	})
}

// TestServerForgets: a server that knows nothing of the session shakes hands in full.
func TestServerForgets(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		d := newDesk(t, version, issue(t, nil, "mx", server("mx.example")))
		p := tlspolicy.Policy{Mode: tlspolicy.Encrypt}
		d.wants("at first", d.shake("k", p), false)
		d.server = &tls.Config{MaxVersion: version, Certificates: d.server.Certificates}
		o := d.shake("k", p)
		d.wants("after its restart", o, false)
		if !o.offered {
			t.Error("nothing was offered, so nothing was tested")
		}
		d.wants("then", d.shake("k", p), true)
	})
}

// TestServerBreaks: a server that fails over a session is told, and may be tried
// without. Afresh forgets what there is.
func TestServerBreaks(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		d := newDesk(t, version, issue(t, nil, "mx", server("mx.example")))
		p := tlspolicy.Policy{Mode: tlspolicy.Opportunistic}
		d.wants("at first", d.shake("k", p), false)
		d.server.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
			if len(ticket) == 0 {
				return nil, nil // TLS 1.2 shows it empty when it has none
			}
			return nil, errors.New("no")
		}
		o := d.shake("k", p)
		wantFailure(t, "resumed", o.err, tlspolicy.Handshake)
		if !o.offered {
			t.Error("no word of the offer")
		}
		o = d.shake("k", p)
		d.wants("without", o, false)
		if o.offered {
			t.Error("offered again")
		}
		o = d.chance(&tlspolicy.Session{Key: "k", Afresh: true}, p)
		d.wants("afresh", o, false)
		if o.offered {
			t.Error("offered, though it was to be afresh")
		}
	})
}

// TestSessionsAreBounded: by age, number of keys, number under one, and size.
func TestSessionsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, version uint16) {
		d := newDesk(t, version, issue(t, nil, "mx", server("mx.example")))
		p := tlspolicy.Policy{Mode: tlspolicy.Encrypt}
		var later time.Duration
		d.sessions.now = func() time.Time { return time.Now().Add(later) }
		d.wants("at first", d.shake("k", p), false)
		later = maxSessionAge + time.Minute
		o := d.shake("k", p)
		d.wants("too old", o, false)
		if o.offered {
			t.Error("too old, and offered")
		}
		later += maxSessionAge - time.Minute
		d.wants("not too old", d.shake("k", p), true)

		s := d.sessions
		some := s.take("k")
		for i := range maxSessionKeys + 50 {
			s.keep(fmt.Sprint("key", i), some)
		}
		for range 20 {
			s.keep("key500", some)
		}
		if len(s.keys) != maxSessionKeys || s.order.Len() != maxSessionKeys || s.keys["key0"] != nil || s.keys["key1049"] == nil {
			t.Errorf("%d keys, %d in order", len(s.keys), s.order.Len())
		}
		if sh := s.keys["key500"].Value.(*shelf); len(sh.sessions) != maxSessionsPerKey {
			t.Errorf("%d sessions under one key", len(sh.sessions))
		}
	})
	t.Run("a large chain", func(t *testing.T) {
		id := issue(t, nil, "mx", server("mx.example", strings.Repeat(strings.Repeat("x", 60)+".", 4)+"example"))
		d := newDesk(t, 0, id)
		for range maxChain / len(id.cert.Raw) {
			d.server.Certificates[0].Certificate = append(d.server.Certificates[0].Certificate, id.cert.Raw)
		}
		p := tlspolicy.Policy{Mode: tlspolicy.Encrypt}
		d.wants("at first", d.shake("k", p), false)
		d.wants("again", d.shake("k", p), false)
		if s := d.sessions.Stats(); s.Keys != 0 {
			t.Errorf("%+v", s)
		}
	})
}
