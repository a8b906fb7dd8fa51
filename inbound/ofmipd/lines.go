package ofmipd

// place is where the automaton of lines stands in a line. RFC 5321 §4.5.2, with
// a line that ends in LF alone taken as well: mail programs are started by hand
// and by scripts. One CR before the LF belongs to the end.
//
//	            "."        CR         LF         other
//	lineStart   dot        cr         LF, start  it, inLine
//	inLine      it         cr         LF, start  it
//	cr          CR, it *   CR         LF, start  CR, it, inLine
//	dot         it, inLine dotCR      the end +  it, inLine
//	dotCR       CR, it *   CR, cr     the end +  CR, it, inLine     * inLine
//
// + From a client whose commands end in CRLF only CRLF "." CRLF is the end: it
// may be a server that hands on what somebody else wrote, and takes no other for
// one (message smuggling). A dot on a line of its own whose line end, or the one
// before it, is LF alone is then mixed: neither the end nor content.
type place uint8

const (
	lineStart place = iota
	inLine
	cr
	dot
	dotCR
	over
	mixed
)

// lines turns what follows "354" into lines that end in LF, without the dots
// that protect dots.
type lines struct {
	strict bool // the end is CRLF "." CRLF and no other
	at     place
	bare   bool // the line before ended in LF alone
}

// Done reports whether the end has come.
func (l *lines) Done() bool { return l.at == over }

// Mixed reports whether what may be an end has come, or may be not. There is no
// telling then what is content and what is a command.
func (l *lines) Mixed() bool { return l.at == mixed }

// Append puts what the bytes of in say at the end of out, and tells how many
// bytes it took: all, but for those behind the end, or behind what is mixed.
func (l *lines) Append(out, in []byte) ([]byte, int) {
	for i, c := range in {
		switch was := l.at; {
		case c == '\n' && (was == dot || was == dotCR):
			if l.at = over; l.strict && (l.bare || was == dot) {
				l.at = mixed
			}
			return out, i + 1
		case c == '\n':
			out, l.at, l.bare = append(out, '\n'), lineStart, was != cr
		case c == '\r' && was == dot:
			l.at = dotCR
		case c == '\r':
			if was == cr || was == dotCR {
				out = append(out, '\r')
			}
			l.at = cr
		case c == '.' && was == lineStart:
			l.at = dot
		default:
			if was == cr || was == dotCR {
				out = append(out, '\r')
			}
			out, l.at = append(out, c), inLine
		}
	}
	return out, len(in)
}
