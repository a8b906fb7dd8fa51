package smtpc

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"postrider/internal/smtp"
)

// Bounds of an AUTH exchange.
const (
	maxCommand = 512   // RFC 5321 §4.5.3.1.4, the line end counted
	maxLine    = 12288 // RFC 4954 §4, of a response
	maxRounds  = 8     // challenges; no mechanism here needs more than three
)

// Auth proves who we are (RFC 4954), by the best mechanism that is offered: for
// a token OAUTHBEARER or XOAUTH2; for a password SCRAM-SHA-256, then PLAIN and
// LOGIN where the password may be shown, then CRAM-MD5. A refusal leaves the
// conversation in step; a server that does not keep to the mechanism, or does
// not prove that it knows the password where it should, ends it.
func (c *Conn) Auth(ctx context.Context, cr Credentials) error {
	if c.over {
		return gone(smtp.AtAuth)
	}
	client, fault := c.mechanism(cr)
	if client == nil {
		return &smtp.Ending{Stage: smtp.AtAuth, Fault: fault}
	}
	defer c.watch(ctx)()
	return asError(c.prove(client))
}

// mechanism chooses one of those offered, or says why there is none.
func (c *Conn) mechanism(cr Credentials) (sasl.Client, smtp.Fault) {
	offered := func(name string) bool { return slices.Contains(c.ext.Auth, name) }
	may := cr.Clear || c.secured()
	if token, ok := strings.CutPrefix(cr.Password, "oauth:"); ok {
		// RFC 6750 §5.3: whoever hears a token has it.
		switch {
		case !offered(sasl.OAuthBearer) && !offered("XOAUTH2"):
			return nil, smtp.NoMechanism
		case !may:
			return nil, smtp.WouldReveal
		case offered(sasl.OAuthBearer):
			options := &sasl.OAuthBearerOptions{Username: cr.User, Token: token}
			return bearer{sasl.NewOAuthBearerClient(options)}, smtp.NoFault
		}
		return xoauth2{cr.User, token}, smtp.NoFault
	}
	plain, login := offered(sasl.Plain), offered(sasl.Login)
	switch {
	case offered("SCRAM-SHA-256"):
		return newSCRAM(cr.User, cr.Password), smtp.NoFault
	case may && plain:
		return sasl.NewPlainClient("", cr.User, cr.Password), smtp.NoFault
	case may && login:
		return &passwordAsked{sasl.NewLoginClient(cr.User, cr.Password), 0}, smtp.NoFault
	case offered("CRAM-MD5"):
		return cramMD5{cr.User, cr.Password}, smtp.NoFault
	case plain || login:
		return nil, smtp.WouldReveal
	}
	return nil, smtp.NoMechanism
}

// prove carries the exchange (RFC 4954 §4). What the client has to say first
// goes along with AUTH where the command line is long enough for it, else in
// answer to an empty challenge.
func (c *Conn) prove(client sasl.Client) *smtp.Ending {
	name, first, err := client.Start()
	if err != nil {
		return &smtp.Ending{Stage: smtp.AtAuth, Fault: smtp.Garbled, Detail: err.Error()}
	}
	command := "AUTH " + name
	if whole := command + " " + encode(first); first != nil && len(whole)+2 <= maxCommand && name != sasl.Login {
		command, first = whole, nil
	}
	r, end := c.ask(smtp.AtAuth, command)
	for rounds := 1; end == nil && r.Code == 334; rounds++ {
		challenge, err := decode(r)
		response := first
		if first == nil && err == nil {
			response, err = client.Next(challenge)
		}
		first = nil
		line := base64.StdEncoding.EncodeToString(response)
		if err != nil || rounds > maxRounds || len(line)+2 > maxLine {
			return c.cancel(r, err)
		}
		r, end = c.ask(smtp.AtAuth, line)
	}
	switch {
	case end != nil:
		return end
	case r.Code != 235:
		return c.refused(smtp.AtAuth, r)
	}
	if p, ok := client.(interface{ proven() bool }); ok && !p.proven() {
		return c.garbled(smtp.AtAuth, r, "the server did not prove that it knows the password")
	}
	return nil
}

// cancel ends an exchange that makes no sense to us. The server is not what it
// says, or not what we think: nothing more is said to it.
func (c *Conn) cancel(r smtp.Reply, err error) *smtp.Ending {
	what := "the exchange does not end"
	if err != nil {
		what = err.Error()
	}
	c.hurry = true
	if _, end := c.ask(smtp.AtAuth, "*"); end != nil {
		return &smtp.Ending{Stage: smtp.AtAuth, Fault: smtp.Garbled, Reply: r, Detail: what}
	}
	return c.garbled(smtp.AtAuth, r, what)
}

// encode gives an initial response: "=" stands for an empty one (RFC 4954 §4).
func encode(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// decode gives the challenge in a 334 reply. It is bounded as any reply is.
func decode(r smtp.Reply) ([]byte, error) {
	text := strings.TrimSpace(strings.TrimPrefix(r.Lines[len(r.Lines)-1], "334"))
	return base64.StdEncoding.DecodeString(text)
}

// passwordAsked is LOGIN, in which the server asks for user and password in words of
// its own. Field: initial responses are not understood everywhere, and not
// every server writes "Password:" as the draft did.
type passwordAsked struct {
	sasl.Client
	asked int
}

func (l *passwordAsked) Next([]byte) ([]byte, error) {
	if l.asked++; l.asked > 1 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	return l.Client.Next([]byte("Password:"))
}

// bearer is OAUTHBEARER; the server says what is wrong in a challenge, and
// wants a byte for it before it refuses (RFC 7628 §3.2.3).
type bearer struct{ sasl.Client }

func (bearer) Next([]byte) ([]byte, error) { return []byte{1}, nil }

// xoauth2 is what Google and Microsoft had before RFC 7628. An error comes as a
// challenge, to be answered by nothing.
type xoauth2 struct{ user, token string }

func (x xoauth2) Start() (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01"), nil
}

func (x xoauth2) Next([]byte) ([]byte, error) { return []byte{}, nil }
