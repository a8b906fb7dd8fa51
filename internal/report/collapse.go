package report

import "bytes"

// Collapse is what qmail-rspawn tells qmail-send of a qmail-remote that printed
// output and exited with code exit, negative if a signal killed it: one of the
// letters K, Z and D, and text. Slot and NUL are not part of it.
func Collapse(exit int, output []byte) []byte {
	var d Digest
	d.Write(output)
	return d.Line(exit)
}

// Digest takes qmail-remote's output as it comes and keeps of it what can reach
// qmail-send, whatever the program prints. The zero value is ready.
//
// Compat(qmail): the output is records that end with NUL. The message's letter
// is that of the first record which begins with K, Z or D, and D if there is
// none. The first byte of all, a recipient's letter, can make it worse: s of a
// K a Z, and h of anything a D; s of a D also a Z, since qmail-remote says D
// ("giving up") when all recipients were deferred. The text is that of the
// first record; behind it that of the second, if it begins with K, Z or D and
// does not promise more than the letter does.
type Digest struct {
	seen   bool
	first  byte // of all
	letter byte // of the first whole record that begins with K, Z or D, or 0

	within bool // a record has begun
	begin  byte // with this

	texts [2][]byte
	place place
}

// place is where in the output the texts are looked for; it goes from one to
// the next as the constants stand.
type place uint8

const (
	atFirst    place = iota // before the first byte, whatever it is: even NUL
	inFirst                 // in the first text, to NUL
	atSecond                // before the second record's letter
	inSecond                // in the second text, to NUL or the end
	behindText              // nothing more to keep
)

// Write never fails.
func (d *Digest) Write(output []byte) (int, error) {
	for _, b := range output {
		d.record(b)
		d.text(b)
	}
	return len(output), nil
}

// record looks for the message's letter.
func (d *Digest) record(b byte) {
	if !d.seen {
		d.seen, d.first = true, b
	}
	if !d.within {
		d.within, d.begin = true, b
	}
	if b != 0 {
		return
	}
	d.within = false
	if d.letter == 0 && isVerdict(d.begin) {
		d.letter = d.begin
	}
}

func isVerdict(b byte) bool { return b == 'K' || b == 'Z' || b == 'D' }

// text moves through the places.
func (d *Digest) text(b byte) {
	switch d.place {
	case atFirst:
		d.place = inFirst
	case inFirst:
		d.keep(&d.texts[0], b, atSecond)
	case atSecond:
		d.place = behindText
		if isVerdict(b) {
			d.place = inSecond
		}
	case inSecond:
		d.keep(&d.texts[1], b, behindText)
	}
}

// keep keeps b of a text, which NUL ends. Of a text that exceeds what
// qmail-send reads, the beginning is enough.
func (d *Digest) keep(text *[]byte, b byte, next place) {
	switch {
	case b == 0:
		d.place = next
	case len(*text) < maxReport:
		*text = append(*text, b)
	}
}

// Line is the report, of what has been written and of how the program ended:
// see Collapse.
func (d *Digest) Line(exit int) []byte {
	switch {
	case exit < 0:
		return []byte("Zqmail-remote crashed.\n")
	case exit == 111:
		return []byte("ZUnable to run qmail-remote.\n")
	case exit != 0:
		return []byte("DUnable to run qmail-remote.\n")
	case !d.seen:
		return []byte("Zqmail-remote produced no output.\n")
	}
	result := d.letter
	if result == 0 {
		result = 'D'
	}
	line := []byte{worse(result, d.first)}
	if d.place <= inFirst { // no NUL, no text
		return line
	}
	line = append(line, d.texts[0]...)
	if rank(result) <= rank(line[0]) {
		line = append(line, d.texts[1]...)
	}
	return line
}

// worse is the letter of a message whose own is result and whose recipient's is
// rcpt.
func worse(result, rcpt byte) byte {
	switch rcpt {
	case 's':
		return 'Z'
	case 'h':
		return 'D'
	}
	return result
}

// rank orders the letters by what they promise.
func rank(letter byte) int {
	switch letter {
	case 'K':
		return 1
	case 'Z':
		return 0
	}
	return -1
}

// Line is the report of a delivery to one recipient as qmail-rspawn makes it of
// qmail-remote's: what Collapse gives for AppendTo's bytes.
func (o *Outcome) Line() []byte {
	b := o.AppendTo(nil)
	last := o.Letter()
	if len(o.Rcpts) == 0 {
		return b[:len(b)-1]
	}
	rcpt, message, _ := bytes.Cut(b, []byte{0})
	letter := worse(last, rcpt[0])
	line := append([]byte{letter}, rcpt[1:]...)
	if rank(last) <= rank(letter) {
		line = append(line, message[1:len(message)-1]...)
	}
	return line
}
