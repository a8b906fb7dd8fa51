package handshake

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/tlspolicy"
)

// rawServer does an honest handshake and then writes records of its own making,
// with the server's keys, under TLS_AES_128_GCM_SHA256.
type rawServer struct {
	conn   net.Conn
	secret []byte
	seq    uint64
}

// expand is HKDF-Expand-Label without context (RFC 8446 §7.1).
func expand(t testing.TB, secret []byte, label string, size int) []byte {
	info := append([]byte{0, byte(size), byte(len(label) + 6)}, "tls13 "+label+"\x00"...)
	out, err := hkdf.Expand(sha256.New, secret, string(info), size)
	if err != nil {
		t.Error(err)
	}
	return out
}

func sealer(t testing.TB, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Error(err)
		return nil
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Error(err)
	}
	return aead
}

// write sends one record of an inner kind (RFC 8446 §5.2).
func (s *rawServer) write(t testing.TB, kind byte, body []byte) error {
	aead := sealer(t, expand(t, s.secret, "key", 16))
	nonce := expand(t, s.secret, "iv", 12)
	var seq [12]byte
	binary.BigEndian.PutUint64(seq[4:], s.seq)
	for i := range nonce {
		nonce[i] ^= seq[i]
	}
	s.seq++
	size := len(body) + 1 + aead.Overhead()
	head := []byte{23, 3, 3, byte(size >> 8), byte(size)}
	_, err := s.conn.Write(aead.Seal(head, nonce, append(bytes.Clone(body), kind), head))
	return err
}

// update changes the keys as after a KeyUpdate (RFC 8446 §7.2).
func (s *rawServer) update(t testing.TB) {
	s.secret, s.seq = expand(t, s.secret, "traffic upd", 32), 0
}

// keyLine finds a secret in a key log.
func keyLine(t testing.TB, log, label string) []byte {
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == label {
			b, err := hex.DecodeString(f[2])
			if err != nil {
				t.Error(err)
			}
			return b
		}
	}
	t.Errorf("no %s in the key log", label)
	return nil
}

// TestC46AfterTheHandshake: what a server may not do any more, or not
// without end, ends the connection.
func TestC46AfterTheHandshake(t *testing.T) {
	id := issue(t, nil, "self", nil)
	keyUpdate := func(request byte) func(testing.TB, *rawServer) error {
		return func(t testing.TB, s *rawServer) error {
			err := s.write(t, 22, []byte{24, 0, 0, 1, request})
			s.update(t)
			return err
		}
	}
	message := func(kind byte, body ...byte) func(testing.TB, *rawServer) error {
		return func(t testing.TB, s *rawServer) error {
			return s.write(t, 22, append([]byte{kind, 0, byte(len(body) >> 8), byte(len(body))}, body...))
		}
	}
	for _, tt := range []struct {
		why  string
		once func(testing.TB, *rawServer) error
		good bool // one of them is, a flood is not
	}{
		{"KeyUpdate", keyUpdate(0), true},
		{"KeyUpdate that asks for one", keyUpdate(1), true},
		{"NewSessionTicket", message(4, append([]byte{0, 0, 1, 0, 1, 2, 3, 4, 1, 9, 0, 1, 7}, 0, 0)...), true},
		{"CertificateRequest", message(13, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3), false},
		{"HelloRequest", message(0), false},
		{"second ServerHello", message(2, make([]byte, 70)...), false},
		{"bad record", func(t testing.TB, s *rawServer) error { s.seq += 7; return s.write(t, 23, []byte("220\r\n")) }, false},
	} {
		for _, times := range []int{1, 1000} {
			var log bytes.Buffer
			conn := connect(t, func(c net.Conn) {
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{id.tls(0)}, SessionTicketsDisabled: true, KeyLogWriter: &log})
				if err := s.Handshake(); err != nil {
					t.Error(err)
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c) }() // ends with c
				raw := &rawServer{conn: c, secret: keyLine(t, log.String(), "SERVER_TRAFFIC_SECRET_0")}
				for range times {
					if tt.once(t, raw) != nil {
						return
					}
				}
				_ = raw.write(t, 23, []byte("220\r\n"))
			})
			secured, info, err := Secure(t.Context(), tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, conn)
			if err != nil || info.Cipher != "TLS_AES_128_GCM_SHA256" {
				t.Fatalf("%s: %v %v", tt.why, info, err)
			}
			_ = secured.SetDeadline(time.Now().Add(time.Minute))
			line := make([]byte, 5)
			_, err = io.ReadFull(secured, line)
			if ok := tt.good && times == 1; (err == nil) != ok || ok && string(line) != "220\r\n" {
				t.Errorf("%s, %d times: %q, %v", tt.why, times, line, err)
			}
			secured.Close()
		}
	}
}

