package mess822

import "strings"

// Address is one of a list: a bare address, or a comment, or both.
type Address struct {
	// Addr is local@host, without quotes; the host is empty if none was written,
	// and "@" is the empty address. "" is a comment with no address, such as the
	// name of a group that has no members.
	Addr string
	// Comment is what is said of it: a phrase, the name of a group, or comments
	// (RFC 822 §6.1), each blank one space.
	Comment string
	quoted  bool // some of Comment stood in double quotes
}

// Addresses reads a list of addresses as qmail reads it: from the right to the
// left, and so that there is no list that is wrong.
func Addresses(text string) []Address {
	list, _ := addresses(text, len(text))
	return list
}

// addresses is Addresses for a list of no more than most; it is false, and the
// list not whole, if there are more.
func addresses(text string, most int) (list []Address, ok bool) {
	p := parser{tokens: divide(text), most: most}
	p.rest = len(p.marks) - 1
	p.outside()
	for i, j := 0, len(p.list)-1; i < j; i, j = i+1, j-1 {
		p.list[i], p.list[j] = p.list[j], p.list[i]
	}
	return p.list, len(p.list) <= most
}

// space stands among tokens for a space.
const space = -1

// parser goes through tokens from their end. What it has of the address and
// the comment being read are tokens, the rightmost first.
type parser struct {
	tokens
	rest int // tokens that are left
	list []Address
	most int // addresses; with more, no tokens are left

	addr    []int32
	comment []int32
	quoted  bool
	isAddr  bool // an address has begun; it may have no pieces: <>
	isWord  bool // the leftmost piece of addr is a word
	isWhole bool // addr has its @
}

// outside is where a list begins, at its right end:
//
//	word         another address, if a word stands just right of it
//	. @          part of the address
//	( ) blank    part of the comment
//	, ;          the end of address and comment
//	>            the same, and inside <>
//	:            what stands left of it is a phrase
//	<            nothing, but a word to its left is no other address
func (p *parser) outside() {
	for p.rest > 0 {
		p.rest--
		switch k := p.marks[p.rest].kind(); k {
		case blank:
			p.remark()
		case comment:
			p.remark()
			p.comment = append(p.comment, space)
		case ',', ';':
			p.finish()
		case '>':
			p.angle()
			p.phrase()
		case ':':
			p.phrase()
		case '.', '@':
			p.part(false)
		case '<':
			p.isWord = false
		default:
			if p.isWord {
				p.finish()
			}
			p.part(true)
		}
	}
	p.finish()
}

// angle is at > outside: another address begins, whose comments may already
// have been read.
func (p *parser) angle() {
	if p.isAddr {
		p.finish()
	}
	p.inside()
}

// inside is between > and <. What stands left of a colon is the route of
// RFC 822 §6.2.7, and a comment.
func (p *parser) inside() {
	p.isAddr = true
	route := false
	for p.rest > 0 {
		p.rest--
		switch k := p.marks[p.rest].kind(); {
		case k == '<':
			return
		case k == '>' || k == ',' || k == ';':
		case k == ':':
			route = true
		case route || k == blank || k == comment:
			p.remark()
		default:
			p.part(false)
		}
	}
}

// phrase is left of <...> and of the colon of a group: all is comment, up to
// what divides addresses.
func (p *parser) phrase() {
	for p.rest > 0 {
		p.rest--
		switch p.marks[p.rest].kind() {
		case ',', ';':
			p.finish()
			return
		case ':':
			if p.isAddr {
				p.finish()
			}
		case '>':
			p.angle()
		case '<':
		default:
			p.remark()
		}
	}
}

// part puts the present token before what there is of the address.
func (p *parser) part(word bool) {
	p.addr = append(p.addr, int32(p.rest))
	p.isAddr, p.isWord = true, word
	p.isWhole = p.isWhole || p.marks[p.rest].kind() == '@'
}

// remark puts the present token before what there is of the comment.
func (p *parser) remark() {
	token := space
	if p.marks[p.rest].kind() != blank {
		token = p.rest
	}
	p.comment = append(p.comment, int32(token))
	p.quoted = p.quoted || p.marks[p.rest].kind() == quoted
}

// finish puts the address and the comment on the list, if there are any.
func (p *parser) finish() {
	a := Address{Comment: blanks(p.joined(p.comment)), quoted: p.quoted}
	if p.isAddr {
		a.Addr = p.joined(p.addr)
		if !p.isWhole {
			a.Addr += "@"
		}
	}
	last := len(p.list) - 1
	switch {
	case a.Addr == "" && a.Comment == "":
	case last >= 0 && precedes(a, &p.list[last]):
	default:
		p.list = append(p.list, a)
		if len(p.list) > p.most {
			p.rest = 0
		}
	}
	p.addr, p.comment = p.addr[:0], p.comment[:0]
	p.quoted, p.isAddr, p.isWord, p.isWhole = false, false, false, false
}

// precedes gives the comment of a to the address b that follows it, if each has
// only that, and reports whether it did. Compat(qmail): a comment on its own
// belongs to a bare address after it, whatever stands between them: x:;, a@b is
// "x" <a@b>.
func precedes(a Address, b *Address) bool {
	if a.Addr != "" || b.Comment != "" {
		return false
	}
	b.Comment, b.quoted = a.Comment, a.quoted
	return true
}

// joined is what tokens say, the last first.
func (p *parser) joined(list []int32) string {
	if len(list) == 1 && list[0] != space {
		return p.word(int(list[0]))
	}
	var b strings.Builder
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == space {
			b.WriteByte(' ')
		} else {
			b.WriteString(p.word(int(list[i])))
		}
	}
	return b.String()
}

// blanks makes each run of spaces one, and has none at the ends.
func blanks(s string) string {
	s = strings.Trim(s, " ")
	if !strings.Contains(s, "  ") {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}
