package smtp

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestExamine(t *testing.T) {
	for _, group := range []struct {
		reason string
		cases  map[string]Facts
	}{
		{"length on the wire", map[string]Facts{
			"":               {},
			"\n":             {Wire: 2},
			"a\n":            {Wire: 3},
			"a\nb\n":         {Wire: 6},
			"a\r\nb\r\n":     {Wire: 6},
			"a\rb\n":         {Wire: 6},
			"a\r\r\n":        {Wire: 5},
			".\n..\n":        {Wire: 7},
			"a\x00\x00b\n":   {Wire: 6},
			"\n\r\r\n\n\r\n": {Wire: 10},
		}},
		{"a last line that is none", map[string]Facts{
			"a":     {Wire: 1, Partial: true},
			"a\nb":  {Wire: 4, Partial: true},
			"a\r":   {Wire: 3, Partial: true},
			"a\n\r": {Wire: 5, Partial: true},
		}},
		{"8-bit bytes, and where", map[string]Facts{
			"ä\n":          {Wire: 4, EightBit: true, EightBitHeader: true},
			"a\n\nä\n":     {Wire: 9, EightBit: true},
			"a\nä\n\n":     {Wire: 9, EightBit: true, EightBitHeader: true},
			"ä\n\nä\n":     {Wire: 10, EightBit: true, EightBitHeader: true},
			"\nä\n":        {Wire: 6, EightBit: true},
			"a\n \nä\n":    {Wire: 10, EightBit: true, EightBitHeader: true},
			"\x7f\n\x80\n": {Wire: 6, EightBit: true, EightBitHeader: true, HeaderNotUTF8: true},
			"\xff":         {Wire: 1, EightBit: true, EightBitHeader: true, HeaderNotUTF8: true, Partial: true},
		}},
		{"8-bit bytes that are no UTF-8", map[string]Facts{
			"ä\n\xe4\n\n":    {Wire: 9, EightBit: true, EightBitHeader: true, HeaderNotUTF8: true},
			"\xe4\nä\n\n":    {Wire: 9, EightBit: true, EightBitHeader: true, HeaderNotUTF8: true},
			"\xc3\n\xa4\n":   {Wire: 6, EightBit: true, EightBitHeader: true, HeaderNotUTF8: true},
			"ä\n\n\xe4\n":    {Wire: 9, EightBit: true, EightBitHeader: true},
			"\U0001f4e8\n\n": {Wire: 8, EightBit: true, EightBitHeader: true},
		}},
		{"the empty line, however it ends", map[string]Facts{
			"a\r\n\r\nä\r\n": {Wire: 9, EightBit: true},
			"a\r\rä\n":       {Wire: 9, EightBit: true},
			"a\n\rä\n":       {Wire: 9, EightBit: true},
			"a\r\nä\r\n":     {Wire: 7, EightBit: true, EightBitHeader: true},
			"\rä\n":          {Wire: 6, EightBit: true},
		}},
	} {
		for in, want := range group.cases {
			for how, segment := range segmentations {
				if got, err := Examine(segment(strings.NewReader(in))); err != nil || got != want {
					t.Errorf("%s, %s: %q: %+v, %v; want %+v", group.reason, how, in, got, err, want)
				}
			}
		}
	}
}

// What Examine promises of the wire, Encoder keeps.
func TestExamineAgreesWithEncoder(t *testing.T) {
	allStrings(7, func(in string) {
		for i := range len(in) + 1 {
			var x examiner
			x.add([]byte(in[:i]))
			x.add([]byte(in[i:]))
			wire, err := encode(Encoder{NoDots: true}, in)
			if x.facts.Wire != int64(len(wire)) || x.facts.Partial != (err != nil) || x.facts.EightBit {
				t.Fatalf("%q, broken at %d: %+v; wire %q, %v", in, i, x.facts, wire, err)
			}
			end := strings.Index("\n"+canonical(in), "\n\n")
			if x.header.over != (end >= 0) {
				t.Fatalf("%q, broken at %d: header over: %v", in, i, x.header.over)
			}
		}
	})
}

// 8-bit bytes are found wherever they stand in the words that are looked at.
func TestEightBitAnywhere(t *testing.T) {
	for size := range 100 {
		p := []byte(strings.Repeat("\x7f", size))
		if hasEightBit(p) {
			t.Errorf("found in %d bytes without", size)
		}
		for i := range p {
			p[i] = 0x80
			if !hasEightBit(p) {
				t.Errorf("not found at %d of %d", i, size)
			}
			p[i] = 0x7f
		}
	}
}

func TestExamineLong(t *testing.T) {
	const lines = 100_000
	in := strings.Repeat("line of text\n", lines)
	for tail, want := range map[string]Facts{
		"":        {Wire: 14 * lines},
		"\nä\n":   {Wire: 14*lines + 6, EightBit: true},
		"ä\n":     {Wire: 14*lines + 4, EightBit: true, EightBitHeader: true},
		"end":     {Wire: 14*lines + 3, Partial: true},
		"\r.\r\n": {Wire: 14*lines + 5},
	} {
		if got, err := Examine(strings.NewReader(in + tail)); err != nil || got != want {
			t.Errorf("… %q: %+v, %v; want %+v", tail, got, err, want)
		}
	}
}

func TestExamineErrors(t *testing.T) {
	broken := errors.New("input/output error")
	src := io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken))
	if got, err := Examine(src); !errors.Is(err, broken) || got != (Facts{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Examine(silent{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
}

func FuzzExamine(f *testing.F) {
	f.Add("a\r\n\r\nä\r", 3)
	f.Fuzz(func(t *testing.T, in string, i int) {
		i = min(max(i, 0), len(in))
		var x examiner
		x.add([]byte(in[:i]))
		x.add([]byte(in[i:]))
		plain := canonical(in)
		header, _, _ := strings.Cut("\n"+plain, "\n\n")
		want := Facts{
			Wire:           int64(len(plain) + strings.Count(plain, "\n")),
			EightBit:       !isASCII(in),
			EightBitHeader: !isASCII(header),
			HeaderNotUTF8:  !utf8.ValidString(header),
			Partial:        in != "" && in[len(in)-1] != '\n',
		}
		if len(x.utf8.part) > 0 { // where all ends inside a character: such a message never goes
			want.HeaderNotUTF8 = x.facts.HeaderNotUTF8 && want.Partial
		}
		if x.facts != want {
			t.Fatalf("%q, broken at %d: %+v, want %+v", in, i, x.facts, want)
		}
	})
}

func BenchmarkExamine(b *testing.B) {
	line := strings.Repeat("x", 75) + "\n"
	for name, text := range map[string]string{
		"text":   line,
		"body":   "\n" + line,
		"CRLF":   line[1:len(line)-1] + "\r\n",
		"header": strings.Repeat("x\n", 38),
		"CRs":    strings.Repeat("x\r", 38),
	} {
		in := strings.Repeat(text, 1<<20/len(text))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Examine(strings.NewReader(in)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
