package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/observe/state"
)

// often is how often a terminal is written to unless we are told.
const often = 2 * time.Second

// size is the terminal's that descriptor 1 is.
func size() (rows, cols int) {
	w, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	if w.Row == 0 || w.Col == 0 { // a terminal that does not know
		return 24, 80
	}
	return int(w.Row), int(w.Col)
}

// show shows the engine once or until ctx ends.
func show(ctx context.Context, o orders, e *engine, c console) error {
	rows, _ := c.size()
	live := rows > 0 && !o.once && !o.json && c.env("TERM") != "dumb"
	if live && o.every == 0 {
		o.every = often
	}
	if live {
		defer io.WriteString(c.out, "\x1b[?25h") // the cursor again
	}
	var last *state.State
	for {
		text, s, err := e.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (last == nil || !live):
			return err
		case err != nil: // another engine may come
			c.redraw([]line{{text: err.Error(), colour: red}})
		case o.json:
			_, err = c.out.Write(text)
		case live:
			c.redraw(table(&s, last))
		default:
			err = c.print(table(&s, last))
		}
		if err == nil {
			last = &s
		} else if !live {
			return err // nobody reads
		}
		if o.once || o.every == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.every):
		}
		if !live && !o.json {
			io.WriteString(c.out, "\n")
		}
	}
}

// colours reports whether to use them: on terminals that have them, unless the
// environment says NO_COLOR.
func (c console) colours() bool {
	rows, _ := c.size()
	return rows > 0 && c.env("NO_COLOR") == "" && c.env("TERM") != "dumb"
}

// print writes all lines.
func (c console) print(lines []line) error {
	var b strings.Builder
	for _, l := range lines {
		c.write(&b, l)
		b.WriteByte('\n')
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}

// redraw writes as many lines as there is room for, over what stood there.
func (c console) redraw(lines []line) {
	rows, cols := c.size()
	var b strings.Builder
	b.WriteString("\x1b[?25l\x1b[H")
	for i, l := range lines[:min(len(lines), max(rows-1, 1))] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		l.text = l.text[:min(len(l.text), cols)]
		c.write(&b, l)
		b.WriteString("\x1b[K")
	}
	b.WriteString("\x1b[J")
	io.WriteString(c.out, b.String())
}

func (c console) write(b *strings.Builder, l line) {
	if l.colour == "" || !c.colours() {
		b.WriteString(l.text)
		return
	}
	b.WriteString(l.colour + l.text + plain)
}
