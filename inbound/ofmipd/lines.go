package ofmipd

// place is where the automaton of lines stands in a line. RFC 5321 §4.5.2, with
// a line that ends in LF alone taken as well: mail programs are started by hand
// and by scripts. One CR before the LF belongs to the end.
//
//	            "."        CR         LF         other
//	lineStart   dot        cr         LF, start  it, inLine
//	inLine      it         cr         LF, start  it
//	cr          CR, it *   CR         LF, start  CR, it, inLine
//	dot         it, inLine dotCR      the end    it, inLine
//	dotCR       CR, it *   CR, cr     the end    CR, it, inLine     * inLine
type place uint8

const (
	lineStart place = iota
	inLine
	cr
	dot
	dotCR
	over
)

// lines turns what follows "354" into lines that end in LF, without the dots
// that protect dots.
type lines struct {
	at place
}

// Done reports whether the end has come.
func (l *lines) Done() bool { return l.at == over }

// Append puts what the bytes of in say at the end of out, and tells how many
// bytes it took: all, but for those behind the end.
func (l *lines) Append(out, in []byte) ([]byte, int) {
	for i, c := range in {
		switch was := l.at; {
		case c == '\n' && (was == dot || was == dotCR):
			l.at = over
			return out, i + 1
		case c == '\n':
			out, l.at = append(out, '\n'), lineStart
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
