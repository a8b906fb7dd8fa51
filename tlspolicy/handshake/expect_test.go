package handshake

import (
	"errors"
	"strings"
	"testing"

	"postrider/tlspolicy"
)

// wantFailure wants an *tlspolicy.Error of a kind, its text for people holding all of texts.
func wantFailure(t *testing.T, what string, err error, kind tlspolicy.What, texts ...string) {
	t.Helper()
	var e *tlspolicy.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %v is no *tlspolicy.Error", what, err)
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
