package stage

import (
	"bytes"
	"strconv"
	"strings"

	"postrider/internal/report"
	"postrider/internal/smtptest"
)

// Order is what qmail-send asks of qmail-rspawn for one recipient of a
// dialogue, and the line that it must hear.
type Order struct {
	Sender, Recipient string

	line string
	cut  bool // line is only the beginning: all recipients' texts had no room in one report
}

// Heard says what is wrong with the line that was heard, if anything is. What
// stands there for the home directory is {home} again.
func (o Order) Heard(line string) (wrong string) {
	if line == o.line || o.cut && strings.HasPrefix(line, o.line) {
		return ""
	}
	return o.Recipient + " hears\n" + strconv.Quote(line) + ", not\n" + strconv.Quote(o.line)
}

// full is how long a report is that texts have been cut for, or longer.
const full = 8000

// Orders are a dialogue's deliveries, one for each recipient, or none where
// qmail-send cannot ask for it: it names no host beside the recipient's, and
// ends names with NUL.
func Orders(d *smtptest.Dialogue) []Order {
	if len(d.Argv) < 3 || strings.Contains(strings.Join(d.Argv, ""), "\x00") {
		return nil
	}
	// Recipients' records in order, as far as it came, and the message's.
	records := bytes.SplitAfter(d.Report, []byte{0})
	last := records[len(records)-2]
	records = records[:len(records)-2]
	var list []Order
	for i, rcpt := range d.Argv[2:] {
		host := rcpt[strings.LastIndexByte(rcpt, '@')+1:]
		if !strings.EqualFold(host, d.Argv[0]) {
			return nil
		}
		o := Order{Sender: d.Argv[1], Recipient: rcpt}
		if i < len(records) {
			o.line = string(report.Collapse(0, append(bytes.Clone(records[i]), last...)))
			if o.cut = len(d.Report) > full && len(d.Argv) > 3; o.cut {
				o.line = o.line[:len(records[i])-len("\n\x00")]
			}
		} else {
			o.line = string(report.Collapse(0, last))
		}
		list = append(list, o)
	}
	return list
}
