package spawn

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// read is all commands of a stream.
func read(r io.Reader) []Command {
	var list []Command
	commands(r, func(c Command) { list = append(list, c) })
	return list
}

func TestCommands(t *testing.T) {
	one := Command{Slot: 7, MessID: "1/24", Sender: "a@b", Recipient: "c@d"}
	zero := Command{Slot: 0, MessID: "0/23", Recipient: "x"}
	for reason, c := range map[string]struct {
		in   string
		want []Command
	}{
		"nothing":             {"", nil},
		"one":                 {"\x071/24\x00a@b\x00c@d\x00", []Command{one}},
		"slot 0":              {"\x000/23\x00\x00x\x00", []Command{zero}},
		"two":                 {"\x071/24\x00a@b\x00c@d\x00\x000/23\x00\x00x\x00", []Command{one, zero}},
		"all empty":           {"\x00\x00\x00\x00", []Command{{}}},
		"half: slot":          {"\x071/24\x00a@b\x00c@d\x00\x00", []Command{one}},
		"half: messid":        {"\x071/2", nil},
		"half: recipient":     {"\x071/24\x00a@b\x00c@d", nil},
		"anything in strings": {"\xff\xff\n\x00\r\x00K\x01\x00", []Command{{255, "\xff\n", "\r", "K\x01", false}}},
	} {
		for way, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.in), "byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
			"data and EOF": iotest.DataErrReader(strings.NewReader(c.in)), "error": io.MultiReader(strings.NewReader(c.in), iotest.ErrReader(io.ErrUnexpectedEOF)),
		} {
			if got := read(r); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: got %+v", reason, way, got)
			}
		}
	}
}

// TestTooLong: a command without end costs maxCommand of memory, and only itself.
func TestTooLong(t *testing.T) {
	fill := strings.Repeat("x", maxCommand)
	fits := Command{Slot: 1, MessID: fill}
	got := read(strings.NewReader("\x01" + fill + "\x00\x00\x00\x02" + fill + "y\x00\x00\x00\x03" + fill + "\x00\x00y\x00\x04\x00\x00\x00"))
	want := []Command{fits, {Slot: 2, TooLong: true}, {Slot: 3, TooLong: true}, {Slot: 4}}
	if !slices.Equal(got, want) {
		t.Errorf("got %d commands", len(got))
	}
}

// TestFaults holds stock's answers (spawn's "Internal error" and the rest), in
// its order: what is wrong twice is told of the first.
func TestFaults(t *testing.T) {
	const (
		tooBig  = "ZInternal error: delnum too big. (#4.3.5)\n"
		inUse   = "ZInternal error: delnum in use. (#4.3.5)\n"
		memory  = "Zqmail-spawn out of memory. (#4.3.0)\n"
		letters = "DInternal error: messid has nonnumerics. (#5.3.5)\n"
		long    = "DInternal error: messid too long. (#5.3.5)\n"
		short   = "DInternal error: messid too short. (#5.3.5)\n"
		host    = "DSorry, address must include host name. (#5.1.3)\n"
	)
	for _, c := range []struct {
		command Command
		inUse   bool
		want    string
	}{
		{Command{Slot: 9, MessID: "1/2", Recipient: "a@b"}, false, ""},
		{Command{Slot: 10, MessID: "x"}, true, tooBig},
		{Command{Slot: 255, MessID: "1", Recipient: "a@b"}, false, tooBig},
		{Command{Slot: 9, MessID: "x"}, true, inUse},
		{Command{Slot: 255, TooLong: true}, true, memory},
		{Command{MessID: "1/x", Recipient: "a@b"}, false, letters},
		{Command{MessID: "/1", Recipient: "a@b"}, false, letters},
		{Command{MessID: "1/../2", Recipient: "a@b"}, false, letters},
		{Command{MessID: " 1", Recipient: "a@b"}, false, letters},
		{Command{MessID: "1:", Recipient: "a@b"}, false, letters},
		{Command{MessID: strings.Repeat("x", 200), Recipient: "a"}, false, letters},
		{Command{MessID: strings.Repeat("1", 99), Recipient: "a@b"}, false, ""},
		{Command{MessID: strings.Repeat("1", 100), Recipient: "a"}, false, long},
		{Command{MessID: "", Recipient: "a"}, false, short},
		{Command{MessID: "1//", Recipient: "a@b"}, false, ""},
		{Command{MessID: "1", Recipient: "a"}, false, host},
		{Command{MessID: "1", Recipient: ""}, false, host},
	} {
		got := c.command.slotFault(10, c.inUse)
		if got == "" {
			_, got = c.command.fault()
		}
		if got != c.want {
			t.Errorf("%.80v: got %q, want %q", c.command, got, c.want)
		}
	}
}

// TestHost: the last @ counts, and nothing behind it is a host, too.
func TestHost(t *testing.T) {
	for recipient, want := range map[string]string{"a@b": "b", "a@b@c": "c", "a@": "", "@": "", `"x@y"@[192.0.2.1]`: "[192.0.2.1]"} {
		c := Command{MessID: "1", Recipient: recipient}
		if host, fault := c.fault(); host != want || fault != "" {
			t.Errorf("%s: %q, %q", recipient, host, fault)
		}
	}
}

// FuzzCommands: any bytes are commands and the beginning of one more, and what
// is read is what is written.
func FuzzCommands(f *testing.F) {
	f.Add([]byte("\x071/24\x00a@b\x00c@d\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		list := read(bytes.NewReader(in))
		if !slices.Equal(list, read(iotest.OneByteReader(bytes.NewReader(in)))) {
			t.Fatal("depends on how it is read")
		}
		var again []byte
		for _, c := range list {
			again = c.AppendTo(again)
			c.fault()
		}
		if !bytes.HasPrefix(in, again) || bytes.Count(in[len(again):], []byte{0}) > 3 {
			t.Fatalf("%q reads as %q", in, again)
		}
	})
}
