package tlspolicy

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantPolicy(t *testing.T, what string, got, want Policy) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func wantComplaint(t *testing.T, r *Rules, text string) {
	t.Helper()
	c := r.Complaints()
	if len(c) != 1 || !strings.Contains(c[0], text) || !strings.HasPrefix(c[0], "control/") {
		t.Errorf("complaints %q, want one with %q", c, text)
	}
}

// wantFailure wants an *Error of a kind, its text for people holding all of texts.
func wantFailure(t *testing.T, what string, err error, kind What, texts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %v is no *Error", what, err)
		return
	}
	if e.What != kind {
		t.Errorf("%s: %v, want %s", what, e, kind)
	}
	for _, text := range texts {
		if !strings.Contains(e.Error(), text) {
			t.Errorf("%s: %q does not mention %q", what, e.Error(), text)
		}
	}
}
