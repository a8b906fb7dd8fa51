package smtptest

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// Client is the client of a server that is a program, line by line and without a
// script.
type Client struct {
	T testing.TB
	W io.Writer // what is said goes here
	R *bufio.Reader
}

// NewClient has the client's end.
func NewClient(t testing.TB, conn io.ReadWriter) Client {
	return Client{t, conn, bufio.NewReader(conn)}
}

// Say says lines; "|" is between them.
func (c Client) Say(lines string) {
	c.T.Helper()
	if _, err := io.WriteString(c.W, strings.ReplaceAll(lines, "|", "\r\n")+"\r\n"); err != nil {
		c.T.Error(err)
	}
}

// Hears reads lines and compares them; "" is the end.
func (c Client) Hears(want ...string) {
	c.T.Helper()
	for _, w := range want {
		line, err := c.R.ReadString('\n')
		if got, ended := strings.CutSuffix(line, "\r\n"); got != w || w != "" && !ended {
			c.T.Errorf("client hears %q, not %q (%v)", line, w, err)
		}
	}
}
