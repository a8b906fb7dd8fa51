package job

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtp"
	"postrider/smtpc"
)

var jobs = map[string]Job{
	"least": {Params: smtpc.Params{Timeout: time.Second}},
	"all": {
		Params:   smtpc.Params{Helo: "mail.example", Timeout: 20 * time.Minute, HeloOnly: true, NoChunking: true, Plain: true},
		Creds:    &smtpc.Credentials{User: "u", Password: "p,1:\x00\n", Clear: true},
		Greeting: true,
		ASCII:    &smtp.Envelope{Sender: "me@xn--e.example", Rcpts: []string{"a@xn--1.example", "b@xn--2.example"}},
	},
	"no password":  {Params: smtpc.Params{Timeout: time.Millisecond}, Creds: &smtpc.Credentials{User: "u"}},
	"bounce":       {Params: smtpc.Params{Timeout: time.Second}, ASCII: &smtp.Envelope{Rcpts: []string{"a@b"}}},
	"empty user":   {Params: smtpc.Params{Timeout: time.Second}, Creds: &smtpc.Credentials{}},
	"long time":    {Params: smtpc.Params{Timeout: 1000 * time.Hour}},
	"long address": {Params: smtpc.Params{Timeout: time.Second}, ASCII: &smtp.Envelope{Sender: strings.Repeat("x", 100000)}},
}

func TestRoundTrip(t *testing.T) {
	for name, j := range jobs {
		b := j.AppendTo([]byte("before"))[len("before"):]
		got, err := Parse(b)
		if err != nil || !reflect.DeepEqual(got, j) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		for n := range min(len(b), 300) {
			if _, err := Parse(b[:n]); err != ErrMalformed {
				t.Fatalf("%s: the first %d bytes are a job: %v", name, n, err)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	for reason, s := range map[string]string{
		"nothing":               "",
		"no end":                "5:t1000,",
		"no time":               "1:.,",
		"no such field":         "5:t1000,2:xy,1:.,",
		"bytes after the end":   "5:t1000,1:.,1",
		"end with a value":      "5:t1000,2:.x,",
		"empty netstring":       "5:t1000,0:,1:.,",
		"length too long":       "5:t1000,9:.,",
		"length with a sign":    "+5:t1000,1:.,",
		"length without digits": ":t1000,1:.,",
		"huge length":           "99999999999999999999:t1000,1:.,",
		"no comma":              "5:t1000;1:.,",
		"time negative":         "5:t-100,1:.,",
		"time not a number":     "5:t1s00,1:.,",
		"password without user": "5:t1000,2:px,1:.,",
		"recipient first":       "5:t1000,2:rx,1:.,",
	} {
		if j, err := Parse([]byte(s)); err != ErrMalformed {
			t.Errorf("%s: %q is a job: %+v", reason, s, j)
		}
	}
}

// Whatever Parse takes, AppendTo gives again in a form that Parse takes as the same.
func FuzzParse(f *testing.F) {
	for _, j := range jobs {
		f.Add(j.AppendTo(nil))
	}
	f.Add([]byte("5:t1000,2:ux,2:uy,1:.,"))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(j.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(j, again) {
			t.Fatalf("%+v became %+v, %v", j, again, err)
		}
	})
}