// prf is the pseudo-random function of TLS 1.2 (RFC 5246 §5).
func prf(secret []byte, label string, seed []byte, size int) (out []byte) {
	seed = append([]byte(label), seed...)
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	for a := mac(seed); len(out) < size; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:size]
}

// TestC46Renegotiation: a HelloRequest under TLS 1.2 ends the connection.
func TestC46Renegotiation(t *testing.T) {
	id := issue(t, nil, "self", nil)
	var log bytes.Buffer
	conn := connect(t, func(c net.Conn) {
		heard := &recorder{Conn: c}
		s := tls.Server(heard, &tls.Config{Certificates: []tls.Certificate{id.tls(0)}, MaxVersion: tls.VersionTLS12, SessionTicketsDisabled: true,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, KeyLogWriter: &log})
		if err := s.Handshake(); err != nil {
			t.Error(err)
			return
		}
		// The randoms stand at the same place in both hellos (RFC 5246 §7.4.1).
		clientRandom, serverRandom := heard.in.Bytes()[11:43], heard.out.Bytes()[11:43]
		keys := prf(keyLine(t, log.String(), "CLIENT_RANDOM"), "key expansion", append(bytes.Clone(serverRandom), clientRandom...), 40)
		nonce := append(bytes.Clone(keys[36:40]), make([]byte, 8)...)
		nonce[11] = 1 // Finished was record 0
		explicit := nonce[4:]
		extra := append(append(bytes.Clone(explicit), 22, 3, 3), 0, 4)
		sealed := sealer(t, keys[16:32]).Seal(nil, nonce, []byte{0, 0, 0, 0}, extra)
		record := append([]byte{22, 3, 3, 0, byte(8 + len(sealed))}, explicit...)
		_, _ = c.Write(append(record, sealed...))
		_, _ = io.Copy(io.Discard, c)
	})
	secured, info, err := Secure(t.Context(), tlspolicy.Policy{Mode: tlspolicy.Encrypt}, conn)
	if err != nil || info.Version != "TLSv1.2" {
		t.Fatal(info, err)
	}
	_ = secured.SetDeadline(time.Now().Add(time.Minute))
	if _, err := secured.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "no renegotiation") {
		t.Errorf("renegotiation: %v", err)
	}
	secured.Close()
}

// recorder keeps what goes through a connection.
type recorder struct {
	net.Conn
	in, out bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.in.Write(b[:n])
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) {
	r.out.Write(b)
	return r.Conn.Write(b)
}

// TestEndWithoutNotice (C48): what was said before the connection ended is
// there, and then it says that it ended.
func TestEndWithoutNotice(t *testing.T) {
	id := issue(t, nil, "self", nil)
	conn := connect(t, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{id.tls(0)}})
		_, _ = io.WriteString(s, "250 ok\r\n")
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	})
	secured, _, err := Secure(t.Context(), tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, conn)
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 8)
	if _, err := io.ReadFull(secured, line); err != nil || string(line) != "250 ok\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := secured.Read(line); err == nil {
		t.Error("the connection goes on")
	}
	secured.Close()
}
