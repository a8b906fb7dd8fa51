package smtp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func records() map[string]Transaction {
	nasty := Reply{554, []string{"554-\x00\xff\r\x1b", "554-", "", "554 Dgone\x00Kyes"}}
	return map[string]Transaction{
		"nothing":  {},
		"accepted": {Ending: Ending{Stage: AtQuit, Reply: Reply{250, []string{"250 ok"}}}, Rcpts: []Reply{{250, []string{"250 ok"}}}},
		"in doubt": {Ending: Ending{Stage: AtDot, Fault: Dropped, Detail: "EOF"}, Rcpts: []Reply{{250, []string{"250"}}, {}, nasty}},
		"garbled":  {Ending: Ending{Stage: AtBody, Fault: Garbled, Reply: nasty, Detail: "\n\x00"}},
		"last of each": {Ending: Ending{Stage: Stage(len(stageNames) - 1), Fault: Fault(len(faultNames) - 1)},
			TLS: Security{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "dane"}},
		"long": {Ending: Ending{Stage: AtEHLO, Reply: Reply{599, manyLines()}, Detail: strings.Repeat("x", 1<<17)}},
	}
}

func manyLines() []string {
	lines := make([]string, MaxEHLOLines)
	for i := range lines {
		lines[i] = "599-x"
	}
	return lines
}

func TestTransactionRoundTrip(t *testing.T) {
	for name, want := range records() {
		b := want.AppendTo([]byte("before"))
		got, err := ParseTransaction(bytes.TrimPrefix(b, []byte("before")))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// randomString gives short strings of any bytes.
func randomString(r *rand.Rand) string {
	b := make([]byte, r.IntN(6)*r.IntN(40))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func randomReply(r *rand.Rand) Reply {
	var reply Reply
	if r.IntN(5) > 0 {
		reply.Code = 200 + r.IntN(400)
	}
	for range r.IntN(4) {
		reply.Lines = append(reply.Lines, randomString(r))
	}
	return reply
}

func TestTransactionRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		want := Transaction{
			Ending: Ending{Stage: Stage(r.IntN(len(stageNames))), Fault: Fault(r.IntN(len(faultNames))), Reply: randomReply(r), Detail: randomString(r)},
			TLS:    Security{randomString(r), randomString(r), randomString(r)},
		}
		for range r.IntN(4) {
			want.Rcpts = append(want.Rcpts, randomReply(r))
		}
		b := want.AppendTo(nil)
		got, err := ParseTransaction(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	}
}

// A writer that died, or said something else as well, is not believed.
func TestTransactionDamaged(t *testing.T) {
	for name, tx := range records() {
		if name == "long" {
			continue
		}
		b := tx.AppendTo(nil)
		for i := range b {
			if got, err := ParseTransaction(b[:i]); err == nil || !reflect.DeepEqual(got, Transaction{}) {
				t.Errorf("%s: %d of %d bytes are %+v, %v", name, i, len(b), got, err)
			}
		}
		if _, err := ParseTransaction(append(b, 0)); err == nil {
			t.Errorf("%s: a byte too many passes", name)
		}
	}
}

func TestTransactionOutOfRange(t *testing.T) {
	good := string((&Transaction{}).AppendTo(nil))
	huge := string(binary.AppendUvarint(nil, 1<<63))
	large := string(binary.AppendUvarint(nil, 1<<30))
	for what, b := range map[string]string{
		"version":              "\x02" + good[1:],
		"stage":                good[:1] + string(rune(len(stageNames))) + good[2:],
		"fault":                good[:2] + string(rune(len(faultNames))) + good[3:],
		"code":                 good[:3] + "\xe8\x07" + good[4:],
		"huge code":            good[:3] + huge + good[4:],
		"lines":                good[:4] + large + good[5:],
		"huge lines":           good[:4] + huge + good[5:],
		"detail's length":      good[:5] + large + good[6:],
		"recipients":           good[:len(good)-1] + large,
		"endless number":       good[:3] + strings.Repeat("\xff", 20),
		"fewer than it counts": good[:len(good)-1] + "\x02\x00\x00\x00",
	} {
		if got, err := ParseTransaction([]byte(b)); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func FuzzTransaction(f *testing.F) {
	for name, tx := range records() {
		if name != "long" {
			f.Add(tx.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := ParseTransaction(b)
		if err != nil {
			return
		}
		again, err := ParseTransaction(tx.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(tx, again) {
			t.Fatalf("%+v became %+v, %v", tx, again, err)
		}
	})
}

func BenchmarkTransaction(b *testing.B) {
	tx := records()["accepted"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTransaction(tx.AppendTo(nil)); err != nil {
			b.Fatal(err)
		}
	}
}
