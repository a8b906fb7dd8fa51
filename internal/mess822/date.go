package mess822

import (
	"strconv"
	"time"

	"postrider/internal/ascii"
)

// Date is a moment as a Date field gives it: the clock of a place, and how far
// that is from UTC. It need not be in any calendar.
type Date struct {
	Year, Month, Day     int
	Hour, Minute, Second int
	Zone                 int  // minutes east of UTC
	Nowhere              bool // the zone is -0000: UTC, and nobody knows the place (RFC 5322 §3.3)
}

// DateOf is t in UTC, of no place.
func DateOf(t time.Time) Date {
	t = t.UTC()
	return Date{
		Year: t.Year(), Month: int(t.Month()), Day: t.Day(),
		Hour: t.Hour(), Minute: t.Minute(), Second: t.Second(), Nowhere: true,
	}
}

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// String is the date as it stands in a header: 3 Feb 2025 10:00:00 +0100.
func (d Date) String() string {
	b := strconv.AppendInt(nil, int64(d.Day), 10)
	b = append(b, ' ')
	b = append(b, months[3*d.Month-3:3*d.Month]...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(d.Year), 10)
	b = two(append(b, ' '), d.Hour)
	b = two(append(b, ':'), d.Minute)
	b = two(append(b, ':'), d.Second)
	sign, zone := byte('+'), d.Zone
	if zone < 0 || d.Nowhere {
		sign, zone = '-', -zone
	}
	b = two(append(b, ' ', sign), zone/60)
	return string(two(b, zone%60))
}

// stamp is the digits of the date, 20250203100000.
func (d Date) stamp() string {
	b := strconv.AppendInt(nil, int64(d.Year), 10)
	for _, n := range [5]int{d.Month, d.Day, d.Hour, d.Minute, d.Second} {
		b = two(b, n)
	}
	return string(b)
}

func two(b []byte, n int) []byte {
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

// zones are the names of time zones, of RFC 5322 §4.3 and others that mail has
// had, and their minutes east of UTC.
var zones = map[string]int{
	"ut": 0, "gmt": 0, "bst": 60,
	"edt": -4 * 60, "est": -5 * 60, "cdt": -5 * 60, "cst": -6 * 60,
	"mdt": -6 * 60, "mst": -7 * 60, "pdt": -7 * 60, "pst": -8 * 60,
	"cet": 60, "met": 60, "metdst": 2 * 60, "eet": 2 * 60, "ist": 2 * 60,
	"hkt": 8 * 60, "jst": 9 * 60,
}

// ParseDate reads what follows the last comma or semicolon of a Date field:
// day, month, year, hour and minute, second if there is one, zone, as RFC 822
// §5.1 and RFC 5322 §4.3 have them. What stands between the words, and
// behind them, does not matter, except that a colon announces minute and
// second, and that each DST behind the zone adds an hour.
func ParseDate(text string) (Date, bool) {
	p := dates{tokens: divide(text)}
	for i, m := range p.marks {
		if k := m.kind(); k == ',' || k == ';' {
			p.next = i + 1
		}
	}
	var d Date
	d.Day = p.number(99)
	d.Month = p.month()
	d.Year = p.number(9999)
	switch {
	case d.Year < 50:
		d.Year += 2000
	case d.Year < 999: // RFC 5322 §4.3; qmail leaves 999 as it is
		d.Year += 1900
	}
	d.Hour = p.number(99)
	p.bad = !p.colon() || p.bad
	d.Minute = p.number(99)
	if p.colon() {
		d.Second = p.number(99)
	}
	p.zone(&d)
	return d, !p.bad
}

// dates goes through the tokens of a date from the left.
type dates struct {
	tokens
	next int
	bad  bool // the text is no date; all answers are 0
}

// colon passes over what is no word, and reports whether that has a colon in it.
func (p *dates) colon() bool {
	found := false
	for ; p.next < len(p.marks)-1; p.next++ {
		switch p.marks[p.next].kind() {
		case atom, quoted, literal:
			return found
		case ':':
			found = true
		}
	}
	return found
}

// take is the next word, in small letters, "" if there is none.
func (p *dates) take() string {
	p.colon()
	if p.bad || p.next >= len(p.marks)-1 {
		return ""
	}
	p.next++
	return small(p.word(p.next - 1))
}

// number is the next word, which must be a number of no more than most.
func (p *dates) number(most int) int {
	n, ok := digits(p.take(), most)
	p.bad = p.bad || !ok
	return n
}

func (p *dates) month() int {
	word := p.take()
	for m := 1; m <= 12; m++ {
		if ascii.EqualFold(word, months[3*m-3:3*m]) {
			return m
		}
	}
	p.bad = true
	return 1
}

// zone reads the zone and what follows it.
func (p *dates) zone(d *Date) {
	word := p.take()
	zone, ok := zones[word]
	if !ok && word != "" {
		sign := word[0]
		if sign == '+' || sign == '-' {
			word = word[1:]
		}
		var n int
		n, ok = digits("0"+word, 9999)
		zone = n/100*60 + n%100
		if sign == '-' {
			d.Nowhere = word == "0000"
			zone = -zone
		}
	}
	for !p.bad && p.next < len(p.marks)-1 {
		if p.take() == "dst" {
			zone += 60
		}
	}
	d.Zone = zone
	d.Nowhere = d.Nowhere && zone == 0
	p.bad = p.bad || !ok || zone <= -100*60 || zone >= 100*60
}

// digits is the number that s is, if it is one, of no more than most.
func digits(s string, most int) (int, bool) {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > most {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, s != "" && n <= most
}

// small is s with small letters, in ASCII.
func small(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = ascii.Lower(c)
	}
	return string(b)
}
